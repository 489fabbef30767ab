package cache

import (
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/schema"
)

// Somebody who has found an entry in Ristretto gives it its place while somebody else takes it out.
func TestFrontForgets(t *testing.T) {
	f := newFront(1 << 20)
	for i := range schema.ID(20_000) {
		e := &localEntry{id: i + 1}
		var wg sync.WaitGroup
		wg.Go(func() { f.show(e, 0) })
		wg.Go(func() { f.forget(e) })
		wg.Wait()
		if f.find(e.id) != nil {
			t.Fatal("an entry that is gone has kept its place")
		}
	}
}

func TestFrontSharesPlaces(t *testing.T) {
	f := newFront(1 << 20)
	one := &localEntry{id: 1}
	two := &localEntry{id: 2}
	for f.at(two.id) != f.at(one.id) {
		two.id++
	}
	f.show(one, 1)
	f.show(two, 1)
	if f.find(1) != one || f.find(two.id) != nil {
		t.Error("a place has changed hands on the first read")
	}
	f.show(two, 8)
	if f.find(1) != nil || f.find(two.id) != two {
		t.Error("the place has not changed hands")
	}
	if f.forget(one); f.find(two.id) != two {
		t.Error("another's entry was taken out")
	}
}

func TestHitsAllocateNothingAndAreCounted(t *testing.T) {
	origin, reg := newMemory(), prometheus.NewRegistry()
	c := openChain(t, origin, openRedis(t), func(c *Config) { c.Registerer = reg })
	origin.set(1, 5)
	get(t, c, 1, 5, schema.ReadOptions{})
	o := schema.ReadOptions{Now: time.Now()}
	const goroutines, reads = 8, 1000
	allocs := testing.AllocsPerRun(reads-1, func() { // it runs once more to warm up
		if a, err := c.Get(t.Context(), 1, o); err != nil || a.Trace[schema.TierLocal].Outcome != schema.Hit {
			t.Fatal(a, err)
		}
	})
	if allocs != 0 {
		t.Errorf("a hit makes %v allocations", allocs)
	}
	var wg sync.WaitGroup
	for range goroutines - 1 {
		wg.Go(func() {
			for range reads {
				if _, err := c.Get(t.Context(), 1, o); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for range 2 { // collecting counts nothing twice
		if _, err := reg.Gather(); err != nil {
			t.Fatal(err)
		}
	}
	if n := testutil.ToFloat64(c.metrics.reads[schema.TierLocal][schema.Hit]); n != goroutines*reads {
		t.Errorf("%v hits were counted, want %d", n, goroutines*reads)
	}
}
