package canal

import (
	"context"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vidmeta/schema"
)

// lateRows is an origin that shows a version only from some moment on.
type lateRows struct {
	rows
	visible atomic.Bool
}

func (l *lateRows) Versions(ctx context.Context, ids []schema.ID) ([]schema.Version, error) {
	if !l.visible.Load() {
		return make([]schema.Version, len(ids)), nil
	}
	return l.rows.Versions(ctx, ids)
}

func newApplier(t *testing.T, origin Origin) (*applier, *caches) {
	t.Helper()
	c := newCaches()
	f := &feed{caches: c}
	if _, _, err := f.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &applier{origin: origin, shared: c, feed: f, metrics: newMetrics(nil), log: slog.New(slog.DiscardHandler), epoch: "e"}, c
}

// Nothing is told, and no lease ended, before new sessions see the row: whoever loads after that sees it too.
func TestApplyWaitsForVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &lateRows{rows: rows{1: 6, 2: 7}}
		a, c := newApplier(t, origin)
		c.held[1] = 5
		b := batch{changes: []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 7}}, pos: newPosition(t, "mariadb:0-1-5")}
		done := make(chan error)
		go func() { done <- a.apply(t.Context(), b, time.Now()) }()
		<-time.After(time.Second)
		synctest.Wait()
		if len(c.marked) != 0 || len(c.told) != 0 || c.checkpoint != "" || !c.watermark.IsZero() {
			t.Fatalf("before the rows are visible: marked %v, told %v, checkpoint %q, watermark %v", c.marked, c.told, c.checkpoint, c.watermark)
		}
		if c.epoch != "e" {
			t.Error("no heartbeat while waiting")
		}
		origin.visible.Store(true)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if c.held[1] != 6 || c.marked[2] != 7 || c.told[1] != 6 || c.told[2] != 7 || c.checkpoint != "mariadb:0-1-5" || c.drops() != 0 {
			t.Errorf("after: %+v", c)
		}
	})
}

// Rows that never show, such as those of a version table that somebody has cut back, do not stop the sidecar for ever.
func TestApplyGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newApplier(t, rows{1: 5})
		b := batch{changes: []schema.Change{{ID: 1, Version: 6}}, pos: newPosition(t, "mariadb:0-1-5")}
		begun := time.Now()
		if err := a.apply(t.Context(), b, time.Now()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begun); took < visibleWait || took > 2*visibleWait {
			t.Errorf("gave up after %v", took)
		}
		if c.drops() != 1 || c.told[1] != 6 || c.checkpoint != "mariadb:0-1-5" {
			t.Errorf("after: %+v, dropped %d times", c, c.drops())
		}
	})
}
