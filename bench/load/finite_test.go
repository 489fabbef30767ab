package load

import (
	"math/rand/v2"
	"sync/atomic"
)

// finite is over after so many ids.
type finite struct {
	Keys
	used, left int64
}

func (f *finite) Next(r *rand.Rand) uint64 {
	if atomic.AddInt64(&f.used, 1) > f.left {
		return 0
	}
	return f.Keys.Next(r)
}
