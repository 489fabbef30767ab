package schema_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The rows of testdata/documents.json: one document with everything, one with as little as the tables allow, one of 9999.
var goldenRows = []string{
	`INSERT INTO videos (id, public_id, title, description, kind, channel, category, language, release_year, duration_ms,
		status, thumbnail_url, published_at, created_at, updated_at) VALUES
	(18446744073709551615, 'dQw4w9WgXcQ', 'Amélie 😀 <"quoted"> & \\ \n\t', CONCAT('line', CONVERT(0xE280A8 USING utf8mb4), 'separator 漢字'),
		'episode', 'Films of the 1950s', 'Drama', 'pt-BR', 1953, 18446744073709551615, 'unlisted', 'https://cdn.example/t.jpg',
		'1953-02-28 23:59:59.999999', '2026-10-25 00:30:00.000001', '2026-11-22 19:00:00')`,
	`INSERT INTO videos (id, title, created_at, updated_at) VALUES (2, '', '1970-01-01 00:00:01', '2038-01-19 03:14:07.999999')`,
	`INSERT INTO videos (id, public_id, title, published_at, created_at, updated_at) VALUES
	(3, '_-_-_-_-_-_', 'x', '9999-12-31 23:59:59.999999', '2000-02-29 12:00:00.123456', '2026-03-29 01:30:00')`,
	`INSERT INTO video_tags VALUES (18446744073709551615, 'b'), (18446744073709551615, 'é'), (18446744073709551615, 'B'),
		(18446744073709551615, '😀'), (3, 'only')`,
	`INSERT INTO video_cast VALUES (18446744073709551615, 2, 'Zoë'), (18446744073709551615, 65535, 'last'),
		(18446744073709551615, 1, 'Ωmega'), (18446744073709551615, 10, 'Zoë')`,
	`INSERT INTO video_renditions VALUES (18446744073709551615, '720p', 'vp9', 1280, 720, 2000, NULL),
		(18446744073709551615, '720p', 'av1', 1280, 720, 1500, 'https://cdn.example/720'),
		(18446744073709551615, '1080p', 'h264', 4294967295, 1080, NULL, ''), (18446744073709551615, 'audio', 'opus', NULL, NULL, 128, 'a')`,
	`UPDATE video_versions SET version = CASE video_id WHEN 2 THEN 9007199254740991 ELSE 1795375182172359 END`,
}

// What a document looks like is the same on every server, in every session, from every size of statement.
func TestLoadGolden(t *testing.T) {
	const golden = "testdata/documents.json"
	ids := []schema.ID{1<<64 - 1, 2, 3}
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			db := migratedAt(t, dsn)
			exec(t, db, goldenRows...)
			for _, session := range []string{
				"", "time_zone=%27-08%3A00%27", "time_zone=%27%2B05%3A30%27&charset=latin1", "parseTime=false&collation=latin1_swedish_ci",
				"sql_mode=%27ANSI%2CPAD_CHAR_TO_FULL_LENGTH%27&loc=Asia%2FTokyo",
			} {
				t.Run(session, func(t *testing.T) {
					db := open(t, dsn+"?"+session)
					store := newStore(t, db)
					documents, err := store.Load(t.Context(), ids)
					if err != nil {
						t.Fatal(err)
					}
					byText, err := schema.LoadByText(t.Context(), db, ids)
					if err != nil {
						t.Fatal(err)
					}
					var got bytes.Buffer
					for i, d := range documents {
						single, err := store.Load(t.Context(), ids[i:i+1])
						if err != nil {
							t.Fatal(err)
						}
						for _, other := range []schema.Document{single[0], byText[i]} {
							if other.ID != d.ID || other.Version != d.Version || !bytes.Equal(other.Body, d.Body) {
								t.Errorf("read in another way: %s", other.Body)
							}
						}
						got.Write(append(d.Body, '\n'))
					}
					if *update {
						if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
							t.Fatal(err)
						}
					}
					want, err := os.ReadFile(golden)
					if err != nil {
						t.Fatal(err)
					}
					if !bytes.Equal(got.Bytes(), want) {
						t.Errorf("got\n%swant\n%s", got.Bytes(), want)
					}
				})
			}
		})
	}
}

