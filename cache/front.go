package cache

import (
	"sync/atomic"

	"vidmeta/schema"
)

// front is a short cut to the entries of the local tier that were read last, one place for each hash. A read that finds its
// entry there takes no lock and writes nothing, so any number of cores can read one document at once; Ristretto has a lock
// for reads in each of its shards.
//
// It holds nothing that Ristretto does not hold. Whoever takes an entry out of Ristretto calls forget, which marks it as
// gone before it looks at the place; show looks at the mark after it has filled the place. So of two that meet, one sees
// the other.
type front struct {
	places []atomic.Pointer[localEntry]
}

// frontShare is for how many bytes of the budget there is a place: two or more for a document of 1 KiB, so that if
// all are wanted five in six have one.
const frontShare = 512

func newFront(room int64) front {
	return front{places: make([]atomic.Pointer[localEntry], max(room/frontShare, 1))}
}

func (f *front) at(id schema.ID) *atomic.Pointer[localEntry] {
	return &f.places[spread(mix(uint64(id)), len(f.places))]
}

// find returns the entry of id, nil if it has no place here.
func (f *front) find(id schema.ID) *localEntry {
	if e := f.at(id).Load(); e != nil && e.id == id {
		return e
	}
	return nil
}

// show gives an entry its place. Where two that are wanted have the same it changes hands in one of eight reads, of which
// now is the time: a write costs the other cores more than a look into Ristretto.
func (f *front) show(e *localEntry, now int64) {
	place := f.at(e.id)
	if before := place.Load(); (before == nil || now%8 == 0) && place.CompareAndSwap(before, e) && e.is(gone) {
		place.CompareAndSwap(e, nil)
	}
}

// forget takes out an entry that Ristretto no longer holds.
func (f *front) forget(e *localEntry) {
	e.state.Or(gone)
	f.at(e.id).CompareAndSwap(e, nil)
}
