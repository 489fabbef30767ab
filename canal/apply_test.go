package canal

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gtids "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

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
		settled:  func(_ context.Context, id schema.ID) (schema.Version, bool, error) { return 0, false, nil },
		executed: func(context.Context) (gtids.GTIDSet, error) { return newPosition(t, "mariadb:0-1-5").set, nil },
		sound:    func(context.Context) error { return nil }}, c
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

// slowRows take their time to be seen.
type slowRows struct {
	rows
	takes time.Duration
}

func (s slowRows) Versions(ctx context.Context, ids []schema.ID) ([]schema.Version, error) {
	<-time.After(s.takes)
	return s.rows.Versions(ctx, ids)
}

// slowCaches take a second for Muster, two for Mark and four for Publish.
type slowCaches struct{ *caches }

func (s slowCaches) Muster(ctx context.Context, again func(context.Context, []schema.Change) error) (string, error) {
	<-time.After(time.Second)
	return s.caches.Muster(ctx, again)
}

func (s slowCaches) Mark(ctx context.Context, changes []schema.Change) ([]schema.Change, error) {
	<-time.After(2 * time.Second)
	return s.caches.Mark(ctx, changes)
}

type slowFeed struct{ *feed }

func (s slowFeed) Publish(ctx context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	<-time.After(4 * time.Second)
	return s.feed.Publish(ctx, epoch, checkpoint, watermark, changes)
}

// The metrics show what each step of a batch has taken. Heartbeats count for none, nor do batches for which everything goes.
func TestStepsAreTimed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newApplier(t, slowRows{rows{1: 6}, 8 * time.Second})
		a.shared, a.feed = slowCaches{c}, slowFeed{a.feed.(*feed)}
		reg := prometheus.NewPedanticRegistry()
		a.metrics = newMetrics(reg)
		pos, changes := newPosition(t, "mariadb:0-1-5"), []schema.Change{{ID: 1, Version: 6}}
		for _, b := range []batch{{pos: pos}, {pos: pos, changes: changes}, {pos: pos, changes: changes, drop: "somebody altered a table"}} {
			if err := a.apply(t.Context(), b, time.Now()); err != nil {
				t.Fatal(err)
			}
		}
		families, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		took := map[string]float64{}
		for _, f := range families {
			if f.GetName() != "vidmeta_sidecar_step_seconds" {
				continue
			}
			for _, m := range f.GetMetric() {
				step := m.GetLabel()[0].GetValue()
				if took[step] = m.GetHistogram().GetSampleSum(); m.GetHistogram().GetSampleCount() != 1 {
					t.Errorf("step %s was timed %d times, want once", step, m.GetHistogram().GetSampleCount())
				}
			}
		}
		if want := map[string]float64{"rows": 8, "masters": 1, "redis": 2, "feed": 4}; !maps.Equal(took, want) {
			t.Errorf("steps took %v, want %v", took, want)
		}
	})
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

// A version that somebody has lowered or deleted does not come. Once nobody holds its row any more, the document is taken
// out, and the feed goes on; until then everything waits as for any other row.
func TestApplyPassesLoweredVersions(t *testing.T) {
	for _, now := range []schema.Version{0, 3} {
		synctest.Test(t, func(t *testing.T) {
			a, c := newApplier(t, rows{1: now, 2: 7})
			c.held[1] = 5
			var committed atomic.Bool
			a.settled = func(_ context.Context, id schema.ID) (schema.Version, bool, error) {
				if id != 1 {
					t.Errorf("the lock of %d was asked for, which is there", id)
				}
				return now, committed.Load(), nil
			}
			b := batch{changes: []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 7}}, pos: newPosition(t, "mariadb:0-1-5")}
			done := make(chan error)
			go func() { done <- a.apply(t.Context(), b, time.Now()) }()
			<-time.After(time.Hour)
			synctest.Wait()
			c.untouched(t)
			committed.Store(true)
			if err := <-done; err != nil || c.drops() != 0 || c.checkpoint != "mariadb:0-1-5" || c.told[1] != 6 || c.told[2] != 7 {
				t.Errorf("after: %+v, dropped %d times, %v", c, c.drops(), err)
			}
			if v, warm := c.held[1]; warm {
				t.Errorf("Redis holds version %d of what has fallen to %d", v, now)
			}
			if n := testutil.ToFloat64(a.metrics.lowered); n != 1 {
				t.Errorf("%v versions were found lowered", n)
			}
		})
	}
}

