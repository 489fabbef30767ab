package cache

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"vidmeta/schema"
)

// Reads that Redis answers, as this tier makes them, and with one GET for each.
func BenchmarkRedisHit(b *testing.B) {
	r := openRedis(b)
	const n = 1000
	keys := make([]string, n)
	for i := range n {
		d := document(schema.ID(i+1), 5)
		keys[i] = r.key("", d.ID)
		if err := r.cfg.Client.Set(b.Context(), keys[i], envelopeOf(d, 1, 1).Append(nil), 0).Err(); err != nil {
			b.Fatal(err)
		}
	}
	for _, callers := range []int{1, 64} {
		run := func(name string, read func(i int) error) {
			b.Run(fmt.Sprintf("%s/callers=%d", name, callers), func(b *testing.B) {
				b.ReportAllocs()
				b.SetParallelism(max(1, callers/runtime.GOMAXPROCS(0)))
				if callers == 1 {
					for i := 0; b.Loop(); i++ {
						if err := read(i % n); err != nil {
							b.Fatal(err)
						}
					}
					return
				}
				var next atomic.Int64
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						if err := read(int(next.Add(1) % n)); err != nil {
							b.Error(err)
						}
					}
				})
			})
		}
		run("tier", func(i int) error {
			_, _, ok, err := r.get(b.Context(), "", schema.ID(i+1))
			if err == nil && !ok {
				err = errBroken
			}
			return err
		})
		run("get", func(i int) error { return r.cfg.Client.Get(b.Context(), keys[i]).Err() })
	}
}

func BenchmarkLocalHit(b *testing.B) {
	origin := newMemory()
	c := openChain(b, origin, openRedis(b, nowhere))
	const n = 4096
	for id := range schema.ID(n) {
		origin.docs[id+1] = document(id+1, 5)
	}
	var ids []schema.ID
	for id := range schema.ID(n) {
		ids = append(ids, id+1)
	}
	c.GetMany(b.Context(), ids, schema.ReadOptions{})
	b.Run("chain", func(b *testing.B) {
		b.ReportAllocs()
		o := schema.ReadOptions{Now: time.Now()}
		for i := 0; b.Loop(); i++ {
			if a, err := c.Get(b.Context(), ids[i%n], o); err != nil || a.Trace[0].Outcome != schema.Hit {
				b.Fatal(err, a)
			}
		}
	})
	b.Run("ristretto", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			if _, ok := c.local.cache.Get(uint64(ids[i%n])); !ok {
				b.Fatal("miss")
			}
		}
	})
}
