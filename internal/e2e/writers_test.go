package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// One fleet serves all of these, one after another: starting one takes longer than they do.
func TestFleet(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		f := start(t, shape{flavor: flavor, sidecars: 1})
		t.Run(string(flavor), func(t *testing.T) {
			t.Run("foreign writers", f.foreignWriters)
			t.Run("bad input", f.badInput)
			t.Run("one load for a thousand requests", f.oneLoad)
			t.Run("late rows", f.race)
			t.Run("a sidecar killed among changes", f.sidecarKilled)
			t.Run("a trigger dropped", f.triggerDropped)
		})
	}
}

// A program that knows nothing of us writes in every way that SQL has.
func (f *fleet) foreignWriters(t *testing.T) {
	for _, statements := range []string{
		"UPDATE videos SET title = 'changed' WHERE id = 1",
		"UPDATE videos SET title = 'all at once', language = 'de' WHERE id BETWEEN 1 AND 20",
		"INSERT INTO videos (id, title) VALUES (5001, 'new')",
		"INSERT INTO videos (id, title, description) SELECT id + 5100, title, 'copied' FROM videos WHERE id <= 10",
		"INSERT INTO video_tags (video_id, tag) SELECT id, 'tagged' FROM videos WHERE id <= 10",
		"DELETE FROM video_tags WHERE video_id = 3",
		"UPDATE video_tags SET video_id = 3 WHERE video_id = 4 AND tag = 'tagged'",
		"DELETE FROM videos WHERE id = 5",
		"INSERT INTO videos (id, title) VALUES (5, 'born again')",
		"REPLACE INTO videos (id, title) VALUES (6, 'replaced')",
		"INSERT INTO videos (id, title) VALUES (7, 'x'), (5002, 'y') ON DUPLICATE KEY UPDATE title = 'on duplicate key'",
		"UPDATE videos SET id = 5003 WHERE id = 5002",
		"BEGIN; UPDATE videos SET title = 'in a transaction' WHERE id = 8; DELETE FROM video_cast WHERE video_id = 9; DELETE FROM videos WHERE id = 10; COMMIT",
		"BEGIN; UPDATE videos SET title = 'never' WHERE id = 1; DELETE FROM videos WHERE id = 2; ROLLBACK",
		"BEGIN; DELETE FROM videos WHERE id = 11; INSERT INTO videos (id, title) VALUES (11, 'in one transaction'); COMMIT",
		"UPDATE videos SET title = 'Zoë 🎬 \\\"quoted\\\" \\\\ ' WHERE id = 12",
	} {
		ids := append(span(1, 20), span(5001, 5003)...)
		ids = append(ids, span(5101, 5110)...)
		for n := range f.nodes { // so that there is something to be outdated
			for _, id := range ids {
				if _, err := f.get(n, id); err != nil {
					t.Fatal(err)
				}
			}
		}
		conn, err := f.db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for s := range strings.SplitSeq(statements, "; ") {
			if _, err := conn.ExecContext(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", s, err)
			}
		}
		conn.Close()
		f.agree(t, ids)
		if t.Failed() {
			t.Fatalf("after %s", statements)
		}
	}
	a, err := f.get(0, 12)
	if err != nil || decode(t, a.body)["title"] != `Zoë 🎬 "quoted" \ ` {
		t.Errorf("%+v, %v", a, err)
	}
	res, err := client.Get("http://" + f.admins[0] + "/v1/inspect/12")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var in cache.Inspection
	if err := json.NewDecoder(res.Body).Decode(&in); err != nil || in.Local.Version != a.version || in.Redis.Version != a.version || in.Origin.Version != a.version {
		t.Errorf("inspect: %+v, %v", in, err)
	}
}

// A thousand requests on three nodes want one document that is nowhere but in MySQL.
func (f *fleet) oneLoad(t *testing.T) {
	const cold schema.ID = 900
	before := f.total(t, "vidmeta_origin_documents_total")
	errs := make(chan error)
	for i := range 1000 {
		go func() {
			_, err := f.get(i%nodeCount, cold)
			errs <- err
		}()
	}
	for range 1000 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := f.total(t, "vidmeta_origin_documents_total") - before; n != 1 {
		t.Errorf("%v loads from MySQL, want 1", n)
	}
}

// Without a trigger changes go by that nobody is told of. Then nothing may vouch for what is cached, until it is back.
func (f *fleet) triggerDropped(t *testing.T) {
	const id schema.ID = 6000
	if _, err := f.db.Exec("INSERT INTO videos (id, title) VALUES (6000, 'seen')"); err != nil {
		t.Fatal(err)
	}
	f.agree(t, []schema.ID{id})
	before, err := f.get(0, id)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{"DROP TRIGGER videos_version_update", "UPDATE videos SET title = 'unseen' WHERE id = 6000"} {
		if _, err := f.db.Exec(s); err != nil {
			t.Fatal(err)
		}
	}
	changed := time.Now()
	stacktest.WaitFor(t, 20*time.Second, func() error {
		a, err := f.get(0, id)
		switch {
		case err != nil:
			return err
		case a.body == before.body && a.asOf.After(changed):
			t.Fatalf("%v after the change the document of before is said to be true as of %v after it", time.Since(changed), a.asOf.Sub(changed))
		case a.body == before.body:
			return fmt.Errorf("served as of %v before the change", changed.Sub(a.asOf))
		}
		return nil // loaded again, since nothing vouched for it any longer
	})
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	f.run(t, path, "migrate")
	f.agree(t, append(span(1, 40), id))
}

// What is asked wrongly is refused with a problem document, and leaves nothing behind.
func (f *fleet) badInput(t *testing.T) {
	keys := func() (n int64) {
		err := f.redis.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error {
			size, err := c.DBSize(ctx).Result()
			atomic.AddInt64(&n, size)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := keys()
	for _, tc := range []struct{ method, path, kind, body string }{
		{"GET", "/v1/videos/abc", "", ""},
		{"GET", "/v1/videos/0", "", ""},
		{"GET", "/v1/videos/-1", "", ""},
		{"GET", "/v1/videos/1e3", "", ""},
		{"GET", "/v1/videos/18446744073709551616", "", ""},
		{"GET", "/v1/videos/by-public-id/short", "", ""},
		{"GET", "/v1/videos?ids=", "", ""},
		{"GET", "/v1/videos?ids=1,,2", "", ""},
		{"GET", "/v1/videos?ids=" + strings.Repeat("1,", 100) + "1", "", ""},
		{"GET", "/v1/nothing", "", ""},
		{"DELETE", "/v1/videos/1", "", ""},
		{"POST", "/v1/videos/lookup", "application/json", `{"ids":[1`},
		{"POST", "/v1/videos/lookup", "application/json", `{"ids":["1"]}`},
		{"POST", "/v1/videos/lookup", "text/plain", `{"ids":[1]}`},
		{"POST", "/v1/videos/lookup", "application/json", `{"ids":[` + strings.Repeat("1,", 5<<19) + `1]}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), tc.method, "http://"+f.nodes[0].Addr()+tc.path, strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", tc.kind)
		res, err := client.Do(req)
		if err != nil {
			t.Errorf("%s %.60s: %v", tc.method, tc.path, err)
			continue
		}
		res.Body.Close()
		if kind := res.Header.Get("Content-Type"); res.StatusCode/100 != 4 || kind != "application/problem+json" {
			t.Errorf("%s %.60s %.20s: %s, %s", tc.method, tc.path, tc.body, res.Status, kind)
		}
	}
	if after := keys(); after > before {
		t.Errorf("%d keys in Redis after requests that were refused, %d before", after, before)
	}
}
