package cache

import (
	"sync"
	"time"

	"vidmeta/schema"
)

const (
	// recentWindow is how long a change is remembered. A binlog event can arrive before its row is visible to readers,
	// for up to 115 ms as measured; the window is two orders of magnitude above that.
	recentWindow = 10 * time.Second

	recentSlots = 1 << 17 // 40 bytes each, 5 MiB
	recentLocks = 256
)

// recent remembers which versions the feed has announced in the last seconds. A load that begins after an invalidation
// may still see the row as it was before: what it found is then older than what this table knows, and is not used.
//
// It is bounded by construction: one slot per hash. A slot knows the id that was noted last exactly, and of all others
// that were noted there in the window only the largest version, which can do no more harm than to keep an answer out of
// the local tier.
type recent struct {
	locks [recentLocks]sync.Mutex
	slots []recentSlot
}

type recentSlot struct {
	id           schema.ID
	version      schema.Version
	until        int64
	otherVersion schema.Version
	otherUntil   int64
}

func newRecent() *recent { return &recent{slots: make([]recentSlot, recentSlots)} }

// note records that id has reached version v.
func (r *recent) note(id schema.ID, v schema.Version, now int64) {
	s, unlock := r.slot(id)
	defer unlock()
	if s.id != id {
		if s.until > now {
			if s.otherUntil <= now {
				s.otherVersion = 0
			}
			s.otherVersion, s.otherUntil = max(s.otherVersion, s.version), max(s.otherUntil, s.until)
		}
		s.id, s.version = id, 0
	}
	s.version, s.until = max(s.version, v), now+recentWindow.Microseconds()
}

// floor returns the least version that a load of id may find, 0 if nothing is known. Unless it is exact the version may
// be another id's, and is no reason to load again, only not to store.
func (r *recent) floor(id schema.ID, now int64) (v schema.Version, exact bool) {
	s, unlock := r.slot(id)
	defer unlock()
	switch {
	case s.id == id && s.until > now:
		return s.version, true
	case s.id != id && s.otherUntil > now:
		return s.otherVersion, false
	}
	return 0, false
}

func (r *recent) slot(id schema.ID) (s *recentSlot, unlock func()) {
	i := mix(uint64(id)) % recentSlots
	mu := &r.locks[i%recentLocks]
	mu.Lock()
	return &r.slots[i], mu.Unlock
}
