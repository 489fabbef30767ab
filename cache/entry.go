package cache

import (
	"math"
	"sync/atomic"
	"time"
	"unsafe"

	"vidmeta/schema"
)

// localEntry is a document in the local tier. It is immutable but for its state, and made to fill a size class of the
// allocator: 64 bytes, and the body beside it.
type localEntry struct {
	id      schema.ID
	version schema.Version
	stamp   uint64
	asOf    int64  // without what the watermark adds
	body    string // "" if there is no document; a string has no capacity to keep
	life    uint32 // milliseconds from asOf to the end
	lead    uint32 // milliseconds from renewal to the end
	state   atomic.Uint32
}

// What state holds. The lowest bits count reads, up to mostHits: hits write nothing once an entry is known to be wanted.
const (
	mostHits = 3
	inMain   = 1 << 2 // it has left probation
	renewing = 1 << 3 // somebody is loading what will replace it
	gone     = 1 << 4 // it has been replaced or evicted
)

// newEntry copies a document that the tier is to keep until expires, and to renew lead before that.
func newEntry(d schema.Document, stamp uint64, asOf, expires int64, lead time.Duration) *localEntry {
	return &localEntry{
		id: d.ID, version: d.Version, stamp: stamp, asOf: asOf, body: string(d.Body),
		life: millis(time.Duration(expires-asOf) * time.Microsecond), lead: millis(lead),
	}
}

// millis is what a field has room for: 49 days.
func millis(d time.Duration) uint32 { return uint32(min(max(d.Milliseconds(), 0), math.MaxUint32)) }

// document returns the entry's document. Its body is the entry's own memory.
func (e *localEntry) document() schema.Document {
	d := schema.Document{ID: e.id, Version: e.version}
	if len(e.body) > 0 {
		d.Body = unsafe.Slice(unsafe.StringData(e.body), len(e.body)) // nobody writes to a Body
	}
	return d
}

func (e *localEntry) expiresAt() int64 { return e.asOf + int64(e.life)*1000 }

func (e *localEntry) renewAt() int64 { return e.expiresAt() - int64(e.lead)*1000 }

func (e *localEntry) cost() int64 { return int64(len(e.body)) + entryOverhead }

// touch counts a read. One that is lost to a race is no loss.
func (e *localEntry) touch() {
	if s := e.state.Load(); s&mostHits < mostHits {
		e.state.CompareAndSwap(s, s+1)
	}
}

// hits returns how many reads have been counted.
func (e *localEntry) hits() uint32 { return e.state.Load() & mostHits }

// is reports whether a flag is set.
func (e *localEntry) is(flag uint32) bool { return e.state.Load()&flag != 0 }

// claim sets a flag, and reports whether it was this caller who did.
func (e *localEntry) claim(flag uint32) bool {
	return !e.is(flag) && e.state.Or(flag)&flag == 0
}

// newerThan orders entries of one id: by stamp, as a reader with an older one may have loaded an older document, and
// by version and as-of for readers with the same.
func (e *localEntry) newerThan(o *localEntry) bool {
	if e.stamp != o.stamp {
		return e.stamp > o.stamp
	}
	if e.version != o.version {
		return e.version > o.version
	}
	return e.asOf > o.asOf
}
