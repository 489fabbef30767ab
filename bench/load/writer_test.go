package load

import (
	"context"
	"database/sql"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack/stacktest"
)

// questions is what the server counts, without this question.
func questions(t *testing.T, conn *sql.Conn) (n int64) {
	t.Helper()
	var name string
	if err := conn.QueryRowContext(t.Context(), "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
		t.Fatal(err)
	}
	return n - 1
}

// TestWriteNotesWhatItCommits has some videos changed again and again, and compares what is noted with what
// MySQL has, and the statements with the server's own count: also where each statement is prepared first.
func TestWriteNotesWhatItCommits(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		for _, how := range []string{"", "?interpolateParams=false"} {
			t.Run(string(flavor)+how, func(t *testing.T) {
				const videos, transactions = 10, 60
				written := []uint64{1, 2, 3, 4, 5} // fewer than writers: some wait for others
				_, dsn := database(t, flavor, videos)
				db, err := mysqldb.Open(dsn+how, mysqldb.Pool{MaxOpen: 16})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				watch, err := db.Conn(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer watch.Close()
				warm(t, db)

				before := questions(t, watch)
				ledger := NewLedger(videos)
				keys := &finite{Keys: Sequence(written), left: transactions}
				w, err := Write(t.Context(), db, keys, PerSecond(2000), ledger)
				if err != nil || w.Transactions != transactions || w.Errors != 0 {
					t.Fatalf("%+v, %v, want %d transactions", w, err, transactions)
				}
				if counted := questions(t, watch) - before - 1; w.Statements != counted || counted != 4*transactions {
					t.Errorf("%d statements, the server counted %d, want %d", w.Statements, counted, 4*transactions)
				}
				now, noted := time.Now(), 0
				for id := uint64(1); id <= videos; id++ {
					var version uint64
					err := db.QueryRow("SELECT version FROM video_versions WHERE video_id = ?", id).Scan(&version)
					if err != nil {
						t.Fatal(err)
					}
					h := ledger.documents[id].Load()
					if wrote := id <= uint64(len(written)); wrote != (h != nil) {
						t.Errorf("video %d: written to is %v, noted %v", id, wrote, h != nil)
					}
					if h == nil {
						continue
					}
					noted += len(h.commits)
					if last := h.commits[len(h.commits)-1]; last.version != version {
						t.Errorf("video %d: version %d was noted last, MySQL has %d", id, last.version, version)
					}
					if v := ledger.Check(id, version-1, now); !v.Stale || v.Late <= 0 || v.Late > time.Minute {
						t.Errorf("video %d: an answer without the last change is %+v", id, v)
					}
				}
				if noted != transactions {
					t.Errorf("%d commits were noted, want %d", noted, transactions)
				}
			})
		}
	}
}

// warm opens as many connections as writers need, so that none has to be prepared later.
func warm(t *testing.T, db *sql.DB) {
	t.Helper()
	for range writerWidth {
		conn, err := db.Conn(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
}

func TestWriteKeepsItsRateUntilItsContextEnds(t *testing.T) {
	db, _ := database(t, stacktest.Flavors(t)[0], 10)
	warm(t, db)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	w, err := Write(ctx, db, Uniform(10), PerSecond(50), nil)
	if err != nil || w.Errors != 0 {
		t.Fatalf("%+v, %v", w, err)
	}
	took := time.Since(began)
	most := 1 + int64(50*took.Seconds())
	if w.Transactions < 25 || w.Transactions > most || took > time.Second+writeTimeout {
		t.Errorf("%d transactions in %v, want some 50 in a second", w.Transactions, took)
	}
}

// TestWriteKeepsPaceWithAnswers has one transaction for each four answers, while answers come and after they have stopped.
func TestWriteKeepsPaceWithAnswers(t *testing.T) {
	db, _ := database(t, stacktest.Flavors(t)[0], 10)
	warm(t, db)
	var answered atomic.Int64
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var loop sync.WaitGroup
	loop.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range 43 {
			<-tick.C
			answered.Add(1)
		}
	})
	w, err := Write(ctx, db, Uniform(10), PerAnswer(0.25, &answered), nil)
	loop.Wait()
	if err != nil || w.Transactions != 10 {
		t.Errorf("%+v, %v, want 10 transactions for 43 answers", w, err)
	}
}

// TestPerAnswer looks when the next transaction may be due: sooner where answers come faster, within bounds.
func TestPerAnswer(t *testing.T) {
	var answered atomic.Int64
	pace := PerAnswer(0.1, &answered)
	for _, c := range []struct {
		answered, n int64
		since, want time.Duration
	}{
		{0, 0, time.Minute, latest},
		{5, 0, 5 * time.Millisecond, 5 * time.Millisecond}, // five are missing, at one in a millisecond
		{9, 0, time.Microsecond, soonest},
		{9, 0, time.Hour, latest},
		{10, 0, time.Second, 0},
		{10, 1, 10 * time.Millisecond, 10 * time.Millisecond},
		{25, 1, time.Second, 0},
	} {
		answered.Store(c.answered)
		if got := pace(c.n, c.since); got != c.want {
			t.Errorf("transaction %d, %d answers in %v: %v, want %v", c.n, c.answered, c.since, got, c.want)
		}
	}
}

func TestWriteTellsOfFailures(t *testing.T) {
	db, _ := database(t, stacktest.Flavors(t)[0], 2)
	keys := &finite{Keys: Sequence([]uint64{1, 3}), left: 10} // 3 does not exist, and so has no version
	w, err := Write(t.Context(), db, keys, PerSecond(1000), nil)
	if err != nil || w.Transactions != 5 || w.Errors != 5 || w.Statements != 40 ||
		!strings.Contains(w.Error, "write video 3: ") {
		t.Errorf("%+v, %v, want five transactions and five errors, each of four statements", w, err)
	}
	if w, err = Write(t.Context(), db, &finite{Keys: Single(3), left: 10}, PerSecond(1000), nil); err == nil || w.Errors != 10 {
		t.Errorf("%+v, %v, want an error when all fail", w, err)
	}
	if _, err = Write(t.Context(), db, nil, PerSecond(1), nil); err == nil {
		t.Error("no keys are taken")
	}
	for _, nothing := range []Pace{PerSecond(0), PerAnswer(0, new(atomic.Int64)), PerSecond(math.NaN())} {
		if _, err = Write(t.Context(), db, Single(1), nothing, nil); err == nil {
			t.Error("a pace of 0 is taken")
		}
	}
}
