package canal

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"vidmeta/schema"
)

// lateRows is an origin that shows its versions only from some moment on, and version 5 of everything before.
type lateRows struct {
	rows
	visible atomic.Bool
}

func (l *lateRows) Versions(ctx context.Context, ids []schema.ID) ([]schema.Version, error) {
	if !l.visible.Load() {
		return slices.Repeat([]schema.Version{5}, len(ids)), nil
	}
	return l.rows.Versions(ctx, ids)
}

func (l *lateRows) Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	docs, err := l.rows.Load(ctx, ids)
	if !l.visible.Load() {
		for i := range docs {
			docs[i].Version = 5
		}
	}
	return docs, err
}

// untouched fails the test if anything has been told, marked, dropped or vouched for.
func (c *caches) untouched(t *testing.T) {
	t.Helper()
	drops := c.drops()
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.marked) != 0 || len(c.told) != 0 || c.checkpoint != "" || !c.watermark.IsZero() || drops != 0 {
		t.Fatalf("marked %v, told %v, checkpoint %q, watermark %v, dropped %d times", c.marked, c.told, c.checkpoint, c.watermark, drops)
	}
	if c.epoch != "e" {
		t.Fatal("no heartbeat")
	}
}

func newApplier(t *testing.T, origin Origin) (*applier, *caches) {
	t.Helper()
	c := newCaches()
	f := &feed{caches: c}
	if _, _, err := f.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	return &applier{origin: origin, shared: c, feed: f, metrics: newMetrics(nil), log: slog.New(slog.DiscardHandler), epoch: "e",
		pending: func() string { return "" }, sound: func(context.Context) error { return nil }}, c
}

// Nothing is told, and no lease ended, before new sessions see the row: whoever loads after that sees it too.
func TestApplyWaitsForVisibility(t *testing.T) {
	for _, warm := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			origin := &lateRows{rows: rows{1: 6, 2: 7}}
			a, c := newApplier(t, origin)
			a.warm = warm // documents are loaded in any case then
			c.held[1] = 5
			b := batch{changes: []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 7}}, pos: newPosition(t, "mariadb:0-1-5")}
			done := make(chan error)
			go func() { done <- a.apply(t.Context(), b, time.Now()) }()
			<-time.After(time.Second)
			synctest.Wait()
			c.untouched(t)
			origin.visible.Store(true)
			if err := <-done; err != nil {
				t.Fatal(err)
			}
			if c.held[1] != 6 || c.marked[2] != 7 || c.told[1] != 6 || c.told[2] != 7 || c.checkpoint != "mariadb:0-1-5" || c.drops() != 0 {
				t.Errorf("after: %+v", c)
			}
		})
	}
}

// However long the commit takes, nothing vouches for what is not true yet; nor is a reason to drop everything a reason
// to go on without the rows that are still to come.
func TestApplyWaitsForAsLongAsItTakes(t *testing.T) {
	for _, drop := range []string{"", "somebody altered a table"} {
		synctest.Test(t, func(t *testing.T) {
			origin := &lateRows{rows: rows{1: 6}}
			a, c := newApplier(t, origin)
			b := batch{drop: drop, changes: []schema.Change{{ID: 1, Version: 6}}, pos: newPosition(t, "mariadb:0-1-5")}
			done := make(chan error)
			go func() { done <- a.apply(t.Context(), b, time.Now()) }()
			<-time.After(time.Hour)
			synctest.Wait()
			c.untouched(t)
			origin.visible.Store(true)
			if err := <-done; err != nil || c.told[1] != 6 {
				t.Errorf("after: %+v, %v", c, err)
			}
		})
	}
}

// Rows that somebody has deleted from the version table do not stop the sidecar: their deletion is on its way.
func TestApplyPassesDeletedRows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newApplier(t, rows{})
		var reason atomic.Value
		reason.Store("")
		a.pending = func() string { return reason.Load().(string) }
		b := batch{changes: []schema.Change{{ID: 1, Version: 6}}, pos: newPosition(t, "mariadb:0-1-5")}
		done := make(chan error)
		go func() { done <- a.apply(t.Context(), b, time.Now()) }()
		<-time.After(time.Minute)
		synctest.Wait()
		c.untouched(t)
		reason.Store("rows were deleted")
		if err := <-done; err != nil || c.drops() != 1 || c.checkpoint != "mariadb:0-1-5" {
			t.Errorf("after: %+v, dropped %d times, %v", c, c.drops(), err)
		}
	})
}