func TestLoad(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		store := newStore(t, db)
		exec(t, db,
			"INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two'), (3, 'three')",
			"INSERT INTO video_tags VALUES (1, 'x'), (3, 'x')",
			"DELETE FROM videos WHERE id = 3")
		v1, v2, v3 := versionOf(t, db, 1), versionOf(t, db, 2), versionOf(t, db, 3)
		got, err := store.Load(t.Context(), []schema.ID{2, 99, 1, 3, 2, 0, 1<<64 - 1})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			id      schema.ID
			version schema.Version
			title   string
		}{{2, v2, "two"}, {99, 0, ""}, {1, v1, "one"}, {3, v3, ""}, {2, v2, "two"}, {0, 0, ""}, {1<<64 - 1, 0, ""}} {
			d := got[i]
			if d.ID != want.id || d.Version != want.version || d.Exists() != (want.title != "") {
				t.Errorf("document %d is %d v%d %s, want %+v", i, d.ID, d.Version, d.Body, want)
			}
			if d.Exists() {
				if p := parse(t, d); p.Title != want.title || p.ID != uint64(d.ID) || p.Version != uint64(d.Version) {
					t.Errorf("document %d says %s", i, d.Body)
				}
				if cap(d.Body) != len(d.Body) {
					t.Errorf("document %d keeps %d bytes for %d", i, cap(d.Body), len(d.Body))
				}
			}
		}
		if none, err := store.Load(t.Context(), nil); err != nil || len(none) != 0 {
			t.Errorf("no ids: %v, %v", none, err)
		}
	})
}

// parsed is what the tests look at in a document.
type parsed struct {
	ID      uint64
	Title   string
	Tags    []string
	Cast    []string
	Version uint64
}

func parse(t testing.TB, d schema.Document) (p parsed) {
	t.Helper()
	if err := json.Unmarshal(d.Body, &p); err != nil {
		t.Fatalf("video %d: %v: %s", d.ID, err, d.Body)
	}
	return p
}

// Every length of list, up to the largest, in one statement and each once.
func TestLoadMany(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		store := newStore(t, db)
		values := make([]string, schema.MaxLoad)
		tags := make([]string, schema.MaxLoad)
		all := make([]schema.ID, schema.MaxLoad)
		for i := range values {
			id := 3 * (i + 1)
			all[i] = schema.ID(id)
			values[i], tags[i] = fmt.Sprintf("(%d, 't%d')", id, id), fmt.Sprintf("(%d, 't%d')", id, id)
		}
		slices.Reverse(all)
		exec(t, db, "INSERT INTO videos (id, title) VALUES "+strings.Join(values, ","),
			"INSERT INTO video_tags VALUES "+strings.Join(tags, ","))
		for _, n := range []int{1, 2, 4, 5, 16, 17, 64, 65, 100, 256, 257, 1000, schema.MaxLoad} {
			before := questions(t, db)
			documents, err := store.Load(t.Context(), all[:n])
			if err != nil {
				t.Fatal(err)
			}
			if took := questions(t, db) - before - 1; took > 2 { // at most to prepare, and to execute
				t.Errorf("%d ids: %d statements", n, took)
			}
			for i, d := range documents {
				want := fmt.Sprintf("t%d", d.ID)
				if p := parse(t, d); d.ID != all[i] || p.Title != want || !slices.Equal(p.Tags, []string{want}) {
					t.Fatalf("%d ids: document %d is %s", n, i, d.Body)
				}
			}
		}
		if _, err := store.Load(t.Context(), append(all, 1)); !errors.Is(err, schema.ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}
		if d, err := store.Load(t.Context(), append(all, all...)); err != nil || len(d) != 2*len(all) {
			t.Errorf("every id twice: %d documents, %v", len(d), err)
		}
	})
}

