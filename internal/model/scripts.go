package model

// Value is what Redis holds of the document, its body left out.
type Value struct {
	// Version of what was loaded; versions begin at 1.
	Version uint8
	// LoadedAt is the time that the load noted when it began. The model has no clock: a time is the number of the last
	// commit that had ended by then, which is all that a claim to be true as of a time is worth.
	LoadedAt uint8
	// Other is set for a value of another format, of which nothing else is known.
	Other bool
}

// None reports whether there is no value.
func (v Value) None() bool { return v == Value{} }

// Cell is what one master of Redis holds under the keys of the document, value and lease.
type Cell struct {
	Value Value
	Lease uint8 // token of the holder, 0 for nobody
}

// The replies of the scripts.
const (
	Hit     = 'H' // lease: the value is good enough
	Granted = 'G' // lease: to this token
	Busy    = 'B' // lease: somebody else has it
	Stored  = 'S' // fill, put
	Lost    = 'L' // fill: the lease is not the caller's any more
	Kept    = 'K' // fill, put: what is there was kept
	Cold    = 'C' // mark: nothing is there
	New     = 'N' // mark: what is there is as new
	Stale   = 'S' // mark: what is there is older
)

// AskLease is lease.lua.
func (c Cell) AskLease(token, minVersion, minLoadedAt uint8) (Cell, byte) {
	v := c.Value
	if !v.None() && !v.Other && v.Version >= minVersion && v.LoadedAt >= minLoadedAt {
		return c, Hit
	}
	if c.Lease == 0 {
		c.Lease = token
	}
	if c.Lease == token {
		return c, Granted
	}
	return c, Busy
}

// Fill is fill.lua.
func (c Cell) Fill(token uint8, v Value) (Cell, byte) {
	if c.Lease != token {
		return c, Lost
	}
	c.Lease = 0
	if !c.Value.Other && c.Value.Version > v.Version {
		return c, Kept
	}
	c.Value = v
	return c, Stored
}

// Release is release.lua.
func (c Cell) Release(token uint8) Cell {
	if c.Lease == token {
		c.Lease = 0
	}
	return c
}

// Mark is mark.lua.
func (c Cell) Mark(version uint8) (Cell, byte) {
	c.Lease = 0
	switch {
	case c.Value.None():
		return c, Cold
	case !c.Value.Other && c.Value.Version >= version:
		return c, New
	}
	return c, Stale
}

// Put is put.lua.
func (c Cell) Put(v Value) (Cell, byte) {
	if c.Value.None() || (!c.Value.Other && c.Value.Version > v.Version) {
		return c, Kept
	}
	c.Value = v
	return c, Stored
}

// Drop is drop.lua.
func (c Cell) Drop() Cell { return Cell{} }

// FeedState is the state beside the feed.
type FeedState struct {
	Term, Seq, Epoch, Checkpoint uint8 // 0 for none
	Roster                       Roster
}

// Roster is a set of reigns, as bits, and above them those of them that are listed for the document's slot. A reign is
// one master's from its start or promotion to its end.
type Roster uint16

// Has reports whether a reign is in the set.
func (r Roster) Has(reign uint8) bool { return r&(1<<reign) != 0 }

// Lists reports whether a reign is listed for the slot.
func (r Roster) Lists(reign uint8) bool { return r&(1<<(maxReigns+reign)) != 0 }

// Listed reports whether anybody is.
func (r Roster) Listed() bool { return r>>maxReigns != 0 }

// with returns the roster with a reign, which is listed for the slot or is not.
func (r Roster) with(reign uint8, slot bool) Roster {
	r = r.without(reign) | 1<<reign
	if slot {
		r |= 1 << (maxReigns + reign)
	}
	return r
}

// without returns the roster without a reign.
func (r Roster) without(reign uint8) Roster { return r.unlisted(reign) &^ (1 << reign) }

// unlisted returns the roster with a reign no longer listed for the slot.
func (r Roster) unlisted(reign uint8) Roster { return r &^ (1 << (maxReigns + reign)) }

// Lead is lead.lua: it begins a term.
func (f FeedState) Lead(term uint8) FeedState {
	f.Term = term
	return f
}

// Publish is publish.lua: it refuses whoever does not hold the term, or does not stand where the feed does. A
// checkpoint of 0 leaves the one that is there.
func (f FeedState) Publish(term, last, next, epoch, checkpoint uint8, roster Roster) (FeedState, bool) {
	if f.Term != term || f.Seq != last {
		return f, false
	}
	f.Seq, f.Epoch, f.Roster = next, epoch, roster
	if checkpoint != 0 {
		f.Checkpoint = checkpoint
	}
	return f, true
}
