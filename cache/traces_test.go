package cache

import (
	"compress/gzip"
	"container/list"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/dgraph-io/ristretto/v2"
)

// readTrace returns the requests of a recorded trace, keys numbered in the order in which they come, and how many keys.
func readTrace(tb testing.TB, name string) (ids []uint64, keys int) {
	tb.Helper()
	f, err := os.Open("../bench/trace/data/" + name + ".trace.gz")
	if err != nil {
		tb.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		tb.Fatal(err)
	}
	all, err := io.ReadAll(z)
	if err != nil {
		tb.Fatal(err)
	}
	seen := make(map[uint32]uint64)
	for ; len(all) >= 4; all = all[4:] {
		key := binary.BigEndian.Uint32(all)
		if seen[key] == 0 {
			seen[key] = uint64(len(seen) + 1)
		}
		ids = append(ids, seen[key])
	}
	return ids, len(seen)
}

// replayed is what a trace can be replayed through.
type replayed interface {
	Get(id uint64) bool
	Put(id uint64)
	Close()
}

// hitRatio replays requests, and returns which share of all was there. As in a service others run between requests: the
// goroutine in which Ristretto counts reads forgets most of them if it never gets to run.
func hitRatio(tier replayed, ids []uint64) float64 {
	hits := 0
	for i, id := range ids {
		if i%8 == 0 {
			runtime.Gosched()
		}
		if tier.Get(id) {
			hits++
		} else {
			tier.Put(id)
		}
	}
	return float64(hits) / float64(len(ids))
}

// newBareRistretto returns a Ristretto with the hash that the local tier gives it.
func newBareRistretto[V any](tb testing.TB, counters, room int64) *ristretto.Cache[uint64, V] {
	tb.Helper()
	c, err := ristretto.NewCache(&ristretto.Config[uint64, V]{
		NumCounters: counters, MaxCost: room, BufferItems: 64, IgnoreInternalCost: true,
		KeyToHash: func(id uint64) (uint64, uint64) { return mix(id), 0 },
	})
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

type bareRistretto struct {
	*ristretto.Cache[uint64, struct{}]
}

func (c bareRistretto) Get(id uint64) bool {
	_, ok := c.Cache.Get(id)
	return ok
}

func (c bareRistretto) Put(id uint64) {
	c.Set(id, struct{}{}, 1)
	c.Wait()
}

type lru struct {
	room  int
	order *list.List
	at    map[uint64]*list.Element
}

func newLRU(room int) *lru {
	return &lru{room: room, order: list.New(), at: make(map[uint64]*list.Element)}
}

func (c *lru) Get(id uint64) bool {
	e, ok := c.at[id]
	if ok {
		c.order.MoveToFront(e)
	}
	return ok
}

func (c *lru) Put(id uint64) {
	if len(c.at) == c.room {
		delete(c.at, c.order.Remove(c.order.Back()).(uint64))
	}
	c.at[id] = c.order.PushFront(id)
}

func (*lru) Close() {}

// The share of requests in recorded traces that is answered with room for a part of the keys.
func BenchmarkTraces(b *testing.B) {
	for _, name := range []string{"web12", "orm-busy"} {
		ids, keys := readTrace(b, name)
		for _, percent := range []int{1, 5, 10, 25} {
			room := keys * percent / 100
			for _, c := range []struct {
				name string
				make func() replayed
			}{
				{"local", func() replayed {
					r, err := NewReplay(room)
					if err != nil {
						b.Fatal(err)
					}
					return r
				}},
				{"ristretto", func() replayed { return bareRistretto{newBareRistretto[struct{}](b, int64(10*room), int64(room))} }},
				{"lru", func() replayed { return newLRU(room) }},
			} {
				b.Run(fmt.Sprintf("%s/room=%d%%/%s", name, percent, c.name), func(b *testing.B) {
					ratio, n := 0.0, 0
					for b.Loop() {
						tier := c.make()
						ratio += hitRatio(tier, ids)
						tier.Close()
						n++
					}
					b.ReportMetric(100*ratio/float64(n), "hit%")
				})
			}
		}
	}
}

// The local tier answers at least as much of a recorded trace as a plain LRU does.
func TestLocalKeepsWhatIsWanted(t *testing.T) {
	ids, keys := readTrace(t, "web12")
	for _, percent := range []int{5, 10, 25} {
		r, err := NewReplay(keys * percent / 100)
		if err != nil {
			t.Fatal(err)
		}
		ours, plain := hitRatio(r, ids), hitRatio(newLRU(keys*percent/100), ids)
		r.Close()
		if ours < plain {
			t.Errorf("room for %d %% of the keys: %.1f %% of the requests are answered, an LRU answers %.1f %%", percent, 100*ours, 100*plain)
		}
	}
}
