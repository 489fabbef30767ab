package schema_test

import (
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vidmeta/schema"
)

// The world of every case of TestTriggers: documents 1, 2 and 3 with all that they can have, 4 with nothing, 5 deleted.
var world = []string{
	"INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two'), (3, 'three'), (4, 'four'), (5, 'five')",
	"INSERT INTO video_tags (video_id, tag) VALUES (1, 'a'), (2, 'a'), (3, 'a'), (5, 'a')",
	"INSERT INTO video_cast (video_id, position, name) VALUES (1, 1, 'A'), (2, 1, 'A'), (3, 1, 'A')",
	"INSERT INTO video_renditions (video_id, quality, codec, height) VALUES (1, '720p', 'av1', 720), (2, '720p', 'av1', 720), (3, '720p', 'av1', 720)",
	"INSERT INTO video_stats (video_id, views) VALUES (1, 1), (2, 2)",
	"DELETE FROM videos WHERE id = 5",
}

func TestTriggers(t *testing.T) {
	cases := []struct {
		name   string
		writes []string // in one transaction
		raised []schema.ID
		by     schema.Version // how far each is raised when the clock has not moved on; 0 means by any number
	}{
		{"update", []string{"UPDATE videos SET title = 'x' WHERE id = 1"}, []schema.ID{1}, 1},
		{"update of many", []string{"UPDATE videos SET title = 'x' WHERE id > 1"}, []schema.ID{2, 3, 4}, 1},
		{"update of none", []string{"UPDATE videos SET title = 'x' WHERE id = 99"}, nil, 0},
		{"insert", []string{"INSERT INTO videos (id, title) VALUES (6, 'x')"}, []schema.ID{6}, 0},
		{"insert … select", []string{"INSERT INTO videos (id, title) SELECT id + 10, title FROM videos WHERE id <= 2"}, []schema.ID{11, 12}, 0},
		{"children by insert … select from videos", []string{"INSERT INTO video_tags SELECT id, title FROM videos WHERE id <= 3"}, []schema.ID{1, 2, 3}, 1},
		{"update by a join of parent and child", []string{"UPDATE videos v JOIN video_tags t ON t.video_id = v.id SET v.title = t.tag WHERE t.tag = 'a'"}, []schema.ID{1, 2, 3}, 1},
		{"update of parent and child by a join", []string{"UPDATE videos v JOIN video_tags t ON t.video_id = v.id SET v.title = 'x', t.tag = 'x' WHERE v.id = 1"}, []schema.ID{1}, 2},
		{"delete with children, cascading", []string{"DELETE FROM videos WHERE id = 1"}, []schema.ID{1}, 0},
		{"delete without children", []string{"DELETE FROM videos WHERE id = 4"}, []schema.ID{4}, 1},
		{"delete by a join", []string{"DELETE t FROM video_tags t JOIN videos v ON v.id = t.video_id WHERE v.title = 'two'"}, []schema.ID{2}, 1},
		{"replace", []string{"REPLACE INTO videos (id, title) VALUES (1, 'x'), (7, 'y')"}, []schema.ID{1, 7}, 0},
		{"replace of a child", []string{"REPLACE INTO video_cast (video_id, position, name) VALUES (1, 1, 'B')"}, []schema.ID{1}, 0},
		{"insert … on duplicate key update", []string{"INSERT INTO videos (id, title) VALUES (1, 'x') ON DUPLICATE KEY UPDATE title = 'x'"}, []schema.ID{1}, 1},
		{"insert … on duplicate key update of a child", []string{"INSERT INTO video_cast VALUES (2, 1, 'x'), (3, 2, 'y') ON DUPLICATE KEY UPDATE name = 'x'"}, []schema.ID{2, 3}, 1},
		{"insert ignore of what is there", []string{"INSERT IGNORE INTO videos (id, title) VALUES (1, 'x')"}, nil, 0},
		{"tags alone: insert", []string{"INSERT INTO video_tags VALUES (4, 'x')"}, []schema.ID{4}, 1},
		{"tags alone: update", []string{"UPDATE video_tags SET tag = 'x' WHERE video_id = 1"}, []schema.ID{1}, 1},
		{"tags alone: delete", []string{"DELETE FROM video_tags WHERE video_id IN (2, 3)"}, []schema.ID{2, 3}, 1},
		{"cast alone: insert", []string{"INSERT INTO video_cast VALUES (1, 2, 'B'), (1, 3, 'C')"}, []schema.ID{1}, 2},
		{"cast alone: update", []string{"UPDATE video_cast SET name = 'B' WHERE video_id = 2"}, []schema.ID{2}, 1},
		{"cast alone: delete", []string{"DELETE FROM video_cast WHERE video_id = 3"}, []schema.ID{3}, 1},
		{"renditions alone: insert", []string{"INSERT INTO video_renditions (video_id, quality, codec) VALUES (4, 'x', 'y')"}, []schema.ID{4}, 1},
		{"renditions alone: update", []string{"UPDATE video_renditions SET url = 'x' WHERE video_id = 3"}, []schema.ID{3}, 1},
		{"renditions alone: delete", []string{"DELETE FROM video_renditions WHERE video_id = 1"}, []schema.ID{1}, 1},
		{"a tag moves up", []string{"UPDATE video_tags SET video_id = 4 WHERE video_id = 1"}, []schema.ID{1, 4}, 1},
		{"a tag moves down", []string{"DELETE FROM video_tags WHERE video_id = 1", "UPDATE video_tags SET video_id = 1 WHERE video_id = 3"}, []schema.ID{1, 3}, 0},
		{"a member of the cast moves", []string{"UPDATE video_cast SET video_id = 4 WHERE video_id = 2"}, []schema.ID{2, 4}, 1},
		{"a rendition moves", []string{"UPDATE video_renditions SET video_id = 4 WHERE video_id = 3"}, []schema.ID{3, 4}, 1},
		{"an id changes", []string{"UPDATE videos SET id = 40 WHERE id = 4"}, []schema.ID{4, 40}, 0},
		{"an id changes to a lower one", []string{"UPDATE videos SET id = 5 WHERE id = 4"}, []schema.ID{4, 5}, 1},
		{"an id changes, and with it the children", []string{"UPDATE videos SET id = 30 WHERE id = 3"}, []schema.ID{3, 30}, 0},
		{"a deleted one is inserted again", []string{"INSERT INTO videos (id, title) VALUES (5, 'again')"}, []schema.ID{5}, 1},
		{"deleted and inserted again", []string{"DELETE FROM videos WHERE id = 1", "INSERT INTO videos (id, title) VALUES (1, 'again')"}, []schema.ID{1}, 0},
		{"many statements", []string{"UPDATE videos SET title = 'x' WHERE id = 1", "DELETE FROM video_tags WHERE video_id = 1",
			"INSERT INTO video_tags VALUES (1, 'x'), (1, 'y')", "UPDATE video_cast SET name = 'x' WHERE video_id = 2"}, []schema.ID{1, 2}, 0},
		{"statistics", []string{"UPDATE video_stats SET views = views + 1", "INSERT INTO video_stats (video_id) VALUES (3)",
			"DELETE FROM video_stats WHERE video_id = 1"}, nil, 0},
	}
	onEach(t, func(t *testing.T, db *sql.DB) {
		for _, clock := range []struct {
			name    string
			version schema.Version // of every document before the case
		}{
			{"clock ahead", 1},
			{"clock behind", schema.MaxVersion - 1000},
		} {
			for _, c := range cases {
				t.Run(clock.name+"/"+c.name, func(t *testing.T) {
					tx, err := db.BeginTx(t.Context(), nil)
					if err != nil {
						t.Fatal(err)
					}
					defer func() { _ = tx.Rollback() }() // nothing of a case stays
					exec(t, tx, world...)
					exec(t, tx, fmt.Sprintf("UPDATE video_versions SET version = %d", clock.version))
					before := versions(t, tx)
					exec(t, tx, c.writes...)
					after := versions(t, tx)
					var raised []schema.ID
					for id, v := range after {
						if v < before[id] {
							t.Errorf("video %d fell from version %d to %d", id, before[id], v)
						}
						if v == before[id] {
							continue
						}
						raised = append(raised, id)
						if old, was := before[id]; was && clock.version > 1 && c.by != 0 && v != old+c.by {
							t.Errorf("video %d went from version %d to %d, want %d more", id, old, v, c.by)
						}
						if !(clock.version > 1 && before[id] != 0) {
							within(t, v, time.Now(), time.Minute)
						}
					}
					slices.Sort(raised)
					if !slices.Equal(raised, c.raised) {
						t.Errorf("raised %v, want %v", raised, c.raised)
					}
				})
			}
		}
	})
}

