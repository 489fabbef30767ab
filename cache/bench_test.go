package cache

import (
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

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
