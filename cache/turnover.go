package cache

import "vidmeta/schema"

const (
	// probationShare is the part of the room, one in so many, that documents have to prove in that they are wanted again:
	// a tenth, as in the paper.
	probationShare = 10
	// mostSpared bounds the work of one eviction where all entries are wanted. On recorded traces 64 cost no hit, and 16
	// fewer than one in a thousand.
	mostSpared = 64
)

// turnover decides what leaves the local tier: S3-FIFO (Yang, Zhang, Qiu, Yue, Rashmi: FIFO Queues are All You Need for
// Cache Eviction, SOSP 2023). What is new waits in a short queue, and leaves it for the main one only if it was read
// meanwhile; so what is asked for once pushes out nothing. What comes back soon after it has left goes to the main queue
// at once. There an entry that was read goes round again, once for each of up to three reads. A hit moves nothing.
//
// It holds ids, not entries, so that the garbage collector need not look at it.
type turnover struct {
	room      int64 // for the costs of all entries
	probation queue
	main      queue
	ghosts    ghosts
}

// newTurnover returns a turnover of nothing, which remembers about as many of those that have left as there is room for.
func newTurnover(room, entries int64) *turnover {
	return &turnover{room: room, ghosts: newGhosts(entries)}
}

// used returns the costs of all entries.
func (t *turnover) used() int64 { return t.probation.cost + t.main.cost }

// add queues an entry that has been stored.
func (t *turnover) add(e *localEntry) {
	if t.ghosts.recall(e.id, t.main.n) {
		e.state.Or(inMain)
	}
	t.of(e).push(e.id, e.cost())
}

// replace takes over the place and the reads of prev for an entry of the same id.
func (t *turnover) replace(prev, e *localEntry) {
	e.state.Store(prev.state.Load() &^ (renewing | gone))
	t.of(e).cost += e.cost() - prev.cost()
}

func (t *turnover) of(e *localEntry) *queue {
	if e.is(inMain) {
		return &t.main
	}
	return &t.probation
}

// evict returns the entry that is to leave, nil if there is none. held returns the entry of an id that was added.
func (t *turnover) evict(held func(schema.ID) *localEntry) *localEntry {
	for spared := 0; t.probation.n+t.main.n > 0; spared++ {
		from := &t.main
		if t.probation.cost > t.room/probationShare || t.main.n == 0 {
			from = &t.probation
		}
		id := from.pop()
		e := held(id)
		if e == nil {
			continue
		}
		from.cost -= e.cost()
		s := e.state.Load()
		switch {
		case s&mostHits == 0 || spared >= mostSpared:
			if from == &t.probation {
				t.ghosts.add(id)
			}
			return e
		case from == &t.probation:
			e.state.CompareAndSwap(s, s&^mostHits|inMain)
			e.state.Or(inMain) // a reader may have come between
		default:
			e.state.CompareAndSwap(s, s-1)
		}
		t.main.push(id, e.cost())
	}
	return nil
}

// queue is ids in the order in which they came, and the sum of their costs.
type queue struct {
	ids     []schema.ID // a ring, its length a power of two
	head, n int
	cost    int64
}

func (q *queue) push(id schema.ID, cost int64) {
	if q.n == len(q.ids) {
		grown := make([]schema.ID, max(64, 2*q.n))
		n := copy(grown, q.ids[q.head:])
		copy(grown[n:], q.ids[:q.head])
		q.ids, q.head = grown, 0
	}
	q.ids[(q.head+q.n)&(len(q.ids)-1)] = id
	q.n++
	q.cost += cost
}

// pop returns the oldest id. Its cost is the caller's to take off.
func (q *queue) pop() schema.ID {
	id := q.ids[q.head]
	q.head = (q.head + 1) & (len(q.ids) - 1)
	q.n--
	return id
}

// ghosts remembers which documents have left probation unread, in a table with one place for each hash: half a hash and
// how many had left before. Who is forgotten because another has the same place has to prove itself again.
type ghosts struct {
	table []uint64 // its length is a power of two
	left  uint32
}

func newGhosts(entries int64) ghosts { return ghosts{table: make([]uint64, powerOfTwo(entries))} }

// powerOfTwo returns the size of a table for n entries: the next power of two, within reason.
func powerOfTwo(n int64) int {
	size := 1 << 10
	for int64(size) < n && size < 1<<27 {
		size *= 2
	}
	return size
}

func (g *ghosts) place(id schema.ID) (at *uint64, hash uint32) {
	h := mix(uint64(id))
	return &g.table[h&uint64(len(g.table)-1)], uint32(h >> 32)
}

func (g *ghosts) add(id schema.ID) {
	at, hash := g.place(id)
	g.left++
	*at = uint64(hash)<<32 | uint64(g.left)
}

// recall reports whether id is among the last that have left.
func (g *ghosts) recall(id schema.ID, last int) bool {
	at, hash := g.place(id)
	return *at != 0 && uint32(*at>>32) == hash && int64(g.left-uint32(*at)) < int64(last)
}