// Each trigger of the migrations is known by its name, and is what a server makes of it.
func TestWantedTriggers(t *testing.T) {
	wanted, err := schema.WantedTriggers()
	if err != nil {
		t.Fatal(err)
	}
	names := slices.Sorted(maps.Keys(wanted))
	if want := slices.Sorted(slices.Values(schema.TriggerNames())); !slices.Equal(names, want) {
		t.Errorf("wanted: %v, named: %v", names, want)
	}
	for name, w := range wanted {
		if name != schema.TriggerName(w.Table, strings.ToLower(w.Event)) || w.Timing != "AFTER" || !strings.Contains(w.Statements, "video_versions") {
			t.Errorf("%s: %+v", name, w)
		}
	}
	onEach(t, func(t *testing.T, db *sql.DB) {
		are, err := schema.ReadTriggers(t.Context(), db)
		if err != nil || len(are) != len(wanted) {
			t.Errorf("%d triggers, %v", len(are), err)
		}
		altered, err := schema.AlteredTriggers(are)
		if err != nil || len(altered) > 0 {
			t.Errorf("altered: %v, %v", altered, err)
		}
		one, two := schema.TriggerName("video_cast", "insert"), schema.TriggerName("video_tags", "update")
		exec(t, db, "DROP TRIGGER "+one, "DROP TRIGGER "+two, "CREATE TRIGGER "+one+" AFTER UPDATE ON video_cast FOR EACH ROW "+wanted[one].Statements)
		if are, err = schema.ReadTriggers(t.Context(), db); err != nil {
			t.Fatal(err)
		}
		if altered, err := schema.AlteredTriggers(are); err != nil || !slices.Equal(altered, []string{one}) {
			t.Errorf("altered: %v, %v, want %s", altered, err, one)
		}
	})
}

