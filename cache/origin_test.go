package cache

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// migrated returns an empty database with tables and triggers, on a real server.
func migrated(t *testing.T, flavor stack.Flavor) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(stacktest.Database(t, flavor), mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return db
}

// spoil gives documents versions that no document can have. The table must have lost its constraint.
func spoil(t *testing.T, db *sql.DB, ids ...schema.ID) {
	t.Helper()
	for _, id := range ids {
		execute(t, db, "UPDATE video_versions SET version = ? WHERE video_id = ?", schema.MaxVersion+1, id)
	}
}

func execute(t *testing.T, db *sql.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// loadTogether loads documents in one batch, and returns what became of each.
func loadTogether(t *testing.T, o *origin, ids []schema.ID) ([]loaded, []error) {
	t.Helper()
	o.documents.mu.Lock()
	o.documents.width = 0 // nothing leaves before all are there
	o.documents.mu.Unlock()
	got, errs := make([]loaded, len(ids)), make([]error, len(ids))
	var wg sync.WaitGroup
	for i, id := range ids[:len(ids)-1] {
		wg.Go(func() { got[i], errs[i] = o.document(t.Context(), id) })
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		o.documents.mu.Lock()
		defer o.documents.mu.Unlock()
		if n := len(o.documents.waiting); n != len(ids)-1 {
			return fmt.Errorf("%d wait", n)
		}
		o.documents.width = 1
		return nil
	})
	last := len(ids) - 1
	got[last], errs[last] = o.document(t.Context(), ids[last])
	wg.Wait()
	return got, errs
}

// A document with an impossible version fails alone: its neighbours are loaded, and the database is not held to be ill.
func TestImpossibleVersionFailsAlone(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) { testImpossibleVersion(t, migrated(t, flavor)) })
	}
}

