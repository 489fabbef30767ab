package cache

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"vidmeta/schema"
)

// entryOverhead is what a document takes besides the bytes of its body: the mean of what BenchmarkLocalMemory measures on
// the heap with 700,000 to 1,200,000 documents, 271 to 334 bytes (docs/local-tier.md has the parts). It is accounted for with
// every entry, so that MaxBytes means bytes of memory.
const entryOverhead = 300

// LocalConfig sizes the local tier.
type LocalConfig struct {
	// MaxBytes is the budget for bodies and what is kept beside them. Required, at least 1 MiB.
	MaxBytes int64
	// TTL is how long an entry lives that is not invalidated, give or take a tenth. It makes no answer correct, and memory
	// is turnover's business: it bounds how long this tier repeats what nobody foresaw, a change that came by no trigger.
	// So it need not be short (docs/local-tier.md). 0 means 5 min.
	TTL   time.Duration
	exact bool // no jitter
}

func (c *LocalConfig) validate() error {
	if c.TTL == 0 {
		c.TTL = 5 * time.Minute
	}
	switch {
	case c.MaxBytes < 1<<20:
		return fmt.Errorf("local tier: MaxBytes is %d, at least 1 MiB is needed", c.MaxBytes)
	case c.TTL < 0:
		return fmt.Errorf("local tier: TTL is %v, it must not be negative", c.TTL)
	}
	return nil
}

// Local is the tier in the process: Ristretto behind a fence. Ristretto may drop or delay what it is given, and may keep
// the older of two values; none of it matters, since an entry is judged by its stamp whenever it is read.
//
// Ristretto holds the entries and never has to let one go: what leaves is taken out by turnover, which keeps more of what
// will be asked for than Ristretto's own policy does (docs/local-tier.md).
type Local struct {
	cfg   LocalConfig
	cache *ristretto.Cache[uint64, *localEntry]
	fence *Fence
	front front

	mu       sync.Mutex // held by whoever stores, so that what is queued is what Ristretto holds; before Ristretto's own
	turnover *turnover
}

// NewLocal returns an empty tier. Close it when no read is under way any more.
func NewLocal(cfg LocalConfig, fence *Fence) (*Local, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	c, err := ristretto.NewCache(&ristretto.Config[uint64, *localEntry]{
		// Its estimate of how much is wanted decides nothing where there is always room: the least that it takes.
		NumCounters:        1 << 10,
		MaxCost:            math.MaxInt64,
		BufferItems:        64,
		IgnoreInternalCost: true,
		// Ristretto takes an integer's own bits as its hash. Mixed they are spread over its shards; as the mixing is a
		// bijection no two ids collide, so the second hash has nothing to decide.
		KeyToHash: func(id uint64) (uint64, uint64) { return mix(id), 0 },
	})
	if err != nil {
		return nil, fmt.Errorf("local tier: %w", err)
	}
	entries := cfg.MaxBytes / (1024 + entryOverhead) // if they are 1 KiB each
	return &Local{
		cfg: cfg, cache: c, fence: fence, front: newFront(cfg.MaxBytes), turnover: newTurnover(cfg.MaxBytes, entries),
	}, nil
}

// get returns the entry of id, and whether it is valid. An invalid entry is of use only where nothing better can be had.
func (l *Local) get(id schema.ID, now int64) (e *localEntry, valid bool) {
	if e = l.front.find(id); e == nil {
		if e, _ = l.cache.Get(uint64(id)); e == nil {
			return nil, false
		}
		l.front.show(e, now)
	}
	e.touch()
	return e, l.valid(e, now)
}

func (l *Local) valid(e *localEntry, now int64) bool {
	return e.stamp == l.fence.Stamp(e.id) && now < e.expiresAt()
}

// peek is get for somebody who only looks, which does not count as being wanted.
func (l *Local) peek(id schema.ID, now int64) (e *localEntry, valid bool) {
	if e = l.held(id); e == nil || e.asOf == 0 { // nothing, or purged
		return nil, false
	}
	return e, l.valid(e, now)
}