func TestCascades(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		if got, err := schema.Cascades(t.Context(), db); err != nil || got != nil {
			t.Errorf("as migrated: %+v, %v", got, err)
		}
		exec(t, db,
			"CREATE TABLE people (id INT, place INT, PRIMARY KEY (id, place))",
			"ALTER TABLE video_cast ADD person INT COMMENT 'CONSTRAINT `x` FOREIGN KEY (`y`) REFERENCES `z` (`z`) ON DELETE CASCADE', ADD place INT,"+
				" ADD CONSTRAINT `some one` FOREIGN KEY (person, place) REFERENCES people (id, place) ON DELETE SET NULL ON UPDATE CASCADE",
			"ALTER TABLE videos ADD part_of BIGINT UNSIGNED, ADD later BIGINT UNSIGNED,"+
				" ADD CONSTRAINT partly FOREIGN KEY (part_of) REFERENCES videos (id) ON DELETE CASCADE,"+
				" ADD CONSTRAINT harmless FOREIGN KEY (later) REFERENCES videos (id) ON DELETE RESTRICT ON UPDATE NO ACTION",
			"ALTER TABLE video_tags ADD also BIGINT UNSIGNED, ADD CONSTRAINT also FOREIGN KEY (also) REFERENCES videos (id) ON UPDATE CASCADE",
			"ALTER TABLE video_versions ADD CONSTRAINT version_of FOREIGN KEY (video_id) REFERENCES videos (id) ON DELETE CASCADE")
		want := []schema.Cascade{
			{Table: "video_versions", Name: "version_of", Parent: "`videos`", Rules: "ON DELETE CASCADE"},
			{Table: "videos", Name: "partly", Parent: "`videos`", Rules: "ON DELETE CASCADE"},
			{Table: "video_tags", Name: "also", Parent: "`videos`", Rules: "ON UPDATE CASCADE"},
			{Table: "video_cast", Name: "some one", Parent: "`people`", Rules: "ON DELETE SET NULL ON UPDATE CASCADE"},
		}
		if got, err := schema.Cascades(t.Context(), db); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

// At the largest version a document cannot be written any more, by any kind of statement: better than one that changes
// without a version, or under one that no envelope holds.
func TestLargestVersion(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two')",
			fmt.Sprintf("UPDATE video_versions SET version = %d WHERE video_id = 1", schema.MaxVersion))
		for _, s := range []string{
			"UPDATE videos SET title = 'x' WHERE id = 1", "UPDATE IGNORE videos SET title = 'x' WHERE id = 1",
			"INSERT INTO video_tags VALUES (1, 'x')", "INSERT IGNORE INTO video_tags VALUES (1, 'x')",
			"REPLACE INTO videos (id, title) VALUES (1, 'x')", "DELETE IGNORE FROM videos WHERE id = 1",
			"UPDATE video_versions SET version = 18446744073709551615 WHERE video_id = 2",
		} {
			if _, err := db.ExecContext(t.Context(), s); err == nil || !strings.Contains(err.Error(), schema.LargestVersion) {
				t.Errorf("%s: %v", s, err)
			}
		}
		store := newStore(t, db)
		docs, err := store.Load(t.Context(), []schema.ID{1})
		if err != nil || docs[0].Version != schema.MaxVersion || parse(t, docs[0]).Title != "one" {
			t.Errorf("loaded %+v, %v", docs, err)
		}

		exec(t, db, "ALTER TABLE video_versions DROP CONSTRAINT "+schema.LargestVersion, "UPDATE videos SET title = 'x' WHERE id = 1")
		docs, err = store.Load(t.Context(), []schema.ID{1, 2})
		var large *schema.VersionError
		if !errors.As(err, &large) || *large != (schema.VersionError{ID: 1, Version: schema.MaxVersion + 1}) || docs != nil {
			t.Errorf("beyond the largest: %+v, %v", docs, err)
		}
		if versions, err := store.Versions(t.Context(), []schema.ID{1}); err != nil || versions[0] != schema.MaxVersion+1 {
			t.Errorf("its version: %d, %v", versions, err)
		}
	})
}