func testImpossibleVersion(t *testing.T, db *sql.DB) {
	const documents = 40
	for id := 1; id <= documents; id++ {
		execute(t, db, "INSERT INTO videos (id, title) VALUES (?, 'a film')", id)
	}
	execute(t, db, "ALTER TABLE video_versions DROP CONSTRAINT "+schema.LargestVersion)
	store := schema.NewStore(db)
	defer store.Close()
	m := newMetrics(nil)
	o, err := newOrigin(OriginConfig{Store: store, Timeout: 10 * time.Second}, Mechanisms{}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	bad := []schema.ID{1, 17, 40}
	spoil(t, db, bad...)
	ids := []schema.ID{17, 1000} // one of them twice, and one that does not exist
	for id := schema.ID(1); id <= documents; id++ {
		ids = append(ids, id)
	}
	for round := 1; round <= 10; round++ { // a breaker that was told would have opened soon
		got, errs := loadTogether(t, o, ids)
		for i, id := range ids {
			var unfit *schema.VersionError
			switch spoilt := slices.Contains(bad, id); {
			case spoilt && (!errors.As(errs[i], &unfit) || unfit.ID != id || !errors.Is(errs[i], schema.ErrUnavailable)):
				t.Fatalf("round %d: %d: %v; want a VersionError of its own", round, id, errs[i])
			case !spoilt && (errs[i] != nil || got[i].doc.ID != id || got[i].doc.Exists() != (id <= documents)):
				t.Fatalf("round %d: %d: %+v, %v", round, id, got[i], errs[i])
			}
		}
		if n := testutil.ToFloat64(m.originStatements); n != float64(round*(1+len(bad))) {
			t.Fatalf("%v statements in %d rounds, want one, and one more for each of %d", n, round, len(bad))
		}
	}
	if !o.breaker.IsClosed() {
		t.Error("the breaker has been told of failures")
	}

	spoil(t, db, ids[2:]...) // all of them
	before := testutil.ToFloat64(m.originStatements)
	_, errs := loadTogether(t, o, ids)
	if n := testutil.ToFloat64(m.originStatements) - before; n != unfitLimit+1 {
		t.Errorf("%v statements for %d impossible versions, want %d", n, documents, unfitLimit+1)
	}
	for i, err := range errs {
		if unfit := (*schema.VersionError)(nil); !errors.As(err, &unfit) {
			t.Errorf("%d: %v", ids[i], err)
		}
	}
	if !o.breaker.IsClosed() {
		t.Error("the breaker has been told of failures")
	}
}

// A store that blames a document which nobody asked for is not asked for ever.
func TestBlameOfAnother(t *testing.T) {
	m := newMetrics(nil)
	o, err := newOrigin(OriginConfig{Store: blaming{newMemory()}}, Mechanisms{}, m, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.document(t.Context(), 1); err == nil {
		t.Error("it was loaded")
	}
	if n := testutil.ToFloat64(m.originStatements); n != 2 {
		t.Errorf("%v statements, want 2", n)
	}
}

// blaming is a store in which document 2 keeps all others from being loaded, even where it is not among them.
type blaming struct{ *memory }

func (blaming) Load(context.Context, []schema.ID) ([]schema.Document, error) {
	return nil, &schema.VersionError{ID: 2, Version: schema.MaxVersion + 1}
}

// A panic in the store counts as a failure of it, and costs the breaker none of its permits: it closes again.
func TestBreakerSurvivesPanics(t *testing.T) {
	m := newMemory()
	m.set(1, 5)
	store := &panicking{memory: m}
	store.panics.Store(true)
	o, err := newOrigin(OriginConfig{Store: store}, Mechanisms{}, newMetrics(nil), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is the one that is let through
		stacktest.WaitFor(t, 10*time.Second, func() error {
			if _, err := o.document(t.Context(), 1); err == nil {
				t.Fatal("it was loaded")
			}
			if !o.breaker.IsOpen() {
				return errors.New("the breaker is not open")
			}
			return nil
		})
		stacktest.WaitFor(t, 10*time.Second, func() error {
			if left := o.breaker.RemainingDelay(); left > 0 {
				return fmt.Errorf("open for another %v", left)
			}
			return nil
		})
	}
	store.panics.Store(false)
	if got, err := o.document(t.Context(), 1); err != nil || got.doc.Version != 5 || !o.breaker.IsClosed() {
		t.Errorf("version %d, %v; closed %v", got.doc.Version, err, o.breaker.IsClosed())
	}
}

// While the origin's breaker lets nothing through a read takes no lease for it, nor the place of the one that is let through.
func TestNoLeaseWithoutOrigin(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r)
	b, trips := c.origin.breaker, roundTrips(t, r)
	refused := func(when string) {
		t.Helper()
		before := trips.Load()
		a, err := c.Get(t.Context(), 1, schema.ReadOptions{})
		if !errors.Is(err, schema.ErrUnavailable) || outcomes(a) != "miss miss failed" {
			t.Errorf("%s: %v, and it went %q", when, err, outcomes(a))
		}
		if n := trips.Load() - before; n != 1 { // a lease is asked for before, and given back after, the answer
			t.Errorf("%s: %d round trips, want that of the read", when, n)
		}
	}
	b.Open()
	refused("open")
	c.docs.wg.Wait() // or the next would join that load
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if left := b.RemainingDelay(); left > 0 {
			return fmt.Errorf("open for another %v", left)
		}
		return nil
	})
	release := origin.hold()
	var trial sync.WaitGroup
	trial.Go(func() {
		if a, err := c.Get(t.Context(), 2, schema.ReadOptions{}); err != nil || outcomes(a) != "miss miss hit" {
			t.Errorf("the one that is let through: %v, and it went %q", err, outcomes(a))
		}
	})
	<-origin.began
	refused("while one tries")
	release()
	trial.Wait()
	c.docs.wg.Wait()
	get(t, c, 1, 5, schema.ReadOptions{})
}

// panicking is a store with a bug.
type panicking struct {
	*memory
	panics atomic.Bool
}

func (p *panicking) Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	if p.panics.Load() {
		panic("ouch")
	}
	return p.memory.Load(ctx, ids)
}
