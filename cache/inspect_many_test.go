package cache

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"vidmeta/schema"
)

func TestInspectMany(t *testing.T) {
	m := newMemory()
	m.set(1, 5)
	m.set(2, 6)
	m.delete(3, 7)
	c := openChain(t, m, openRedis(t))
	for id, v := range map[schema.ID]schema.Version{1: 5, 2: 6, 3: 7} {
		get(t, c, id, v, schema.ReadOptions{})
	}
	c.fence.Invalidate(2)
	ids := []schema.ID{3, 1, 4, 2}
	describe := func(of []Held) (all []string) {
		for _, h := range of {
			all = append(all, fmt.Sprint(h.State, " ", h.Version, " ", h.Digest, " ", h.Why != ""))
		}
		return all
	}
	one, two := Digest(body(1, 5)), Digest(body(2, 6))
	if got := describe(c.InspectLocal(ids)); !slices.Equal(got, []string{"absent 7  false", "live 5 " + one + " false", "nothing 0  false", "live 6 " + two + " true"}) {
		t.Errorf("local: %q", got)
	}
	if got := describe(c.InspectRedis(t.Context(), ids)); !slices.Equal(got, []string{"absent 7  false", "live 5 " + one + " false", "nothing 0  false", "live 6 " + two + " false"}) {
		t.Errorf("redis: %q", got)
	}
	old := openChain(t, m, c.redis, func(cfg *Config) { cfg.Freshness.MaxAge = time.Nanosecond })
	if got := old.InspectRedis(t.Context(), ids[:1]); got[0].Why != whyUnvouched {
		t.Errorf("past the bound: %+v", got)
	}
	if one == two || len(one) != 16 || Digest(nil) != "" || Digest([]byte{}) == "" {
		t.Errorf("digests %s and %s", one, two)
	}
	if n := m.loadsOf(4); n != 0 {
		t.Errorf("%d loads of what was only looked at", n)
	}
}

func TestSampleLocal(t *testing.T) {
	l, err := NewLocal(LocalConfig{MaxBytes: 16 << 20, TTL: time.Hour}, NewFence())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	const held = 1000
	now := time.Now().UnixMicro()
	for id := schema.ID(1); id <= held; id++ {
		l.put(now, arrival{doc: schema.Document{ID: id, Version: 1}, stamp: 0, asOf: now})
	}
	all := l.sample(2 * held)
	slices.Sort(all)
	if len(all) != held || len(slices.Compact(all)) != held {
		t.Errorf("%d of %d", len(all), held)
	}
	// Each is picked with probability 1/10; not in 400 samples with one of 10^-18.
	picked := make(map[schema.ID]int)
	for range 400 {
		some := l.sample(held / 10)
		if len(some) != held/10 {
			t.Fatalf("%d picked, want %d", len(some), held/10)
		}
		for _, id := range some {
			picked[id]++
		}
	}
	if len(picked) != held {
		t.Errorf("%d of %d documents are never picked", held-len(picked), held)
	}
	if got := l.sample(0); len(got) != 0 {
		t.Errorf("%v", got)
	}
	l.fence.Invalidate(7)
	if slices.Contains(l.sample(held), 7) {
		t.Error("what would not be served is picked")
	}
	l.fence.InvalidateAll()
	if got := l.sample(held); len(got) != 0 {
		t.Errorf("%d are picked where nothing would be served", len(got))
	}
}

// What was read stays longer. Looking must not make documents look wanted.
func TestPeekIsNoRead(t *testing.T) {
	l := openLocal(t)
	now := time.Now().UnixMicro()
	l.put(now, arrival{doc: document(1, 5), stamp: l.fence.Stamp(1), asOf: now})
	e, valid := l.peek(1, now)
	if e == nil || !valid || e.hits() != 0 {
		t.Fatalf("%+v, %v", e, valid)
	}
	if l.get(1, now); e.hits() != 1 {
		t.Errorf("a read is not counted: %d", e.hits())
	}
}

func BenchmarkSampleLocal(b *testing.B) {
	l, err := NewLocal(LocalConfig{MaxBytes: 128 << 20}, NewFence())
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	const held = 100_000
	now := time.Now().UnixMicro()
	for id := schema.ID(1); id <= held; id++ {
		l.put(now, arrival{doc: schema.Document{ID: id}, stamp: l.fence.Stamp(id), asOf: now})
	}
	for b.Loop() {
		l.sample(100)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/held, "ns/entry")
}
