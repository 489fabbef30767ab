package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vidmeta/schema"
)

// commit is what a writer knows: from end on, the document has at least this version.
type commit struct {
	version schema.Version
	end     time.Time
}

// observation is what a reader was told: as of asOf, the document has this version.
type observation struct {
	id      schema.ID
	version schema.Version
	asOf    time.Time
	node    int
	path    string
}

// history is what all writers did and all readers saw.
type history struct {
	mu      sync.Mutex
	commits map[schema.ID][]commit
	seen    []observation
	hot     [32]atomic.Uint64 // ids being written just now
}

// pick returns an id to read: mostly one that is being written, when its row may not be visible yet.
func (h *history) pick() schema.ID {
	if id := h.hot[rand.N(len(h.hot))].Load(); id != 0 && rand.N(4) > 0 {
		return schema.ID(id)
	}
	return schema.ID(1 + rand.N(seeds))
}

// check returns an error for each answer that claims to be true as of a time before which a newer version was committed.
func (h *history) check() (violations []error) {
	for _, commits := range h.commits {
		slices.SortFunc(commits, func(a, b commit) int { return a.end.Compare(b.end) })
		for i := 1; i < len(commits); i++ { // from here on: the largest version that had been committed by then
			commits[i].version = max(commits[i].version, commits[i-1].version)
		}
	}
	for _, o := range h.seen {
		commits := h.commits[o.id]
		n, _ := slices.BinarySearchFunc(commits, o.asOf, func(c commit, t time.Time) int { return c.end.Compare(t) })
		if n > 0 && commits[n-1].version > o.version {
			violations = append(violations, fmt.Errorf("node %d served version %d of %d as of %v, %v after version %d was committed (%s)",
				o.node+1, o.version, o.id, o.asOf, o.asOf.Sub(commits[n-1].end), commits[n-1].version, o.path))
		}
	}
	return violations
}

func TestHistoryCheck(t *testing.T) {
	at := func(ms int) time.Time { return time.UnixMilli(int64(1000 + ms)) }
	h := &history{
		commits: map[schema.ID][]commit{1: {{version: 6, end: at(20)}, {version: 5, end: at(10)}, {version: 7, end: at(15)}}},
		seen: []observation{
			{id: 1, version: 0, asOf: at(5)}, {id: 1, version: 5, asOf: at(12)}, {id: 1, version: 7, asOf: at(30)},
			{id: 1, version: 9, asOf: at(30)}, {id: 2, version: 0, asOf: at(30)},
			{id: 1, version: 4, asOf: at(12)}, {id: 1, version: 6, asOf: at(30)}, // planted
		},
	}
	if v := h.check(); len(v) != 2 {
		t.Errorf("%d violations were found, 2 were planted: %v", len(v), v)
	}
}

const raceTime = 10 * time.Second

// Sixteen writers on a thousand documents, readers on all nodes, and somebody who empties Redis all the time, so that
// reads go to MySQL at the very moment when its rows change.
func (f *fleet) race(t *testing.T) {
	defer f.delayRows(t)()
	h := &history{commits: map[schema.ID][]commit{}}
	ctx, cancel := context.WithTimeout(t.Context(), raceTime)
	defer cancel()
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() { f.write(ctx, t, h) })
	}
	for i := range 4 * nodeCount {
		wg.Go(func() { f.watch(ctx, t, h, i%nodeCount) })
	}
	wg.Go(func() { f.evict(ctx, t, h) })
	wg.Wait()
	if t.Failed() {
		return
	}
	writes := 0
	for _, c := range h.commits {
		writes += len(c)
	}
	t.Logf("%d commits, %d answers", writes, len(h.seen))
	if writes < 100 || len(h.seen) < 100 {
		t.Error("too few to show anything")
	}
	if v := h.check(); len(v) > 0 {
		t.Errorf("%d answers were older than they said, such as: %v", len(v), v[0])
	}
	f.agree(t, span(1, seeds))
}

// write changes documents, one in a transaction, until ctx ends.
func (f *fleet) write(ctx context.Context, t *testing.T, h *history) {
	for n := 0; ctx.Err() == nil; n++ {
		id := schema.ID(1 + rand.N(seeds))
		h.hot[rand.N(len(h.hot))].Store(uint64(id))
		statements := []string{
			"UPDATE videos SET title = CONCAT(LEFT(title, 40), ' again') WHERE id = ?",
			"INSERT INTO video_tags (video_id, tag) SELECT id, UUID() FROM videos WHERE id = ?",
			"DELETE FROM video_tags WHERE video_id = ?",
			"DELETE FROM videos WHERE id = ?",
			"INSERT IGNORE INTO videos (id, title) VALUES (?, 'back')",
		}
		version, err := f.change(statements[rand.N(len(statements))], id)
		if err != nil {
			t.Error(err)
			return
		}
		end := time.Now()
		h.mu.Lock()
		h.commits[id] = append(h.commits[id], commit{version: version, end: end})
		h.mu.Unlock()
	}
}

// change runs a statement and returns the version of the document in the same transaction.
func (f *fleet) change(statement string, id schema.ID) (v schema.Version, err error) {
	tx, err := f.db.Begin()
	if err != nil {
		return 0, err
	}
	defer tx.Rollback()
	if _, err := tx.Exec(statement, id); err != nil {
		return 0, fmt.Errorf("%s: %w", statement, err)
	}
	if err := tx.QueryRow("SELECT version FROM video_versions WHERE video_id = ?", id).Scan(&v); err != nil {
		return 0, err
	}
	return v, tx.Commit()
}

func (f *fleet) watch(ctx context.Context, t *testing.T, h *history, node int) {
	var seen []observation
	for ctx.Err() == nil {
		id := h.pick()
		a, err := f.get(node, id)
		if err != nil {
			t.Error(err)
			return
		}
		seen = append(seen, observation{id: id, version: a.version, asOf: a.asOf, node: node, path: a.path})
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.seen = append(h.seen, seen...)
}

// evict deletes what Redis holds, as an eviction policy would: each document about twice a second, and those that are
// being written more often, so that readers miss and the sidecar finds some of them warm and some cold.
func (f *fleet) evict(ctx context.Context, t *testing.T, h *history) {
	epoch, err := f.redis.HGet(ctx, "{vm:feed}:state", "epoch").Result()
	if err != nil {
		t.Error(err)
		return
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for ctx.Err() == nil {
		pipe := f.redis.Pipeline()
		for range 10 {
			pipe.Del(ctx, fmt.Sprintf("vm:%s:{video:%d}", epoch, h.pick()))
		}
		if _, err := pipe.Exec(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
			return
		}
		<-tick.C
	}
}

// Ten thousand changes, in the middle of which the sidecar is killed and comes back.
func (f *fleet) sidecarKilled(t *testing.T) {
	const changes = 10000
	ids := span(1, seeds)
	for n := range f.nodes {
		for _, id := range ids {
			if _, err := f.get(n, id); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i := range changes / 50 {
		if i == changes/100 {
			if err := f.sidecar.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		// Fifty documents in one statement, each time others.
		_, err := f.db.ExecContext(t.Context(), "UPDATE videos SET language = ? WHERE id % ? = ?", fmt.Sprint(i), seeds/50, i%(seeds/50))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.sidecar.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	drops, err := f.metric(f.sidecarAdmin, "vidmeta_sidecar_drops_total")
	if err != nil || drops != 0 {
		t.Errorf("the new sidecar dropped everything %v times (%v): it had a checkpoint", drops, err)
	}
	f.agree(t, ids)
}
