package model

// slot is what a process takes itself to be for the document's slot, which an operator may move to the masters of another
// shard, key by key.
type slot uint8

const (
	owns      slot = iota
	leaves         // it is on its way from here: for a key that is here no more, the other one is to be asked
	comes          // it is on its way to here: who asks says that he knows
	elsewhere      // who asks is told to ask somebody else
)

// far reports whether a process is of the other shard.
func (p *Protocol) far(i uint8) bool { return p.Moves > 0 && int(i) >= p.Masters }

// side returns those of a set of reigns that are of one shard. Runs are numbered as processes are, where slots move.
func (p *Protocol) side(s *State, r Roster, far bool) (some Roster) {
	for reign := range uint8(maxReigns) {
		if r.Has(reign) && far == p.far(s.RunOf[reign]-1) {
			some |= 1 << reign
		}
	}
	return some
}

// answers reports whether a process says what it has of the document to anybody.
func (q *Proc) answers() bool { return q.Role == master && (q.Slot == owns || q.Slot == leaves) }

// runs reports whether a process runs a script of both keys. While their slot moves it does so only with both.
func (q *Proc) runs(epoch uint8) bool {
	c := q.Cells[epoch]
	return q.Role == master && (q.Slot == owns || q.Slot != elsewhere && !c.Value.None() && c.Lease != 0)
}

// move makes the steps of an operator who moves the slot. What holds for any moment between telling the one master and
// telling the other that it is done is merged: who still asks the one is sent to the other.
func (p *steps) move(i uint8) {
	q := &p.s.Procs[i]
	if q.Succeeded || p.Moves == 0 {
		return
	}
	for j := range uint8(maxProcs) {
		to := &p.s.Procs[j]
		if to.Role != master || to.Succeeded || p.far(i) == p.far(j) {
			continue
		}
		switch {
		case q.Slot == owns && p.s.Left.Moves > 0 && (!p.Calm || p.s.Feed.Roster.Has(q.Reign)):
			s := p.s
			s.Left.Moves--
			s.Procs[i].Slot, s.Procs[j].Slot = leaves, comes
			p.to(s, "the slot begins to move from %c to %c", 'A'+i, 'A'+j)
		case q.Slot == leaves && to.Slot == elsewhere:
			s := p.s
			s.Procs[j].Slot = comes
			p.to(s, "the slot goes on to move from %c, to %c", 'A'+i, 'A'+j)
		case q.Slot == leaves && to.Slot == comes:
			p.migrate(i, j)
		}
	}
}

// migrate moves one of the keys, if the other master has none of that name, or ends the move when all are there.
func (p *steps) migrate(i, j uint8) {
	empty := true
	for e := range uint8(maxEpochs) {
		c, there := p.s.Procs[i].Cells[e], p.s.Procs[j].Cells[e]
		empty = empty && c == Cell{}
		if !c.Value.None() && there.Value.None() {
			s := p.s
			p.write(&s, i, e, Cell{Lease: c.Lease})
			p.write(&s, j, e, Cell{Value: c.Value, Lease: there.Lease})
			p.to(s, "v%d moves from %c to %c", c.Value.Version, 'A'+i, 'A'+j)
		}
		if c.Lease != 0 && there.Lease == 0 {
			s := p.s
			p.write(&s, i, e, Cell{Value: c.Value})
			p.write(&s, j, e, Cell{Value: there.Value, Lease: c.Lease})
			p.to(s, "the lease moves from %c to %c", 'A'+i, 'A'+j)
		}
	}
	if empty {
		s := p.s
		s.Procs[i].Slot, s.Procs[j].Slot = elsewhere, owns
		p.to(s, "the slot is %c's", 'A'+j)
	}
	if !p.Calm && p.s.Left.Moves > 0 {
		s := p.s
		s.Procs[i].Slot, s.Procs[j].Slot = owns, elsewhere
		p.to(s, "the move from %c to %c is given up", 'A'+i, 'A'+j)
	}
}

// heired returns what a replica that is promoted takes itself to be for the slot: it does not know of a move under way.
func (s slot) heired() slot {
	switch s {
	case leaves:
		return owns
	case comes:
		return elsewhere
	}
	return s
}