// sample returns the ids of up to n valid entries, each as likely as any other. It visits every entry, a shard at a time,
// looks closer at eight times as many as are wanted, and counts as no read.
func (l *Local) sample(n int) []schema.ID {
	const spare = 8 // most entries may be invalid, where little is read
	picked, seen := make([]*localEntry, 0, spare*n), 0
	l.cache.IterValues(func(e *localEntry) (stop bool) {
		seen++ // reservoir sampling: the entry number k is picked with probability 1/k times the room
		if len(picked) < cap(picked) {
			picked = append(picked, e)
		} else if at := rand.IntN(seen); at < len(picked) {
			picked[at] = e
		}
		return false
	})
	// The first ones have kept their places.
	rand.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
	now := time.Now().UnixMicro()
	ids := make([]schema.ID, 0, n)
	for _, e := range picked {
		if len(ids) < n && l.valid(e, now) {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// arrival is a document as loaded by a reader that took the stamp before. cost is how long the load took.
type arrival struct {
	doc   schema.Document
	stamp uint64
	asOf  int64
	cost  time.Duration
}

// put stores documents, and returns when they are there to be read. What is larger than the tier, or not newer than what is
// there, is not stored. What was invalidated while it was loaded may replace older for the last resort, but is not stored
// where there is nothing: it may have been purged.
func (l *Local) put(now int64, arrivals ...arrival) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var room [putSize]*localEntry
	fresh, cost := room[:0], int64(0) // handed to Ristretto, which may not hold them yet
	for i := range arrivals {
		a := &arrivals[i]
		again := func(e *localEntry) bool { return e.id == a.doc.ID }
		if len(fresh) == putSize || slices.ContainsFunc(fresh, again) {
			l.settle(fresh)
			fresh, cost = room[:0], 0
		}
		prev := l.held(a.doc.ID)
		e := l.entry(a, now)
		switch {
		case e.cost() > l.cfg.MaxBytes:
		case prev == nil && a.stamp != l.fence.Stamp(a.doc.ID):
		case prev == nil:
			l.makeRoom(cost + e.cost())
			if l.cache.Set(uint64(e.id), e, 1) {
				fresh, cost = append(fresh, e), cost+e.cost()
			}
		case !prev.newerThan(e):
			l.replace(prev, e)
			l.makeRoom(cost)
		}
	}
	l.settle(fresh)
}

// replace stores an entry in the place of another.
func (l *Local) replace(prev, e *localEntry) {
	l.turnover.replace(prev, e)
	l.cache.Set(uint64(e.id), e, 1) // at once, since the id is there
	l.front.forget(prev)
}

// purge drops documents, and condemns what is being loaded, for the last resort as well. In the place of what was held is an
// entry as of 1970, which is of no use to any read; with its stamp it is newer than all that was loaded before.
func (l *Local) purge(ids []schema.ID) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.fence.Invalidate(id)
		if prev := l.held(id); prev != nil {
			l.replace(prev, &localEntry{id: id, stamp: l.fence.Stamp(id)})
		}
	}
}

func (l *Local) entry(a *arrival, now int64) *localEntry {
	ttl := l.cfg.TTL
	if !l.cfg.exact {
		ttl = jittered(ttl, 0.1)
	}
	return newEntry(a.doc, a.stamp, a.asOf, now+ttl.Microseconds(), renewLead(a.cost))
}

// putSize is how many new entries are handed to Ristretto before it is waited for.
const putSize = 32

// settle waits until Ristretto has taken entries in, and queues them.
func (l *Local) settle(fresh []*localEntry) {
	if len(fresh) > 0 {
		l.cache.Wait()
	}
	for _, e := range fresh {
		l.turnover.add(e)
	}
}

// makeRoom takes out entries until cost more fits.
func (l *Local) makeRoom(cost int64) {
	for l.turnover.used()+cost > l.cfg.MaxBytes {
		e := l.turnover.evict(l.held)
		if e == nil {
			return
		}
		l.cache.Del(uint64(e.id))
		l.front.forget(e)
	}
}

// held returns the entry of an id, whether or not it is valid; nil if there is none.
func (l *Local) held(id schema.ID) *localEntry {
	e, _ := l.cache.Get(uint64(id))
	return e
}

// bytes returns what the entries are accounted for.
func (l *Local) bytes() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.turnover.used()
}

// Close ends the tier. Nothing may be reading or storing.
func (l *Local) Close() { l.cache.Close() }
