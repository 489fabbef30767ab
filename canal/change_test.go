package canal

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"vidmeta/schema"
)

// rows is an origin that shows these versions.
type rows map[schema.ID]schema.Version

func (r rows) Load(_ context.Context, ids []schema.ID) ([]schema.Document, error) {
	docs := make([]schema.Document, len(ids))
	for i, id := range ids {
		docs[i] = schema.Document{ID: id, Version: r[id], Body: []byte("{}")}
	}
	return docs, nil
}

func (r rows) Versions(_ context.Context, ids []schema.ID) ([]schema.Version, error) {
	versions := make([]schema.Version, len(ids))
	for i, id := range ids {
		versions[i] = r[id]
	}
	return versions, nil
}

func TestQueryMeaning(t *testing.T) {
	for _, tc := range []struct {
		open           bool // within a transaction
		database, text string
		ends, drops    bool
	}{
		{false, "app", "BEGIN", false, false},
		{true, "app", "COMMIT", true, false},
		{true, "app", "ROLLBACK", true, false},
		{true, "app", "ROLLBACK TO SAVEPOINT a", false, false},
		{true, "app", "SAVEPOINT `a`", false, false},
		{true, "app", "/* web */ INSERT INTO log VALUES (1)", false, false},
		{true, "app", "DROP TEMPORARY TABLE t", false, false},
		{true, "app", "UPDATE videos SET title = 1", false, true}, // binlog_format=STATEMENT
		{true, "app", "-- x\nUPDATE `videos` SET title = 1", false, true},
		{true, "app", "UPDATE somewhere SET title = 1", false, false},
		{true, "app", "INSERT INTO log VALUES ('nothing of our videos'), ('it''s videos')", false, false},
		{false, "app", "RENAME TABLE `a'b` TO x, videos TO `c'd`", true, true},
		{false, "app", "ANALYZE LOCAL TABLE videos", true, false},
		{true, "app", "ANALYZE FORMAT=JSON DELETE FROM videos", false, true},
		{true, "app", "INSERT INTO log VALUES ('it\\'s videos')", false, true}, // or the end of a literal: that depends on sql_mode
		{true, "other", "INSERT INTO app.log VALUES (1)", false, false},
		{true, "other", "INSERT INTO app.video_tags VALUES (1, 'a')", false, true},
		{false, "app", "TRUNCATE TABLE videos", true, true},
		{false, "app", "/* who */ truncate `video_tags`", true, true},
		{false, "other", "ALTER TABLE app.videos ADD x INT", true, true},
		{false, "other", "ALTER TABLE videos ADD x INT", true, false},
		{false, "app", "ALTER TABLE app.elsewhere ADD x INT", true, false},
		{false, "app", "DROP TRIGGER videos_version_update", true, true},
		{false, "other", "DROP DATABASE app", true, true},
		{false, "other", "DROP DATABASE application", true, false},
		{false, "other", "/* by hand */ DROP /* all of */ DATABASE app", true, true},
		{false, "app", "-- the video's language\nALTER TABLE videos MODIFY title VARCHAR(80) NOT NULL DEFAULT ''", true, true},
		{false, "app", "# the video's language\nALTER TABLE videos MODIFY title VARCHAR(80) NOT NULL DEFAULT ''", true, true},
		{false, "app", "/* the video's language */ ALTER TABLE videos MODIFY title VARCHAR(80) NOT NULL DEFAULT ''", true, true},
		{false, "app", "CREATE TABLE \"it's\" LIKE videos; -- '", true, true},
		{false, "app", "CREATE TABLE elsewhere (id INT)", true, false},
		{false, "app", "CREATE TABLE videos_old (id INT)", true, false},
		{false, "app", "RENAME TABLE x TO video_cast", true, true},
		{false, "app", "ANALYZE TABLE videos", true, false},
		{false, "app", "XA COMMIT 'a'", true, true},
		{false, "app", "XA ROLLBACK 'a'", true, false},
		{false, "app", "XA START 'a'", false, false},
		{true, "app", "XA END 'a'", false, false},
		{false, "app", "", true, false},
	} {
		w := newWatcher("app")
		w.open = tc.open
		m := w.query(tc.database, tc.text)
		if m.ends != tc.ends || (m.drop != "") != tc.drops {
			t.Errorf("%q in %s: %+v, want ends %v, drops %v", tc.text, tc.database, m, tc.ends, tc.drops)
		}
	}
}