// wipe takes out one of the keys, wherever it is, as scripts of both may have to wait until the operator is done. The
// lease goes first: where the value has gone before, its holder can fill again. Whoever the client takes for the owner is
// asked, which need not be the one who has said that the slot is on its way.
func (p *steps) wipe(i uint8) {
	c := &p.s.Sidecars[i]
	for j := range uint8(maxProcs) {
		q := &p.s.Procs[j]
		at, has := j, q.Cells[c.Epoch].Lease != 0
		if c.At == wipeValue {
			has = !q.Cells[c.Epoch].Value.None()
		}
		if q.Slot == leaves && !has {
			at = p.other()
		}
		if !q.answers() || at == maxProcs {
			continue
		}
		s := p.s
		cell, what := s.Procs[at].Cells[c.Epoch], "sidecar %d takes the lease out of %c"
		if c.At == wipeValue {
			cell.Value, what = Value{}, "sidecar %d takes the value out of %c"
		} else {
			cell.Lease = 0
		}
		p.write(&s, at, c.Epoch, cell)
		if p.has(WipedByMembers) && !p.vouched(&s, &s.Procs[at], c.Members) {
			p.fail(&s, i)
			p.to(s, what+", whom it does not know", i+1, 'A'+at)
			continue
		}
		p.to(p.wiped(s, i), what, i+1, 'A'+at)
	}
}

// other returns the process that the slot is coming to, maxProcs for none.
func (p *steps) other() uint8 {
	for j := range uint8(maxProcs) {
		if q := &p.s.Procs[j]; q.Role == master && q.Slot == comes {
			return j
		}
	}
	return maxProcs
}

// wiped goes on when one of the keys has been taken out. By whom that was done is not known.
func (p *steps) wiped(s State, i uint8) State {
	c := &s.Sidecars[i]
	instead := c.Loaded.Version != 0 // of a put, which is of the value alone
	first, second := wipeLease, wipeValue
	if !p.has(LeaseOutFirst) {
		first, second = second, first
	}
	if !instead && c.At == first {
		c.At = second
		return s
	}
	of := Roster(1 << c.Asked)
	switch {
	case !instead && p.has(WipedMarkAnywhere) || instead && p.has(PutIsRemembered):
		of = c.Members
	case instead:
		of = 0
	}
	for r := range c.Last {
		if of.Has(uint8(r)) && p.failing() {
			c.Last[r] = marked{c.version(), unsettled}
		}
	}
	c.Loaded, c.Asked = Value{}, 0
	return p.brought(s, i)
}

// moving begins to take out keys of a slot that is on its way, which a process says that it has not all of.
func (p *steps) moving(i, j uint8, what string) {
	s := p.s
	c := &s.Sidecars[i]
	q := &s.Procs[j]
	if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members) {
		c.Loaded = Value{}
		p.fail(&s, i)
		p.to(s, "sidecar %d asks %c, whom it does not know", i+1, 'A'+j)
		return
	}
	if !p.has(MovingIsWiped) {
		c.Loaded = Value{}
		p.to(p.brought(s, i), what+", and takes it for cold", i+1, 'A'+j)
		return
	}
	c.Asked = q.Reign
	if c.At = wipeValue; c.Loaded.Version == 0 && p.has(LeaseOutFirst) {
		c.At = wipeLease
	}
	p.to(s, what, i+1, 'A'+j)
}

// left musters the other shard alone, when it has the slot and nobody of the one that had it is in sight: with no slots
// left, those are masters of nothing. What was marked there is marked again.
func (p *steps) left(s State, i uint8) {
	c := &s.Sidecars[i]
	here := p.side(&s, c.Members, true)
	gone := c.Members &^ here
	has := false
	for j := range s.Procs {
		q := &s.Procs[j]
		has = has || q.Role == master && q.Slot == owns && here.Has(q.Reign)
	}
	if !has || gone == 0 {
		return
	}
	p.settle(&s, i)
	before := c.Members
	c.Members = here
	lacks := uint8(0)
	for r := range uint8(maxReigns) {
		if gone.Has(r) && p.has(LeftIsMarked) {
			lacks = max(lacks, c.Last[r].Version)
		}
	}
	if lacks == 0 {
		c.only(here)
		p.to(p.mustered(s, i), "sidecar %d sees only masters of the other shard, and goes on to v%d", i+1, s.Sidecars[i].Batch)
		return
	}
	c.Redo, c.Heir, c.Before, c.At = lacks, 0, before, mark
	p.to(s, "sidecar %d sees only masters of the other shard, which may lack v%d", i+1, lacks)
}

// settle notes how far the replication of members has come.
func (p *steps) settle(s *State, i uint8) {
	c := &s.Sidecars[i]
	for j := range s.Procs {
		q := &s.Procs[j]
		if l := &c.Last[q.Reign]; q.Role == master && l.Offset == unsettled && c.Members.Has(q.Reign) {
			l.Offset = q.Offset
		}
	}
}
