package cache

import (
	"context"
	"database/sql"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"vidmeta/api"
	"vidmeta/internal/stack"
	"vidmeta/schema"
)

// lockTables keeps all loads waiting until the test ends.
func lockTables(t *testing.T, db *sql.DB) {
	t.Helper()
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.ExecContext(t.Context(), "LOCK TABLES videos WRITE, video_versions WRITE"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := conn.ExecContext(context.Background(), "UNLOCK TABLES"); err != nil {
			t.Error(err)
		}
	})
}

// Whether the origin answers, fails or keeps a request waiting: what Cache-Status says of it is true.
func TestCacheStatusOfAnOriginThatHangs(t *testing.T) {
	db := migrated(t, stack.MariaDB)
	execute(t, db, "INSERT INTO videos (id, title) VALUES (1, 'a film')")
	store := schema.NewStore(db)
	t.Cleanup(func() { store.Close() })
	docs, err := store.Load(t.Context(), []schema.ID{1})
	if err != nil {
		t.Fatal(err)
	}
	const long, short = 20 * time.Second, 300 * time.Millisecond
	tests := []struct {
		name            string
		warm, hangs     bool
		request, origin time.Duration // how long each is given
		status          int
		want            string
	}{
		{"answers", false, false, long, long, http.StatusOK,
			"vidmeta-redis; fwd=miss; fwd-status=200; stored, vidmeta-local; fwd=miss"},
		{"the statement takes too long", false, true, long, short, http.StatusServiceUnavailable,
			"vidmeta-redis; fwd=miss; fwd-status=503; detail=origin-failed, vidmeta-local; fwd=miss"},
		{"the request takes too long", false, true, short, long, http.StatusServiceUnavailable,
			"vidmeta-local; fwd=miss; fwd-status=503; detail=no-answer"},
		{"the statement takes too long, warm", true, true, long, short, http.StatusOK,
			"vidmeta-redis; fwd=stale; fwd-status=503; detail=origin-failed, vidmeta-local; fwd=stale; detail=served-stale"},
		{"the request takes too long, warm", true, true, short, long, http.StatusOK,
			"vidmeta-local; fwd=stale; fwd-status=503; detail=served-stale"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := openChain(t, store, openRedis(t), func(cfg *Config) {
				cfg.Origin.Timeout = tt.origin
				cfg.Freshness = Freshness{MaxAge: time.Millisecond, StaleWhileRevalidate: time.Millisecond}
			})
			s, err := api.New(api.Config{Reader: c, Timeout: tt.request})
			if err != nil {
				t.Fatal(err)
			}
			if tt.warm {
				get(t, c, 1, docs[0].Version, schema.ReadOptions{})
			}
			if tt.hangs {
				lockTables(t, db)
			}
			rec := httptest.NewRecorder()
			s.Handler().ServeHTTP(rec, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/videos/1", nil))
			if got := rec.Header().Get("Cache-Status"); rec.Code != tt.status || got != tt.want {
				t.Errorf("%d, %q\nwant %d, %q", rec.Code, got, tt.status, tt.want)
			}
		})
	}
}