// within fails the test if a version does not mean a time near another.
func within(t *testing.T, v schema.Version, at time.Time, tolerance time.Duration) {
	t.Helper()
	if off := time.UnixMicro(int64(v)).Sub(at); math.Abs(float64(off)) > float64(tolerance) {
		t.Errorf("version %d is %v off", v, off)
	}
}

// versions returns the versions of all documents.
func versions(t *testing.T, tx *sql.Tx) map[schema.ID]schema.Version {
	t.Helper()
	rows, err := tx.QueryContext(t.Context(), "SELECT video_id, version FROM video_versions")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	all := make(map[schema.ID]schema.Version)
	for rows.Next() {
		var id, v uint64
		if err := rows.Scan(&id, &v); err != nil {
			t.Fatal(err)
		}
		all[schema.ID(id)] = schema.Version(v)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// A version is microseconds of UTC, to the microsecond, whatever the session thinks of zones and modes.
func TestVersionIsUTC(t *testing.T) {
	cases := []struct {
		session string
		want    schema.Version // 0 means now
	}{
		{"SET time_zone = '-11:00'", 0},
		{"SET time_zone = '+13:00'", 0},
		{"SET sql_mode = 'ANSI,NO_UNSIGNED_SUBTRACTION,PAD_CHAR_TO_FULL_LENGTH'", 0},
		{"SET NAMES latin1", 0},
		// The end of summer time in Central Europe: the wall clock steps back by an hour between the two.
		{"SET time_zone = '+02:00', timestamp = 1793494799.250001", 1793494799_250001},
		{"SET time_zone = '+01:00', timestamp = 1793494800.250002", 1793494800_250002},
	}
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		for _, c := range cases {
			t.Run(c.session, func(t *testing.T) {
				tx, err := db.BeginTx(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = tx.Rollback() }()
				exec(t, tx, "UPDATE video_versions SET version = 1", c.session, "UPDATE videos SET title = 'x'")
				switch v := versionOf(t, tx, 1); {
				case c.want == 0:
					within(t, v, time.Now(), time.Minute)
				case v != c.want:
					t.Errorf("version %d, want %d", v, c.want)
				}
				exec(t, tx, "SET timestamp = DEFAULT")
			})
		}
	})
}

