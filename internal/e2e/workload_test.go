package e2e

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/history"
	"vidmeta/schema"
)

const (
	leaseTime = 3 * time.Second // of a node's lease in Redis
	deadlock  = 1213            // the server's error
	dropTime  = 2 * time.Second // after which all that was cached before DDL has been dropped for the second time
)

// workload writes in plain SQL and reads over HTTP, and records what it did and saw.
type workload struct {
	*fleet
	recorder history.Recorder
	ids      int               // documents 1..ids are written and read
	hot      [32]atomic.Uint64 // ids being written just now
	seed     maphash.Seed
	epoch    atomic.Value           // of the keys in Redis, a string; what was seen last
	since    atomic.Int64           // what was begun before is not recorded any more
	muted    [nodeCount]atomic.Bool // what this node says is not recorded
}

// newWorkload begins with the documents as they are now.
func (f *fleet) newWorkload(t *testing.T, ids int) *workload {
	t.Helper()
	w := &workload{fleet: f, ids: ids, seed: maphash.MakeSeed()}
	w.renew(f.truth(t, f.all()...))
	return w
}

// renew begins a new history with the documents as they are, and returns the old one. Nobody may be writing.
func (w *workload) renew(docs []schema.Document) *history.History {
	now := history.Now()
	w.since.Store(int64(now))
	h := w.recorder.Take()
	for _, d := range docs {
		c := history.Commit{ID: uint64(d.ID), Version: uint64(d.Version), State: history.Absent, Begin: 1, End: now, By: "before"}
		if d.Exists() {
			c.State = history.Live
		}
		w.recorder.Commit(c)
	}
	return h
}

// noted reports whether what a node said to a request begun at a time is recorded: not if it belongs to the history before.
func (w *workload) noted(node int, begin history.Time) bool {
	return int64(begin) > w.since.Load() && !w.muted[node].Load()
}

// pick returns an id to read: mostly one that is being written, when its row may not be visible yet.
func (w *workload) pick() schema.ID {
	if id := w.hot[rand.N(len(w.hot))].Load(); id != 0 && rand.N(4) > 0 {
		return schema.ID(id)
	}
	return schema.ID(1 + rand.N(w.ids))
}

// statements are the ways in which a document changes. Each edition has a body of its own.
var statements = []string{
	"UPDATE videos SET title = UUID() WHERE id = ?",
	"INSERT INTO video_tags (video_id, tag) SELECT id, UUID() FROM videos WHERE id = ?",
	"DELETE FROM video_tags WHERE video_id = ?",
	"DELETE FROM videos WHERE id = ?",
	"INSERT IGNORE INTO videos (id, title) VALUES (?, UUID())",
}

// write changes one document in a transaction, or a few.
func (w *workload) write(ctx context.Context, who string) error {
	var ids []schema.ID
	for range 1 + rand.N(8)/6 {
		ids = append(ids, schema.ID(1+rand.N(w.ids)))
	}
	slices.Sort(ids)
	ids = slices.Compact(ids) // in order, so that no two writers wait for each other
	for _, id := range ids {
		w.hot[rand.N(len(w.hot))].Store(uint64(id))
	}
	statement := statements[rand.N(len(statements))]
	commits, err := w.transact(ctx, statement, ids...)
	var refused *mysql.MySQLError
	if errors.As(err, &refused) && refused.Number == deadlock {
		err = nil // over gaps between rows; nothing was done
	}
	for _, c := range commits {
		c.By = who + ", " + statement
		w.recorder.Commit(c)
	}
	return err
}

// change runs a statement on one document.
func (f *fleet) change(ctx context.Context, statement string, id schema.ID) (history.Commit, error) {
	commits, err := f.transact(ctx, statement, id)
	if err != nil {
		return history.Commit{}, err
	}
	return commits[0], nil
}

// transact runs a statement on each of some documents, all in one transaction, and returns what became of them. If it
// fails when it is to commit, nobody knows whether it did, and the commits are returned without an end.
func (f *fleet) transact(ctx context.Context, statement string, ids ...schema.ID) (commits []history.Commit, err error) {
	tx, err := f.db.BeginTx(ctx, nil)
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	for _, id := range ids {
		if _, err := tx.ExecContext(ctx, statement, id); err != nil {
			return nil, fmt.Errorf("%s: %w", statement, err)
		}
	}
	for _, id := range ids {
		c, live := history.Commit{ID: uint64(id), State: history.Absent}, false
		const query = "SELECT version, EXISTS (SELECT 1 FROM videos WHERE id = video_id) FROM video_versions WHERE video_id = ?"
		if err := tx.QueryRowContext(ctx, query, id).Scan(&c.Version, &live); err != nil {
			return nil, err
		}
		if live {
			c.State = history.Live
		}
		commits = append(commits, c)
	}
	begin := history.Now()
	err = tx.Commit()
	end := history.Now()
	for i := range commits {
		if commits[i].Begin = begin; err == nil {
			commits[i].End = end
		}
	}
	return commits, err
}

// check fails the test with what broke the promises, and leaves the evidence behind.
func check(t *testing.T, h *history.History, limits history.Limits) {
	t.Helper()
	violations := h.Check(limits)
	for i, v := range violations {
		if i == 10 {
			break
		}
		t.Error(v)
	}
	if len(violations) > 0 {
		path, err := evidence(h)
		t.Errorf("%d promises were broken; the history is in %s (%v)", len(violations), path, err)
	}
}

// evidence writes a history where it outlives the test.
func evidence(h *history.History) (path string, err error) {
	f, err := os.CreateTemp("", "vidmeta-history-*.jsonl")
	if err != nil {
		return "", err
	}
	return f.Name(), errors.Join(h.Write(f), f.Close())
}
