package cache

import (
	"strings"
	"testing"
	"time"

	"vidmeta/schema"
)

// small returns a tier with room for 20 documents of one size, and that size.
func small(t *testing.T) (*Local, int) {
	t.Helper()
	size := 1<<20/20 + 1 - entryOverhead
	l, err := NewLocal(LocalConfig{MaxBytes: int64(20 * (size + entryOverhead)), TTL: time.Hour}, NewFence())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, size
}

func (l *Local) storeSized(id schema.ID, v schema.Version, size int) {
	l.store(schema.Document{ID: id, Version: v, Body: []byte(strings.Repeat("x", size))}, l.fence.Stamp(id))
}

// check fails the test unless what is queued is what Ristretto holds, and fits.
func (l *Local) check(t *testing.T) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var entries int
	var cost, main int64
	l.cache.IterValues(func(e *localEntry) bool {
		entries++
		cost += e.cost()
		if e.is(inMain) {
			main += e.cost()
		}
		return false
	})
	for i := range l.front.places {
		if e := l.front.places[i].Load(); e != nil && l.held(e.id) != e {
			t.Errorf("%d has a place in front, and is not what is held", e.id)
		}
	}
	if n := l.turnover.probation.n + l.turnover.main.n; n != entries {
		t.Errorf("%d are queued, %d are held", n, entries)
	}
	if l.turnover.used() != cost || l.turnover.main.cost != main {
		t.Errorf("%d bytes are accounted for, %d of them in the main queue; held are %d and %d",
			l.turnover.used(), l.turnover.main.cost, cost, main)
	}
	if cost > l.cfg.MaxBytes {
		t.Errorf("%d bytes are held, of %d", cost, l.cfg.MaxBytes)
	}
}

func TestPutIsVisibleInAFullTier(t *testing.T) {
	l, size := small(t)
	for id := schema.ID(1); id <= 1000; id++ {
		l.storeSized(id, 5, size)
		if l.served(id) != 5 {
			t.Fatalf("%d is not there after put", id)
		}
	}
	l.check(t)
}

func TestACrawlerPushesOutNothing(t *testing.T) {
	l, size := small(t)
	for id := schema.ID(1); id <= 10; id++ {
		l.storeSized(id, 5, size)
		l.served(id)
	}
	for id := schema.ID(100); id < 1000; id++ {
		l.storeSized(id, 5, size)
	}
	for id := schema.ID(1); id <= 10; id++ {
		if l.served(id) != 5 {
			t.Errorf("%d was read, and is gone after 900 that were not", id)
		}
	}
	l.check(t)
}

func TestWhatComesBackSoonIsKept(t *testing.T) {
	l, size := small(t)
	for id := schema.ID(1); id <= 10; id++ {
		l.storeSized(id, 5, size)
		l.served(id)
	}
	for id := schema.ID(100); id < 115; id++ {
		l.storeSized(id, 5, size)
	}
	if l.served(100) != 0 {
		t.Fatal("it has not left")
	}
	l.storeSized(100, 5, size)
	for id := schema.ID(200); id < 220; id++ {
		l.storeSized(id, 5, size)
	}
	if l.served(100) != 5 {
		t.Error("what had come back has left again")
	}
	l.check(t)
}

// Documents change their sizes, and are replaced while they wait and after.
func TestAccountsOfTheLocalTier(t *testing.T) {
	l, size := small(t)
	for i := range uint64(5000) {
		id := schema.ID(1 + mix(i)%60)
		l.served(schema.ID(1 + mix(i*7)%40))
		l.storeSized(id, schema.Version(i+1), int(mix(i*3)%uint64(3*size)))
		if i%100 == 0 {
			l.check(t)
		}
	}
	l.storeSized(1000, 1, 21*size)
	if l.served(1000) != 0 {
		t.Error("what is larger than the tier was stored")
	}
	l.check(t)
}

// An eviction ends although everything is wanted.
func TestEvictionWhereAllIsWanted(t *testing.T) {
	to := newTurnover(1<<40, 1000)
	entries := make(map[schema.ID]*localEntry)
	for id := schema.ID(1); id <= 1000; id++ {
		e := &localEntry{id: id}
		e.state.Store(inMain | mostHits)
		entries[id] = e
		to.add(e)
	}
	looked := 0
	e := to.evict(func(id schema.ID) *localEntry { looked++; return entries[id] })
	if e == nil || looked > mostSpared+1 {
		t.Errorf("%v after %d looks", e, looked)
	}
}

func TestQueue(t *testing.T) {
	var q queue
	next, want := schema.ID(1), schema.ID(1)
	for i := range uint64(10000) {
		if mix(i)%5 < 3 || q.n == 0 {
			q.push(next, 1)
			next++
		} else if got := q.pop(); got != want {
			t.Fatalf("%d, want %d", got, want)
		} else {
			want++
		}
		if q.n != int(next-want) {
			t.Fatalf("%d are queued, want %d", q.n, next-want)
		}
	}
}