func TestIncidentDrops(t *testing.T) {
	e := &replication.BinlogEvent{Header: &replication.EventHeader{EventType: replication.INCIDENT_EVENT}, Event: &replication.GenericEvent{}}
	if m, err := newWatcher("app").meaningOf(e); err != nil || m.drop == "" || !m.ends {
		t.Errorf("the server has lost events, and it means %+v, %v", m, err)
	}
}

// The place goes on with what has been read, and not back: neither to the beginning of a file that is opened again, nor to
// a file that is passed over on the way to it.
func TestPlaceGoesOn(t *testing.T) {
	p := newPosition(t, "mariadb:0-1-5 me 200 4096 binlog.000002")
	p.server = "me"
	at := func(eventType replication.EventType, created, end, size uint32, event replication.Event) {
		p.locate(&replication.BinlogEvent{Event: event,
			Header: &replication.EventHeader{EventType: eventType, Timestamp: created, LogPos: end, EventSize: size}})
	}
	open := func(file string, created uint32) {
		at(replication.ROTATE_EVENT, 0, 0, 0, &replication.RotateEvent{NextLogName: []byte(file)})
		at(replication.FORMAT_DESCRIPTION_EVENT, created, 0, 0, &replication.FormatDescriptionEvent{})
	}
	want := func(when string, created, offset uint32, file string) {
		t.Helper()
		if got, want := p.place, (place{server: "me", created: created, offset: offset, file: file}); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	gtid := &replication.MariadbGTIDEvent{}
	open("binlog.000001", 100)
	at(replication.MARIADB_GTID_LIST_EVENT, 0, 9000, 50, &replication.GenericEvent{})
	want("an earlier file", 200, 4096, "binlog.000002")
	open("binlog.000002", 200)
	want("the same file", 200, 4096, "binlog.000002")
	at(replication.MARIADB_GTID_EVENT, 0, 5000, 42, gtid)
	want("a transaction has begun", 200, 4958, "binlog.000002")
	if err := p.begin(gtid); err != nil {
		t.Fatal(err)
	}
	at(replication.XID_EVENT, 0, 5500, 30, &replication.XIDEvent{})
	want("within it", 200, 4958, "binlog.000002")
	if err := p.commit(); err != nil {
		t.Fatal(err)
	}
	at(replication.XID_EVENT, 0, 5600, 30, &replication.XIDEvent{})
	want("after it", 200, 5600, "binlog.000002")
	open("binlog.000003", 300)
	want("the next file", 300, 0, "binlog.000003")
	open("binlog.000003", 400)
	want("begun anew", 400, 0, "binlog.000003")
}

func newPosition(t *testing.T, checkpoint string) *position {
	t.Helper()
	p, err := parsePosition(MariaDB, checkpoint)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPositionRoundTrip(t *testing.T) {
	for flavor, checkpoints := range map[Flavor][]string{
		MariaDB: {"mariadb:", "mariadb:0-1-5", "mariadb:0-1-5,7-2-9"},
		MySQL:   {"mysql:", "mysql:de278ad0-2106-11e4-9f8e-6edd0ca20947:1-5:7"},
	} {
		for _, c := range checkpoints {
			p, err := parsePosition(flavor, c)
			if err != nil {
				t.Errorf("%q: %v", c, err)
			} else if p.checkpoint() != c {
				t.Errorf("%q becomes %q", c, p.checkpoint())
			}
		}
	}
	for _, c := range []string{"", "0-1-5", "mysql:0-1-5", "mariadb:x"} {
		if p, err := parsePosition(MariaDB, c); err == nil {
			t.Errorf("%q was read as %s", c, p.checkpoint())
		}
	}
}

// Who finds that everything was being dropped drops it, though the reason may be gone.
func TestRecall(t *testing.T) {
	s := &Sidecar{useless: "mariadb:0-1-4"}
	for checkpoint, stands := range map[string]bool{"mariadb:0-1-5": true, "mariadb:0-1-4": false, dropping: false, "": false, "mysql:": false} {
		if pos, lost := s.recall(MariaDB, "e", checkpoint); (lost == "") != stands || (pos != nil) != stands {
			t.Errorf("%q: %v, lost: %q", checkpoint, pos, lost)
		}
	}
}

// The largest version stands for all; one that falls after it makes it one more, and everything goes if there is none.
func TestQueueCoalesces(t *testing.T) {
	for _, tc := range []struct {
		versions []schema.Version
		want     schema.Version
		drops    bool
	}{
		{[]schema.Version{5, 7, 7, 9}, 9, false},
		{[]schema.Version{5, 9, 7}, 10, false},
		{[]schema.Version{5, 9, 7, 11, 12}, 12, false},
		{[]schema.Version{schema.MaxVersion}, schema.MaxVersion, false},
		{[]schema.Version{schema.MaxVersion, 7}, schema.MaxVersion, true},
		{[]schema.Version{1<<64 - 1}, schema.MaxVersion, true},
	} {
		q := newQueue(newPosition(t, "mariadb:0-1-5"))
		for _, v := range tc.versions {
			if err := q.put(meaning{changes: []schema.Change{{ID: 1, Version: v}}}, nil); err != nil {
				t.Fatal(err)
			}
		}
		b, err := q.take(t.Context(), time.Minute)
		if err != nil || !slices.Equal(b.changes, []schema.Change{{ID: 1, Version: tc.want}}) || (b.drop != "") != tc.drops {
			t.Errorf("of %v took %+v, %v", tc.versions, b, err)
		}
	}
}

// A full queue makes its writer wait, and loses nothing.
func TestQueueBlocksWhenFull(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(newPosition(t, "mariadb:"))
		const n = 3*queueSize + 7
		go func() {
			for id := range schema.ID(n) {
				if err := q.put(meaning{changes: []schema.Change{{ID: id, Version: 1}}}, nil); err != nil {
					t.Error(err)
				}
			}
		}()
		got := map[schema.ID]bool{}
		for len(got) < n {
			synctest.Wait() // the writer is blocked or done
			b, err := q.take(t.Context(), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			if len(b.changes) > queueSize {
				t.Fatalf("%d changes gathered, more than %d", len(b.changes), queueSize)
			}
			for _, c := range b.changes {
				got[c.ID] = true
			}
		}
	})
}

func TestQueueHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(newPosition(t, "mariadb:0-1-5"))
		begun := time.Now()
		b, err := q.take(t.Context(), heartbeat)
		if err != nil || len(b.changes) != 0 || time.Since(begun) != heartbeat {
			t.Errorf("took %+v, %v after %v", b, err, time.Since(begun))
		}
		q.close(errPurged)
		if _, err := q.take(t.Context(), heartbeat); !errors.Is(err, errPurged) {
			t.Errorf("a closed queue: %v", err)
		}
	})
}

// The watermark is the time of the last probe whose transactions have all been read, and probes never pile up.
func TestWatermark(t *testing.T) {
	set := func(n string) mysql.GTIDSet { return newPosition(t, "mariadb:0-1-"+n).set }
	t0 := time.Unix(1000, 0)
	var w watermark
	w.add(probe{t0, set("5")})
	w.add(probe{t0.Add(1), set("5")})
	w.add(probe{t0.Add(2), set("6")})
	if at := w.reached(newPosition(t, "mariadb:0-1-4")); !at.IsZero() {
		t.Errorf("reached %v before the position", at)
	}
	if at := w.reached(newPosition(t, "mariadb:0-1-5")); !at.Equal(t0.Add(1)) {
		t.Errorf("reached %v, want the second probe", at)
	}
	for i := range 1000 {
		w.add(probe{t0.Add(time.Duration(3 + i)), set("7")})
	}
	if n := len(w.probes); n > probeCount {
		t.Errorf("%d probes wait", n)
	}
	if at := w.reached(newPosition(t, "mariadb:0-1-9")); !at.Equal(t0.Add(1002)) {
		t.Errorf("reached %v, want the last probe", at)
	}
}
