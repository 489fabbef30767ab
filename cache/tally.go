package cache

import (
	"sync/atomic"
	"unsafe"
)

// tally counts what happens on every hit. One counter would be written by all cores, and each would wait for the others.
type tally struct {
	stripes [64]struct {
		hits, stale atomic.Uint64
		_           [48]byte // a cache line each
	}
}

// hit counts an answer out of the local tier. Goroutines have stacks of their own, so the address of a variable leads
// those that run side by side to stripes of their own, mostly.
func (t *tally) hit(stale bool) {
	var here byte
	stack := uint64(uintptr(unsafe.Pointer(&here))) >> 11 // the smallest have 2 KiB
	s := &t.stripes[stack*0x9e3779b97f4a7c15>>58]         // Fibonacci hashing
	s.hits.Add(1)
	if stale {
		s.stale.Add(1)
	}
}

// take returns what has been counted since it was called last.
func (t *tally) take() (hits, stale uint64) {
	for i := range t.stripes {
		hits += t.stripes[i].hits.Swap(0)
		stale += t.stripes[i].stale.Swap(0)
	}
	return hits, stale
}
