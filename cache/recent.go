package cache

import (
	"math"

	"vidmeta/schema"
)

// recentSize is how many changes are remembered, in some 9 MB: more than a replica lags behind in health by far, at any
// pace that a sidecar reaches.
const recentSize = 1 << 17

// unsettled is the offset of a change of which it is not known yet where its master's replication stood after it.
const unsettled = math.MaxInt64

// recent remembers the latest changes and the masters that they were marked in, for the case that one of these is
// succeeded by a replica which has not received all of them.
type recent struct {
	ring    []marked
	count   int             // of marks ever added
	settled int             // so many have been looked at by settle
	reach   map[reign]int64 // what was marked in a master beyond this offset is in the ring
}

type marked struct {
	change schema.Change
	at     reign
	offset int64 // the master's replication has covered it by there
}

func newRecent() recent { return recent{reach: map[reign]int64{}} }

// begin starts to remember what is marked in a master, of whose past up to an offset nothing is known.
func (r *recent) begin(at reign, offset int64) {
	if _, known := r.reach[at]; !known {
		r.reach[at] = offset
	}
}

// forgo notes that of what was done in a master up to an offset nothing is remembered.
func (r *recent) forgo(at reign, offset int64) { r.reach[at] = max(r.reach[at], offset) }

func (r *recent) add(c schema.Change, at reign) {
	m := marked{change: c, at: at, offset: unsettled}
	if len(r.ring) < recentSize {
		r.ring = append(r.ring, m)
	} else {
		old := &r.ring[r.count%recentSize]
		if reach, ok := r.reach[old.at]; ok {
			r.reach[old.at] = max(reach, old.offset)
		}
		*old = m
	}
	r.count++
}

// settle notes how far the replication of masters has come since all that was done for the marks.
func (r *recent) settle(found map[reign]member) {
	for i := max(r.settled, r.count-len(r.ring)); i < r.count; i++ {
		m := &r.ring[i%recentSize]
		if is, ok := found[m.at]; ok {
			m.offset = is.offset
		}
	}
	r.settled = r.count
}

// beyond returns what was marked in a master at an offset or beyond it. It is not ok if not all of that is remembered.
func (r *recent) beyond(at reign, offset int64) (changes []schema.Change, ok bool) {
	if reach, known := r.reach[at]; !known || reach >= offset {
		return nil, false
	}
	for i := range r.ring {
		if m := &r.ring[i]; m.at == at && m.offset >= offset {
			changes = append(changes, m.change)
		}
	}
	return changes, true
}

// rename goes on under another name with what is remembered of a master.
func (r *recent) rename(old, now reign) {
	for i := range r.ring {
		if m := &r.ring[i]; m.at == old {
			m.at = now
		}
	}
	if reach, known := r.reach[old]; known {
		delete(r.reach, old)
		r.reach[now] = reach
	}
}

// end lets go of masters that are no more.
func (r *recent) end(members map[reign]member) {
	for who := range r.reach {
		if _, ok := members[who]; !ok {
			delete(r.reach, who)
		}
	}
}