// questions counts the statements that the server has had of this test's connections so far. Test databases share a
// server, so the count is of the one connection that the pool is held to.
func questions(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	db.SetMaxOpenConns(1)
	var name string
	if err := db.QueryRowContext(t.Context(), "SHOW SESSION STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// The parts of a document, and of documents that are read together, agree while writers change them together.
func TestLoadIsOneSnapshot(t *testing.T) {
	level := map[stack.Flavor]string{stack.MariaDB: "tx_isolation", stack.MySQL: "transaction_isolation"}
	for _, flavor := range stacktest.Flavors(t) {
		for _, isolation := range []string{"READ-COMMITTED", "REPEATABLE-READ"} {
			t.Run(string(flavor)+"/"+isolation, func(t *testing.T) {
				dsn := stacktest.Database(t, flavor)
				db := migratedAt(t, dsn)
				exec(t, db, "INSERT INTO videos (id, title) VALUES (1, '0'), (2, '0')",
					"INSERT INTO video_tags VALUES (1, '0'), (2, '0')", "INSERT INTO video_cast VALUES (1, 1, '0'), (2, 1, '0')")
				ctx, cancel := context.WithCancel(t.Context())
				writer := make(chan error, 1)
				go func() {
					defer cancel()
					writer <- rewrite(ctx, db)
				}()
				defer func() {
					cancel()
					if err := <-writer; err != nil {
						t.Error(err)
					}
				}()
				readWhole(ctx, t, newStore(t, open(t, dsn+"?"+level[flavor]+"=%27"+isolation+"%27")))
			})
		}
	}
}

// readWhole reads documents 1 and 2, singly and together, while rewrite changes them, until it has seen enough or ctx ends.
func readWhole(ctx context.Context, t *testing.T, store *schema.Store) {
	const states, rounds = 100, 300 // so many different ones are to be seen, in at least so many rounds
	seen := make(map[string]bool)
	for round := 0; ctx.Err() == nil && (round < rounds || len(seen) < states); round++ {
		for _, ids := range [][]schema.ID{{1}, {2, 1}} {
			documents, err := store.Load(t.Context(), ids)
			if err != nil {
				t.Fatal(err)
			}
			first := parse(t, documents[0])
			seen[first.Title] = true
			for _, d := range documents {
				p := parse(t, d)
				if p.Title != first.Title || !slices.Equal(p.Tags, []string{p.Title}) || !slices.Equal(p.Cast, []string{p.Title}) {
					t.Fatalf("torn: %s beside %s", d.Body, documents[0].Body)
				}
				if p.Title != "0" && p.Title != strconv.FormatUint(p.Version, 10) {
					t.Fatalf("version %d beside the rows of another: %s", p.Version, d.Body)
				}
			}
		}
	}
}

// rewrite changes all parts of documents 1 and 2 together, until ctx ends. In the end the title, the tag, the name and
// the version of both are one number.
func rewrite(ctx context.Context, db *sql.DB) error {
	for n := uint64(1); ctx.Err() == nil; n++ {
		tx, err := db.Begin()
		if err != nil {
			return err
		}
		version := 1_000_000 + n // made by hand, so that it can be told from the rows alone
		for _, s := range []string{
			"UPDATE videos SET title = ?", "UPDATE video_tags SET tag = ?", "UPDATE video_cast SET name = ?",
			"UPDATE video_versions SET version = ?",
		} {
			if _, err := tx.Exec(s, version); err != nil {
				return errors.Join(err, tx.Rollback())
			}
		}
		if err := tx.Commit(); err != nil {
			return err
		}
	}
	return nil
}

func TestLoadEndsWithItsContext(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		store := newStore(t, db)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := store.Load(ctx, []schema.ID{7}); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "[7]") {
			t.Errorf("error: %v", err)
		}
	})
}

func TestClosedStore(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		store := schema.NewStore(db)
		for _, n := range []int{1, 2} {
			if _, err := store.Load(t.Context(), make([]schema.ID, n)); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := store.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := store.Load(t.Context(), []schema.ID{1}); !errors.Is(err, schema.ErrClosed) {
			t.Errorf("load: %v", err)
		}
		if _, err := store.Resolve(t.Context(), []string{"dQw4w9WgXcQ"}); !errors.Is(err, schema.ErrClosed) {
			t.Errorf("resolve: %v", err)
		}
	})
}

