package cache

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"vidmeta/schema"
)

// heap returns the bytes of live objects, and of what the allocator and the collector keep beside them.
func heap() (live, all int64) {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc), int64(m.HeapInuse + m.GCSys)
}

// openFilled returns a chain whose local tier holds documents 1 to n, with bodies of a size.
func openFilled(b *testing.B, n, size int) *Chain {
	b.Helper()
	c := openChain(b, newMemory(), openRedis(b, nowhere), func(c *Config) {
		c.Local = LocalConfig{MaxBytes: max(int64(n)*int64(size+entryOverhead), 1<<20), ShortTTL: time.Hour, LongTTL: time.Hour}
		c.Freshness.MaxAge = time.Hour
	})
	now := time.Now().UnixMicro()
	d := schema.Document{Version: 1, Body: []byte(strings.Repeat("x", size))}
	for d.ID = 1; int(d.ID) <= n; d.ID++ {
		c.local.put(d, c.fence.Stamp(d.ID), now, now, 0)
	}
	return c
}

func shuffled(n int) []schema.ID {
	ids := make([]schema.ID, n)
	for i, at := range rand.Perm(n) {
		ids[i] = schema.ID(at + 1)
	}
	return ids
}

// compare reports how many times as long one read takes as another. They take turns of some hundred reads and the median of
// all turns counts, so that whatever else the machine does falls on both or on none.
func compare(b *testing.B, ids []schema.ID, read, yardstick func(schema.ID)) {
	const turn = 200
	turns := func(read func(schema.ID), from int) time.Duration {
		begun := time.Now()
		for i := range turn {
			read(ids[(from+i)%len(ids)])
		}
		return time.Since(begun)
	}
	var ratios []float64
	at := 0
	for b.Loop() {
		first := turns(read, at)
		at += turn
		ratios = append(ratios, float64(first)/float64(turns(yardstick, at)))
		at += turn
	}
	slices.Sort(ratios)
	b.ReportMetric(ratios[len(ratios)/2], "x-ristretto")
}

// A hit in the local tier beside a read of the Ristretto in it, with few and with many documents that are read at random.
func BenchmarkLocalHit(b *testing.B) {
	for _, n := range []int{256, 4096, 10_000, 100_000, 1_000_000} {
		c := openFilled(b, n, 500)
		ids := shuffled(n)
		ctx, o := b.Context(), schema.ReadOptions{Now: time.Now()}
		chain := func(id schema.ID) {
			if a, err := c.Get(ctx, id, o); err != nil || a.Trace[0].Outcome != schema.Hit {
				b.Fatal(err, a)
			}
		}
		bare := func(id schema.ID) {
			if _, ok := c.local.cache.Get(uint64(id)); !ok {
				b.Fatal("miss")
			}
		}
		for _, r := range []struct {
			name string
			read func(schema.ID)
		}{{"chain", chain}, {"ristretto", bare}} {
			b.Run(fmt.Sprintf("documents=%d/%s", n, r.name), func(b *testing.B) {
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					r.read(ids[i%n])
				}
			})
			b.Run(fmt.Sprintf("documents=%d/%s/parallel", n, r.name), func(b *testing.B) {
				b.ReportAllocs()
				b.RunParallel(func(pb *testing.PB) {
					for i := rand.IntN(n); pb.Next(); i++ {
						r.read(ids[i%n])
					}
				})
			})
		}
		b.Run(fmt.Sprintf("documents=%d/compared", n), func(b *testing.B) { compare(b, ids, chain, bare) })
	}
}

// What the local tier takes for a document besides its body, with a million documents of 500 to 1500 bytes.
func BenchmarkLocalMemory(b *testing.B) {
	const n = 1_000_000
	text := []byte(strings.Repeat("x", 1500))
	for b.Loop() {
		before, _ := heap()
		l, err := NewLocal(LocalConfig{MaxBytes: n * 1300, ShortTTL: time.Hour, LongTTL: time.Hour}, NewFence())
		if err != nil {
			b.Fatal(err)
		}
		bodies := 0
		now := time.Now().UnixMicro()
		for id := schema.ID(1); id <= n; id++ {
			size := 500 + rand.IntN(1000)
			bodies += size
			l.put(schema.Document{ID: id, Version: 1, Body: text[:size]}, l.fence.Stamp(id), now, now, 0)
		}
		after, _ := heap()
		b.ReportMetric(float64(after-before-int64(bodies))/n, "B/entry")
		entries := 0
		l.cache.IterValues(func(*localEntry) bool { entries++; return false })
		fmt.Println(entries)
		l.Close()
	}
}
