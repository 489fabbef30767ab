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
	r := openRedis(b)
	const n = 20_000
	keys := make([]string, n)
	pipe, now := r.cfg.Client.Pipeline(), time.Now().UnixMicro()
	for i := range n {
		d := schema.Document{ID: schema.ID(i + 1), Version: 5, Body: make([]byte, 1000)}
		keys[i] = r.key("", d.ID)
		pipe.Set(b.Context(), keys[i], envelopeOf(d, now, now+time.Hour.Microseconds()).Append(nil), 0)
		if pipe.Len() < 500 && i < n-1 {
			continue
		}
		if _, err := pipe.Exec(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	c := openChain(b, newMemory(), r, func(cfg *Config) {
		cfg.Local.MaxBytes = 1 << 20 // next to nothing of what is asked for
		cfg.Freshness.MaxAge = time.Hour
	})
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

// used returns how much processor time this process has used.
func used(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