// A Store outlives the server it talks to, and the tables' getting a column.
func TestStoreSurvivesRestart(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			server := stacktest.Start(t, stacktest.Config(flavor)).MySQL
			admin := open(t, server.RootDSN(""))
			exec(t, admin, "CREATE DATABASE vidmeta")
			db := migratedAt(t, server.DSN("vidmeta"))
			exec(t, db, "INSERT INTO videos (id, public_id, title) VALUES (1, 'dQw4w9WgXcQ', 'one')")
			store := newStore(t, db)
			look := func() {
				t.Helper()
				if d, err := store.Load(t.Context(), []schema.ID{1}); err != nil || !d[0].Exists() {
					t.Fatalf("load: %v, %v", d, err)
				}
				if ids, err := store.Resolve(t.Context(), []string{"dQw4w9WgXcQ"}); err != nil || ids[0] != 1 {
					t.Fatalf("resolve: %v, %v", ids, err)
				}
			}
			look()
			exec(t, db, "ALTER TABLE videos ADD COLUMN notes TEXT FIRST")
			look()
			if err := server.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
			look()
		})
	}
}

func TestResolve(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		store := newStore(t, db)
		exec(t, db, "INSERT INTO videos (id, public_id, title) VALUES (1, 'dQw4w9WgXcQ', 'a'), (2, 'dqw4w9wgxcq', 'b'), (3, '-----------', 'c')",
			"INSERT INTO videos (id, title) VALUES (4, 'd'), (5, 'e')")
		for _, c := range []struct {
			asked []string
			want  []schema.ID
		}{
			{nil, nil},
			{[]string{"dQw4w9WgXcQ"}, []schema.ID{1}},
			{[]string{"dqw4w9wgxcq", "DQW4W9WGXCQ", "-----------", "dQw4w9WgXcQ", "-----------"}, []schema.ID{2, 0, 3, 1, 3}},
			{[]string{"", "x", "dQw4w9WgXcQ ", "dQw4w9WgX\u00e9", "' OR 1=1 --"}, []schema.ID{0, 0, 0, 0, 0}},
		} {
			got, err := store.Resolve(t.Context(), c.asked)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q: %v, %v; want %v", c.asked, got, err, c.want)
			}
		}
		many := make([]string, schema.MaxLoad+1)
		for i := range many {
			many[i] = fmt.Sprintf("%011d", i)
		}
		if _, err := store.Resolve(t.Context(), many); !errors.Is(err, schema.ErrTooMany) {
			t.Errorf("one too many: %v", err)
		}
		if ids, err := store.Resolve(t.Context(), many[1:]); err != nil || len(ids) != schema.MaxLoad {
			t.Errorf("the most: %d, %v", len(ids), err)
		}
	})
}

// Looking up public ids reads an index, whatever charset the session has.
func TestResolveReadsTheIndex(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			exec(t, migratedAt(t, dsn), "INSERT INTO videos (id, title) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 500) SELECT i, 'x' FROM n",
				"UPDATE videos SET public_id = CONCAT('x', LPAD(id, 10, '0'))")
			for _, session := range []string{"", "charset=latin1", "collation=utf8mb4_unicode_ci"} {
				db := open(t, dsn+"?"+session)
				db.SetMaxOpenConns(1)
				store := newStore(t, db)
				before := rowsRead(t, db)
				ids, err := store.Resolve(t.Context(), []string{"x0000000007", "x0000000499", "y0000000499"})
				if err != nil || !slices.Equal(ids, []schema.ID{7, 499, 0}) {
					t.Fatalf("%v, %v", ids, err)
				}
				if n := rowsRead(t, db) - before; n > 20 {
					t.Errorf("%q: read %d rows", session, n)
				}
			}
		})
	}
}

// rowsRead counts the rows that the one connection of a pool has read one after the other.
func rowsRead(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_rnd_next')")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var value int
		if err := rows.Scan(&name, &value); err != nil {
			t.Fatal(err)
		}
		n += value
	}
	return n
}
