package trace

import (
	"fmt"

	"github.com/dgraph-io/ristretto/v2"
	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/maypok86/otter/v2"
)

// Tier is a cache that a trace is replayed through, by one goroutine.
type Tier interface {
	Get(id uint64) bool // whether id is there
	Put(id uint64)      // after a Get that did not find it; the tier may turn it down
	Close()
}

// Maker returns an empty tier with room for so many entries, at least one. Whoever asks for it closes it.
type Maker func(entries int) (Tier, error)

// policy is a way to choose what stays.
type policy struct {
	name string
	make Maker
}

// The policies that the local tier is compared with. A plain LRU is what nobody has to explain; Ristretto as its README
// sets it up is what the local tier is made of; Otter (adaptive W-TinyLFU) is what can be had.
var yardsticks = []policy{{"lru", newLRU}, {"ristretto", newRistretto}, {"otter", newOtter}}

type lruTier struct {
	*simplelru.LRU[uint64, struct{}]
}

func newLRU(entries int) (Tier, error) {
	c, err := simplelru.NewLRU[uint64, struct{}](entries, nil)
	return lruTier{c}, err
}

func (t lruTier) Get(id uint64) bool { _, ok := t.LRU.Get(id); return ok }
func (t lruTier) Put(id uint64)      { t.Add(id, struct{}{}) }
func (t lruTier) Close()             {}

type ristrettoTier struct {
	*ristretto.Cache[uint64, struct{}]
}

func newRistretto(entries int) (Tier, error) {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, struct{}]{
		NumCounters:        int64(10 * entries), // 10 and 64 are its README's
		MaxCost:            int64(entries),
		BufferItems:        64,
		IgnoreInternalCost: true,
		// By itself it takes an integer's own bits, which makes its sketch worse than it is for keys that were hashed.
		KeyToHash: func(id uint64) (uint64, uint64) { return mix(id), 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("ristretto for %d entries: %w", entries, err)
	}
	return ristrettoTier{c}, nil
}

func (t ristrettoTier) Get(id uint64) bool { _, ok := t.Cache.Get(id); return ok }

// Put waits until the entry is there or was turned down: a replay is faster than any service, so that without it most would
// be lost in the buffer, which says nothing of the policy.
func (t ristrettoTier) Put(id uint64) {
	t.Set(id, struct{}{}, 1)
	t.Wait()
}

// mix is the finalizer of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}

type otterTier struct {
	*otter.Cache[uint64, struct{}]
}

func newOtter(entries int) (Tier, error) {
	c, err := otter.New(&otter.Options[uint64, struct{}]{
		MaximumSize: entries,
		// Maintenance on the goroutine that asks: what is replayed does not depend on how fast.
		Executor: func(fn func()) { fn() },
	})
	if err != nil {
		return nil, fmt.Errorf("otter for %d entries: %w", entries, err)
	}
	return otterTier{c}, nil
}

func (t otterTier) Get(id uint64) bool { _, ok := t.GetIfPresent(id); return ok }
func (t otterTier) Put(id uint64)      { t.Set(id, struct{}{}) }
func (t otterTier) Close()             { t.StopAllGoroutines() }
