package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	runtimemetrics "runtime/metrics"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"vidmeta/schema"
)

// heap returns the bytes of live objects, each rounded up to what the allocator gives it.
func heap() int64 {
	runtime.GC()
	runtime.GC() // the first may have let go of what had a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// openFilled returns a chain whose local tier holds documents 1 to n, with bodies of a size.
func openFilled(b *testing.B, n, size int) *Chain {
	b.Helper()
	c := openChain(b, newMemory(), openRedis(b, nowhere), func(c *Config) {
		c.Local = LocalConfig{MaxBytes: max(int64(n)*int64(size+entryOverhead), 1<<20), TTL: time.Hour}
		c.Freshness.MaxAge = time.Hour
	})
	now := time.Now().UnixMicro()
	d := schema.Document{Version: 1, Body: []byte(strings.Repeat("x", size))}
	for d.ID = 1; int(d.ID) <= n; d.ID++ {
		c.local.put(now, arrival{doc: d, stamp: c.fence.Stamp(d.ID), asOf: now})
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
		ctx, asks := b.Context(), [16]schema.ReadOptions{} // at different times
		for i := range asks {
			asks[i].Now = time.Now().Add(time.Duration(i) * time.Microsecond)
		}
		chain := func(id schema.ID) {
			if a, err := c.Get(ctx, id, asks[id%16]); err != nil || a.Trace[0].Outcome != schema.Hit {
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

// What the local tier takes for a document besides the bytes of its body, and where it goes: into what Ristretto keeps of an
// entry, into bodies rounded up to the allocator's sizes, and the rest is ours. Go's maps are between half full and full,
// so it goes up and down with the number of documents.
func BenchmarkLocalMemory(b *testing.B) {
	for _, n := range []int{700_000, 800_000, 900_000, 1_000_000, 1_200_000} {
		b.Run(fmt.Sprintf("documents=%d", n), func(b *testing.B) {
			bodies, text := make([]int, n), strings.Repeat("x", 1500)
			var sum, total, rounding, bare int64
			for i := range bodies {
				bodies[i] = 500 + rand.IntN(1000)
				sum += int64(bodies[i])
			}
			for b.Loop() {
				before := heap()
				copies := make([]string, n)
				for i, size := range bodies {
					copies[i] = strings.Clone(text[:size])
				}
				rounding = heap() - before - sum - int64(n)*int64(unsafe.Sizeof(""))
				runtime.KeepAlive(copies)
				copies = nil

				before = heap()
				c := newBareRistretto[*localEntry](b, 1<<10, math.MaxInt64)
				for i := range n {
					if c.Set(uint64(i), nil, 1); i%1000 == 0 {
						c.Wait() // it forgets what it has no room to queue
					}
				}
				c.Wait()
				bare = heap() - before
				c.Close()

				before = heap()
				l, err := NewLocal(LocalConfig{MaxBytes: sum + int64(n)*entryOverhead, TTL: time.Hour}, NewFence())
				if err != nil {
					b.Fatal(err)
				}
				now := time.Now().UnixMicro()
				for i, size := range bodies {
					d := schema.Document{ID: schema.ID(i + 1), Version: 1, Body: []byte(text[:size])}
					l.put(now, arrival{doc: d, stamp: l.fence.Stamp(d.ID), asOf: now})
				}
				total = heap() - before - sum
				l.Close()
			}
			for _, part := range []struct {
				bytes int64
				name  string
			}{{total, "B/entry"}, {bare, "B-ristretto"}, {rounding, "B-rounding"}, {total - bare - rounding, "B-ours"}} {
				b.ReportMetric(float64(part.bytes)/float64(n), part.name)
			}
		})
	}
}

// How long the collector stops the program where a local tier of 1 GiB is read and replaced, under the limit on memory that a
// node has, and which share of the processors it takes.
func BenchmarkLocalGC(b *testing.B) {
	const n, size = (1 << 30) / (1000 + entryOverhead), 1000
	c := openFilled(b, n, size)
	b.Cleanup(func() { debug.SetMemoryLimit(math.MaxInt64) })
	debug.SetMemoryLimit(c.local.cfg.MaxBytes + 192<<20) // as cmd/vidmeta does
	runtime.GC()
	ids, text := shuffled(n), []byte(strings.Repeat("y", size))
	read := func() (pauses *runtimemetrics.Float64Histogram, collecting, all float64) {
		s := []runtimemetrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/cpu/classes/gc/total:cpu-seconds"},
			{Name: "/cpu/classes/total:cpu-seconds"}}
		runtimemetrics.Read(s)
		return s[0].Value.Float64Histogram(), s[1].Value.Float64(), s[2].Value.Float64()
	}
	before, collecting, all := read()
	for i := 0; b.Loop(); i++ {
		o := schema.ReadOptions{Now: time.Now()}
		for k := range 16 {
			if _, err := c.Get(b.Context(), ids[(16*i+k)%n], o); err != nil {
				b.Fatal(err)
			}
		}
		id, now := ids[i%n], o.Now.UnixMicro()
		c.local.put(now, arrival{doc: schema.Document{ID: id, Version: schema.Version(i + 2), Body: text}, stamp: c.fence.Stamp(id), asOf: now})
	}
	b.StopTimer()
	runtime.GC() // the shares of processors are reckoned at the end of a cycle
	after, collectingNow, allNow := read()
	var pauses, seen uint64
	for i := range after.Counts {
		after.Counts[i] -= before.Counts[i]
		pauses += after.Counts[i]
	}
	for i, count := range after.Counts {
		if seen += count; float64(seen) >= 0.999*float64(pauses) {
			b.ReportMetric(1e6*after.Buckets[i+1], "µs-pause-p99.9")
			break
		}
	}
	b.ReportMetric(float64(pauses), "pauses")
	b.ReportMetric(100*(collectingNow-collecting)/(allNow-all), "%cpu-gc")
}

// A hundred local hits in one call.
func BenchmarkLocalHitMany(b *testing.B) {
	c := openFilled(b, 10_000, 500)
	ids := shuffled(10_000)
	o := schema.ReadOptions{Now: time.Now()}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if r := c.GetMany(b.Context(), ids[i%100*100:][:100], o); r[99].Err != nil || r[99].Trace[0].Outcome != schema.Hit {
			b.Fatal(r[99])
		}
	}
}

func BenchmarkLocalPut(b *testing.B) {
	for _, n := range []int{1000, 1_000_000} { // all are there already, none has room
		b.Run(fmt.Sprintf("ids=%d", n), func(b *testing.B) {
			c := openFilled(b, 10_000, 500)
			text := []byte(strings.Repeat("y", 500))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id, now := schema.ID(i%n+1), time.Now().UnixMicro()
				c.local.put(now, arrival{doc: schema.Document{ID: id, Version: schema.Version(i + 2), Body: text}, stamp: c.fence.Stamp(id), asOf: now})
			}
		})
	}
}
