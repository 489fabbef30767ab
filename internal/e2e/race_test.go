package e2e

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"vidmeta/internal/history"
)

const raceTime = 10 * time.Second

// Sixteen writers on a thousand documents, readers on all nodes, and somebody who empties Redis all the time, so that
// reads go to MySQL at the very moment when its rows change.
func (f *fleet) race(t *testing.T) {
	defer f.delayRows(t)()
	w := f.newWorkload(t, seeds)
	ctx, cancel := context.WithTimeout(t.Context(), raceTime)
	defer cancel()
	var wg sync.WaitGroup
	until := func(step func() error) {
		wg.Go(func() {
			for ctx.Err() == nil {
				if err := step(); err != nil && ctx.Err() == nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 16 {
		until(func() error { return w.write(ctx, fmt.Sprintf("writer %d", i+1)) })
	}
	for i := range 4 * nodeCount {
		r := w.newReader(i%nodeCount, fmt.Sprintf("reader %d", i+1))
		until(func() error { return r.get(ctx, w.pick(), plain) })
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	until(func() error {
		<-tick.C
		return w.evict(ctx)
	})
	wg.Wait()
	if t.Failed() {
		return
	}
	h := w.recorder.History()
	t.Log(h)
	if len(h.Commits) < seeds+100 || len(h.Answers) < 100 {
		t.Error("too few to show anything")
	}
	check(t, h, history.Limits{}) // leases end with evictions
	f.agree(t, span(1, seeds))
}

// evict deletes some of what Redis holds, as an eviction policy would: mostly what is being written, so that readers
// miss and the sidecar finds some of it warm and some cold.
func (w *workload) evict(ctx context.Context) error {
	epoch, err := w.redis.HGet(ctx, "{vm:feed}:state", "epoch").Result()
	if err != nil {
		return err
	}
	pipe := w.redis.Pipeline()
	for range 10 {
		pipe.Del(ctx, fmt.Sprintf("vm:%s:{video:%d}", epoch, w.pick()))
	}
	_, err = pipe.Exec(ctx)
	return err
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
			if err := f.sidecars[0].Kill(); err != nil {
				t.Fatal(err)
			}
		}
		// Fifty documents in one statement, each time others.
		_, err := f.db.ExecContext(t.Context(), "UPDATE videos SET language = ? WHERE id % ? = ?", fmt.Sprint(i), seeds/50, i%(seeds/50))
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := f.sidecars[0].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	drops, err := f.metric(f.sidecarAdmins[0], "vidmeta_sidecar_drops_total")
	if err != nil || drops != 0 {
		t.Errorf("the new sidecar dropped everything %v times (%v): it had a checkpoint", drops, err)
	}
	f.agree(t, ids)
}
