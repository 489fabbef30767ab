package canal

import (
	"sync"
	"time"
)

// logInterval is how often a failure that goes on is logged.
const logInterval = 30 * time.Second

// failures lets the first of a row of failures be logged, and then one per logInterval with their number.
type failures struct {
	mu    sync.Mutex
	last  time.Time
	count int
}

// now counts a failure, and says whether it is to be logged and for how many it stands.
func (f *failures) now() (count int, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.count++
	if time.Since(f.last) < logInterval {
		return 0, false
	}
	count, f.count, f.last = f.count, 0, time.Now()
	return count, true
}