// poisoned is an origin that cannot make one of its documents.
type poisoned struct {
	rows
	id schema.ID
}

func (p poisoned) Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	if slices.Contains(ids, p.id) {
		return nil, errors.New("broken on purpose")
	}
	return p.rows.Load(ctx, ids)
}

func TestApplyPoisonedDocument(t *testing.T) {
	origin := poisoned{rows: rows{}, id: 77}
	a, c := newApplier(t, origin)
	b := batch{pos: newPosition(t, "mariadb:0-1-5")}
	for id := range schema.ID(300) {
		origin.rows[id+1], c.held[id+1] = 6, 5
		b.changes = append(b.changes, schema.Change{ID: id + 1, Version: 6})
	}
	if err := a.apply(t.Context(), b, time.Now()); err != nil {
		t.Fatal(err)
	}
	for id := range origin.rows {
		if v, warm := c.held[id]; warm == (id == 77) || (warm && v != 6) {
			t.Errorf("Redis holds version %d of %d (%v)", v, id, warm)
		}
	}
}

// What a promoted master of Redis has missed is brought to it before anything more is told.
func TestApplyBringsWhatWasMissed(t *testing.T) {
	a, c := newApplier(t, rows{1: 6, 2: 7})
	c.held[1], c.missed = 5, []schema.Change{{ID: 1, Version: 6}}
	b := batch{changes: []schema.Change{{ID: 2, Version: 7}}, pos: newPosition(t, "mariadb:0-1-5")}
	if err := a.apply(t.Context(), b, time.Now()); err != nil {
		t.Fatal(err)
	}
	if c.held[1] != 6 || c.told[2] != 7 || c.drops() != 0 {
		t.Errorf("after: %+v", c)
	}
}

// What nobody knows the age of goes, before anything more is told.
func TestApplyDropsWhatAStrangerHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newApplier(t, rows{1: 6})
		c.stranger = "127.0.0.1:7000"
		b := batch{changes: []schema.Change{{ID: 1, Version: 6}}, pos: newPosition(t, "mariadb:0-1-5")}
		if err := a.apply(t.Context(), b, time.Now()); err != nil {
			t.Fatal(err)
		}
		if c.drops() != 1 || c.told[1] != 6 || c.checkpoint != "mariadb:0-1-5" {
			t.Errorf("after: %+v, dropped %d times", c, c.drops())
		}
	})
}

// behind is an origin that loads, now and then, from a server that is behind.
type behind struct {
	rows
	id schema.ID
}

func (b behind) Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	docs, err := b.rows.Load(ctx, ids)
	for i, id := range ids {
		if id == b.id {
			docs[i].Version--
		}
	}
	return docs, err
}

// A document that is older than its change must not stay in Redis as if it were new.
func TestApplyOriginBehind(t *testing.T) {
	a, c := newApplier(t, behind{rows: rows{1: 6}, id: 1})
	c.held[1] = 5
	b := batch{changes: []schema.Change{{ID: 1, Version: 6}}, pos: newPosition(t, "mariadb:0-1-5")}
	if err := a.apply(t.Context(), b, time.Now()); err != nil {
		t.Fatal(err)
	}
	if v, warm := c.held[1]; warm {
		t.Errorf("Redis holds version %d", v)
	}
}

// Where Redis holds what changes, one question to MySQL and one to Redis do for a batch.
func TestApplyForesees(t *testing.T) {
	a, c := newApplier(t, rows{1: 6, 2: 7})
	c.held[1], c.held[2] = 5, 5
	for i, change := range []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 7}, {ID: 2, Version: 7}} {
		b := batch{changes: []schema.Change{change}, pos: newPosition(t, "mariadb:0-1-5")}
		if docs, _ := a.foresee(t.Context(), b); (docs != nil) != (i > 0) {
			t.Errorf("change %d: foreseen %v", i, docs)
		}
		if err := a.apply(t.Context(), b, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if c.held[1] != 6 || c.held[2] != 7 || c.told[2] != 7 || a.warm {
		t.Errorf("after: %+v, warm %v; want nothing foreseen after what was not stale", c, a.warm)
	}
}
