package cache

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"vidmeta/schema"
)

// Reads that Redis answers: through the whole chain, by the tier alone, and with one GET for each as a user would write it.
// Few callers are what a node sees whose local tier answers most; then there is little to gather.
func BenchmarkRedisHit(b *testing.B) {
	c, keys := filled(b)
	r, n := c.redis, len(keys)
	reads := []struct {
		name string
		read func(i int) error
	}{
		{"chain", func(i int) error {
			_, err := c.Get(b.Context(), schema.ID(i+1), schema.ReadOptions{})
			return err
		}},
		{"tier", func(i int) error {
			_, _, ok, err := r.get(b.Context(), "", schema.ID(i+1))
			if err == nil && !ok {
				err = errBroken
			}
			return err
		}},
		{"get", func(i int) error { return r.cfg.Client.Get(b.Context(), keys[i]).Err() }},
	}
	for _, callers := range []int{1, 8, 64} {
		for _, read := range reads {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, read.name), func(b *testing.B) {
				b.ReportAllocs()
				before := used(b)
				var next atomic.Int64
				var wg sync.WaitGroup
				for range callers {
					wg.Go(func() {
						for next.Add(1) <= int64(b.N) {
							if err := read.read(rand.IntN(n)); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				b.ReportMetric(float64((used(b)-before).Nanoseconds())/1e3/float64(b.N), "cpu-µs/op")
			})
		}
	}
}

// Batches of 100 that Redis answers: through the whole chain, and as one pipeline to each node as a user would write it.
func BenchmarkRedisHitMany(b *testing.B) {
	c, keys := filled(b)
	const size = 100
	b.Run("chain", func(b *testing.B) {
		b.ReportAllocs()
		before := used(b)
		for b.Loop() {
			ids := make([]schema.ID, size)
			for i := range ids {
				ids[i] = schema.ID(rand.IntN(len(keys)) + 1)
			}
			for _, r := range c.GetMany(b.Context(), ids, schema.ReadOptions{}) {
				if r.Err != nil {
					b.Fatal(r.Err)
				}
			}
		}
		b.ReportMetric(float64((used(b)-before).Nanoseconds())/1e3/float64(b.N)/size, "cpu-µs/document")
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		before := used(b)
		for b.Loop() {
			pipe := c.redis.cfg.Client.Pipeline()
			for range size {
				pipe.Get(b.Context(), keys[rand.IntN(len(keys))])
			}
			if _, err := pipe.Exec(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64((used(b)-before).Nanoseconds())/1e3/float64(b.N)/size, "cpu-µs/document")
	})
}

// filled returns a chain whose Redis holds documents of 1,000 bytes, and its local tier next to none of them.
func filled(b *testing.B) (c *Chain, keys []string) {
	b.Helper()
	r := openRedis(b)
	keys = make([]string, 20_000)
	pipe, now := r.cfg.Client.Pipeline(), time.Now().UnixMicro()
	for i := range keys {
		d := schema.Document{ID: schema.ID(i + 1), Version: 5, Body: make([]byte, 1000)}
		keys[i] = r.key("", d.ID)
		pipe.Set(b.Context(), keys[i], envelopeOf(d, now, now+time.Hour.Microseconds()).Append(nil), 0)
		if pipe.Len() < 500 && i < len(keys)-1 {
			continue
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	return openChain(b, newMemory(), r, func(cfg *Config) {
		cfg.Local.MaxBytes = 1 << 20
		cfg.Freshness.MaxAge = time.Hour
	}), keys
}

// used returns how much processor time this process has used.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
