package cache

import (
	"math/bits"
	"sync/atomic"

	"vidmeta/schema"
)

// fenceStripes is how many generation counters a fence has, 4 MiB in all. With 1,000 invalidations a second, an entry
// that lives for a minute dies of a neighbour's with probability 1 - exp(-1000 * 60 / 2^20), about 6 %.
const fenceStripes = 1 << 20

// Fence decides whether what was loaded a while ago may still be served. A reader takes the stamp of an id before it
// loads anything; whatever it loaded is valid while the id's stamp has not changed. Unlike a deletion from a cache that
// applies its writes later, raising a counter cannot be lost, delayed or overtaken, and also condemns what is still
// being loaded.
type Fence struct {
	stripes []atomic.Uint32
	_       [64]byte // the epoch is read on every hit: keep it off the line of what is written around it
	epoch   atomic.Uint32
	_       [64]byte
}

// NewFence returns a fence of 4 MiB.
func NewFence() *Fence { return &Fence{stripes: make([]atomic.Uint32, fenceStripes)} }

// Stamp returns the current stamp of id. Stamps of one id only grow.
func (f *Fence) Stamp(id schema.ID) uint64 {
	return uint64(f.epoch.Load())<<32 | uint64(f.stripe(id).Load())
}

// Invalidate condemns everything loaded for id by readers that took their stamp before. Ids that share its stripe are
// condemned with it. It never blocks.
func (f *Fence) Invalidate(id schema.ID) { f.stripe(id).Add(1) }

// InvalidateAll condemns everything, in constant time.
func (f *Fence) InvalidateAll() { f.epoch.Add(1) }

// The stripe comes from the upper bits of the mixed id: Ristretto shards by the lower ones.
func (f *Fence) stripe(id schema.ID) *atomic.Uint32 {
	return &f.stripes[mix(uint64(id))>>(64-20)]
}

// spread returns which of n places is that of a hash, from its upper bits (Lemire: Fast Random Integer Generation in an
// Interval, 2019).
func spread(hash uint64, n int) int {
	place, _ := bits.Mul64(hash, uint64(n))
	return int(place)
}

// mix is the finalizer of splitmix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, 2014): a
// bijection, so distinct ids have distinct hashes.
func mix(x uint64) uint64 {
	x ^= x >> 30
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 27
	x *= 0x94d049bb133111eb
	return x ^ x>>31
}