// Many lowered versions hold up neither each other nor the heartbeat, on a slow server either.
func TestApplyLooksAtManyLocks(t *testing.T) {
	for _, takes := range []time.Duration{0, 2 * heartbeat} {
		synctest.Test(t, func(t *testing.T) {
			a, c := newApplier(t, slowRows{rows{}, takes})
			asked := map[schema.ID]int{}
			a.settled = func(_ context.Context, id schema.ID) (schema.Version, bool, error) {
				if asked[id]++; time.Since(a.beat) > heartbeat+time.Second {
					t.Errorf("no heartbeat for %v", time.Since(a.beat))
				}
				<-time.After(10 * time.Millisecond)
				return 0, id%7 != 0 || asked[id] > 1, nil // every seventh is locked once
			}
			b := batch{pos: newPosition(t, "mariadb:0-1-5")}
			for id := range schema.ID(100) {
				b.changes = append(b.changes, schema.Change{ID: id + 1, Version: 6})
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			if err := a.apply(ctx, b, time.Now()); err != nil || len(c.told) != 100 || len(asked) != 100 {
				t.Errorf("told of %d, asked for %d locks, %v", len(c.told), len(asked), err)
			}
		})
	}
}

// What nobody's row tells of is dropped once more when it can be seen, however long that takes; the feed goes on, the
// checkpoint does not.
func TestApplyDropsWhatCanBeSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, c := newApplier(t, rows{})
		var seen atomic.Bool
		a.executed = func(context.Context) (gtids.GTIDSet, error) {
			if time.Since(a.beat) > 2*dropSettle {
				t.Errorf("no heartbeat for %v", time.Since(a.beat))
			}
			if seen.Load() {
				return newPosition(t, "mariadb:0-1-6").set, nil
			}
			return newPosition(t, "mariadb:0-1-5").set, nil
		}
		epoch := func() string {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.epoch
		}
		done := make(chan error)
		b := batch{drop: "XA COMMIT", pos: newPosition(t, "mariadb:0-1-6")}
		go func() { done <- a.apply(t.Context(), b, time.Now()) }()
		<-time.After(dropSettle / 2)
		first := epoch()
		<-time.After(patience / 2)
		synctest.Wait()
		if epoch() != first || c.checkpoint != dropping {
			t.Errorf("the epoch went from %s to %s, the checkpoint is %q, and nobody sees it yet", first, epoch(), c.checkpoint)
		}
		seen.Store(true)
		if err := <-done; err != nil || epoch() == first || c.checkpoint != "mariadb:0-1-6" {
			t.Errorf("after: epoch %s, checkpoint %q, %v", epoch(), c.checkpoint, err)
		}
		seen.Store(false) // for ever
		if err := a.apply(t.Context(), b, time.Now()); err == nil || c.checkpoint != dropping {
			t.Errorf("what is never seen: checkpoint %q, %v", c.checkpoint, err)
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

// Rows that are late by little are loaded when they are there; those that are later are waited for in another way.
func TestApplyForeseesLateRows(t *testing.T) {
	for late, want := range map[time.Duration]bool{time.Millisecond: true, time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			origin := &lateRows{rows: rows{1: 6, 2: 7}}
			a, _ := newApplier(t, origin)
			a.warm = true
			begun := time.Now()
			time.AfterFunc(late, func() { origin.visible.Store(true) })
			docs, at := a.foresee(t.Context(), batch{changes: []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 7}}})
			if (docs != nil) != want || time.Since(begun) > 2*foreseeWait {
				t.Fatalf("late by %v: loaded %v after %v", late, docs, time.Since(begun))
			}
			if want && (docs[0].Version != 6 || docs[1].Version != 7 || !at.Equal(begun)) {
				t.Errorf("loaded %v as of %v, begun at %v", docs, at, begun)
			}
		})
	}
}

// A heartbeat between two changes does not make the second one take longer.
func TestApplyForeseesAfterAHeartbeat(t *testing.T) {
	a, c := newApplier(t, rows{1: 6})
	c.held[1] = 5
	for _, changes := range [][]schema.Change{{{ID: 1, Version: 6}}, nil} {
		if err := a.apply(t.Context(), batch{changes: changes, pos: newPosition(t, "mariadb:0-1-5")}, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	if docs, _ := a.foresee(t.Context(), batch{changes: []schema.Change{{ID: 1, Version: 6}}}); docs == nil {
		t.Error("nothing was foreseen")
	}
}
