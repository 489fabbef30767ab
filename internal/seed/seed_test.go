package seed_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

// onEach runs a test on every kind of server, in a migrated database of its own.
func onEach(t *testing.T, run func(t *testing.T, db *sql.DB)) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) { run(t, migrated(t, flavor)) })
	}
}

func migrated(t testing.TB, flavor stack.Flavor) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(stacktest.Database(t, flavor), mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// load returns the documents 1 to n.
func load(t *testing.T, db *sql.DB, n int) []schema.Document {
	t.Helper()
	store := schema.NewStore(db)
	defer store.Close()
	ids := make([]schema.ID, n)
	for i := range ids {
		ids[i] = schema.ID(i + 1)
	}
	documents := make([]schema.Document, 0, n)
	for some := range slices.Chunk(ids, schema.MaxLoad) {
		d, err := store.Load(t.Context(), some)
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, d...)
	}
	return documents
}

// count returns the number of rows of each table.
func count(t *testing.T, db *sql.DB) string {
	t.Helper()
	var all string
	for _, table := range append(slices.Clone(schema.Tables), "video_stats", schema.VersionTable) {
		var n int
		if err := db.QueryRowContext(t.Context(), "SELECT COUNT(*) FROM "+table).Scan(&n); err != nil {
			t.Fatal(err)
		}
		all += fmt.Sprintf("%s %d ", table, n)
	}
	return all
}

func TestSeed(t *testing.T) {
	const n = 1234
	onEach(t, func(t *testing.T, db *sql.DB) {
		done := 0
		progress := func(now, total int) {
			if now <= done || total != n {
				t.Errorf("progress %d of %d after %d", now, total, done)
			}
			done = now
		}
		if err := seed.Seed(t.Context(), db, n, progress); err != nil {
			t.Fatal(err)
		}
		if done != n {
			t.Errorf("progress ended at %d", done)
		}
		before, rows := load(t, db, n), count(t, db)
		for _, d := range before {
			if !d.Exists() || !schema.HasPublicID(d.Body, seed.PublicID(d.ID)) {
				t.Fatalf("video %d: %s", d.ID, d.Body)
			}
		}
		var first struct {
			Title, Channel, Kind string
			Year                 int `json:"release_year"`
			Renditions           []struct{ Height int }
		}
		if err := json.Unmarshal(before[0].Body, &first); err != nil {
			t.Fatal(err)
		}
		if first.Title != "After Dark in Central Park" || first.Year != 1900 || first.Channel != "Films of the 1900s" ||
			first.Kind != "film" || len(first.Renditions) != 2 {
			t.Errorf("video 1: %+v", first)
		}

		// Again: nothing changes, not even a version.
		if err := seed.Seed(t.Context(), db, n, nil); err != nil {
			t.Fatal(err)
		}
		if again := count(t, db); again != rows {
			t.Errorf("rows %s, before %s", again, rows)
		}
		for i, d := range load(t, db, n) {
			if d.Version != before[i].Version || string(d.Body) != string(before[i].Body) {
				t.Fatalf("video %d was changed", d.ID)
			}
		}
	})
}

// What is there stays as it is; what is missing, and only that, is added.
func TestSeedAddsWhatIsMissing(t *testing.T) {
	const n = 700
	onEach(t, func(t *testing.T, db *sql.DB) {
		if err := seed.Seed(t.Context(), db, n, nil); err != nil {
			t.Fatal(err)
		}
		rows := count(t, db)
		for _, s := range []string{
			"DELETE FROM videos WHERE id IN (1, 499, 500, 501, 700)", "UPDATE videos SET title = 'mine' WHERE id = 2",
			"DELETE FROM video_renditions WHERE video_id = 3", "INSERT INTO videos (id, title) VALUES (5000, 'mine')",
		} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		before := load(t, db, n)
		if err := seed.Seed(t.Context(), db, n, nil); err != nil {
			t.Fatal(err)
		}
		for i, d := range load(t, db, n) {
			if was := before[i]; was.Exists() && d.Version != was.Version || !was.Exists() && d.Version <= was.Version || !d.Exists() {
				t.Errorf("video %d: version %d, before %d: %s", d.ID, d.Version, was.Version, d.Body)
			}
		}
		for _, s := range []string{"DELETE FROM videos WHERE id = 5000", "DELETE FROM video_versions WHERE video_id = 5000",
			"INSERT INTO video_renditions (video_id, quality, codec) VALUES (3, 'a', 'a'), (3, 'b', 'b')"} {
			if _, err := db.ExecContext(t.Context(), s); err != nil {
				t.Fatal(err)
			}
		}
		if again := count(t, db); again != rows {
			t.Errorf("rows %s, at first %s", again, rows)
		}
	})
}

// Two at once, and one that is interrupted, come to the same end as one.
func TestSeedAtOnce(t *testing.T) {
	const n = 3000
	onEach(t, func(t *testing.T, db *sql.DB) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := seed.Seed(ctx, db, n, func(done, _ int) { cancel() }); !errors.Is(err, context.Canceled) {
			t.Fatalf("interrupted: %v", err)
		}
		ended := make(chan error)
		for range 2 {
			go func() { ended <- seed.Seed(t.Context(), db, n, nil) }()
		}
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		for _, d := range load(t, db, n) {
			if !d.Exists() {
				t.Fatalf("video %d is missing", d.ID)
			}
		}
		var incomplete int
		err := db.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM videos v LEFT JOIN video_stats s ON s.video_id = v.id WHERE s.video_id IS NULL`).Scan(&incomplete)
		if err != nil || incomplete != 0 {
			t.Errorf("%d videos without statistics, %v", incomplete, err)
		}
	})
}

func TestSeedRefuses(t *testing.T) {
	if err := seed.Seed(t.Context(), nil, -1, nil); err == nil {
		t.Error("less than nothing was taken")
	}
}

func BenchmarkSeed(b *testing.B) {
	const videos = 60_000
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db := migrated(b, flavor)
				b.StartTimer()
				if err := seed.Seed(b.Context(), db, videos, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(videos*b.N)/b.Elapsed().Seconds(), "videos/s")
		})
	}
}