func TestRollbackLeavesVersion(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		before := versionOf(t, db, 1)
		tx, err := db.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		exec(t, tx, "UPDATE videos SET title = 'x'", "INSERT INTO video_tags VALUES (1, 'x')")
		if versionOf(t, tx, 1) <= before {
			t.Error("the transaction does not see a new version")
		}
		if err := tx.Rollback(); err != nil {
			t.Fatal(err)
		}
		if after := versionOf(t, db, 1); after != before {
			t.Errorf("version %d after a rollback, %d before", after, before)
		}
		// A statement that fails half way takes its versions with it.
		if _, err := db.ExecContext(t.Context(), "INSERT INTO video_tags VALUES (1, 'a'), (1, 'a')"); err == nil {
			t.Error("the same tag twice was taken")
		}
		if after := versionOf(t, db, 1); after != before {
			t.Errorf("version %d after a failed statement, %d before", after, before)
		}
	})
}

// The application's own view of its statements is what it would be without triggers.
func TestTriggersDoNotShow(t *testing.T) {
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec(t, db, "INSERT INTO videos (id, title) VALUES (100, 'one')")
		result, err := db.ExecContext(t.Context(), "INSERT INTO videos (title) VALUES ('two'), ('three')")
		if err != nil {
			t.Fatal(err)
		}
		if id, err := result.LastInsertId(); err != nil || id != 101 {
			t.Errorf("last insert id %d, %v; want 101", id, err)
		}
		if n, err := result.RowsAffected(); err != nil || n != 2 {
			t.Errorf("%d rows affected, %v; want 2", n, err)
		}
	})
}

// Writers of one document at once: every commit leaves a version of its own, larger than all that were committed before.
func TestConcurrentWriters(t *testing.T) {
	const writers, writes = 8, 40
	onEach(t, func(t *testing.T, db *sql.DB) {
		exec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one')")
		exec(t, db, "CREATE TABLE history (n INT PRIMARY KEY AUTO_INCREMENT, version BIGINT UNSIGNED NOT NULL)")
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range writes {
					if err := write(t, db, w, i); err != nil {
						t.Errorf("writer %d: %v", w, err)
						return
					}
				}
			})
		}
		wg.Wait()
		var n, distinct, falls int
		err := db.QueryRowContext(t.Context(), `SELECT COUNT(*), COUNT(DISTINCT version),
			(SELECT COUNT(*) FROM history a JOIN history b ON b.n > a.n AND b.version <= a.version) FROM history`).Scan(&n, &distinct, &falls)
		if err != nil {
			t.Fatal(err)
		}
		if n != writers*writes || distinct != n || falls != 0 {
			t.Errorf("%d commits, want %d; %d different versions; %d pairs in the wrong order", n, writers*writes, distinct, falls)
		}
	})
}

// write changes document 1 and notes its version while it holds the lock on it, so that the notes are in order of commit.
func write(t *testing.T, db *sql.DB, writer, i int) (err error) {
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		return err
	}
	defer func() {
		if rollback := tx.Rollback(); !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
	}()
	if _, err := tx.Exec("UPDATE videos SET title = ? WHERE id = 1", fmt.Sprint(writer, i)); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO video_tags VALUES (1, ?)", fmt.Sprint(writer, i)); err != nil {
		return err
	}
	if _, err := tx.Exec("INSERT INTO history (version) SELECT version FROM video_versions WHERE video_id = 1"); err != nil {
		return err
	}
	return tx.Commit()
}
