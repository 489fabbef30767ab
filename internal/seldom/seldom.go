// Package seldom keeps what goes on failing from filling the log.
package seldom

import (
	"sync"
	"time"
)

// Interval is how often a failure that goes on is logged.
const Interval = 30 * time.Second

// Failures lets the first of a row of failures be logged, and then one per Interval with their number. The zero value is
// ready; it may be used from several goroutines.
type Failures struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// Now counts a failure, and says whether it is to be logged and for how many it stands.
func (f *Failures) Now() (count int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if time.Since(f.last) < Interval {
		return 0, false
	}
	count, f.count, f.last = f.count, 0, time.Now()
	return count, true
}
