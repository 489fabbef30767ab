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
	first, last *chunk
	from, to    int // the places of the first id in first, and after the last one in last
	n           int
	cost        int64
}

// chunk is a part of a queue, of 4 KiB.
type chunk struct {
	next *chunk
	ids  [511]schema.ID
}

func (q *queue) push(id schema.ID, cost int64) {
	switch {
	case q.last == nil:
		q.first = &chunk{}
		q.last = q.first
	case q.to == len(q.last.ids):
		q.last.next = &chunk{}
		q.last, q.to = q.last.next, 0
	}
	q.last.ids[q.to] = id
	q.to++
	q.n++
	q.cost += cost
}

// pop returns the oldest id; there must be one. Its cost is the caller's to take off.
func (q *queue) pop() schema.ID {
	if q.from == len(q.first.ids) {
		q.first, q.from = q.first.next, 0
	}
	id := q.first.ids[q.from]
	q.from++
	q.n--
	return id
}

// ghosts remembers which documents have left probation unread, in a table with one place for each hash: half a hash and
// how many had left before. Who is forgotten because another has the same place has to prove itself again.
type ghosts struct {
	table []uint64
	left  uint32
}

func newGhosts(entries int64) ghosts { return ghosts{table: make([]uint64, max(entries, 1))} }

func (g *ghosts) place(id schema.ID) (at *uint64, hash uint32) {
	h := mix(uint64(id))
	return &g.table[spread(h, len(g.table))], uint32(h)
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
