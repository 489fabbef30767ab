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

// shardOf returns the shard of a process.
func (p *Protocol) shardOf(i uint8) uint8 {
	if p.far(i) {
		return 1
	}
	return 0
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
		case q.Slot == owns && p.s.Left.Moves > 0:
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
	if empty && !(p.Slow && p.listed(&p.s.Procs[j])) {
		s := p.s
		s.Procs[i].Slot, s.Procs[j].Slot = elsewhere, owns
		p.to(s, "the slot is %c's", 'A'+j)
	}
	if !p.Calm {
		s := p.s
		s.Procs[i].Slot, s.Procs[j].Slot = owns, elsewhere
		p.to(s, "the move from %c to %c is given up", 'A'+i, 'A'+j)
	}
}

// listed reports whether somebody takes a master to have the slot, or is about to.
func (p *steps) listed(q *Proc) bool {
	listed := p.s.Feed.Roster.Lists(q.Reign)
	for i := range p.s.Sidecars {
		c := &p.s.Sidecars[i]
		listed = listed || c.Members.Lists(q.Reign) || c.Next.Lists(q.Reign) || c.Before.Lists(q.Reign)
	}
	for i := range p.s.Nodes {
		listed = listed || p.s.Nodes[i].Roster.Lists(q.Reign) || p.s.Nodes[i].Hand.Roster.Lists(q.Reign)
	}
	for i := range p.s.Len {
		listed = listed || p.s.Stream[i].Roster.Lists(q.Reign)
	}
	for i := range p.s.Readers {
		listed = listed || p.s.Readers[i].Roster.Lists(q.Reign)
	}
	return listed
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

// moving gives up a slot that is on its way: whom it leaves has said that it has not all of the keys, for which somebody
// else is to be asked. Nobody is vouched for then, and whoever has the slot in the end is emptied, so the change counts as
// told.
func (p *steps) moving(i, j uint8, what string) {
	s := p.s
	c := &s.Sidecars[i]
	q := &s.Procs[j]
	if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members, SlotMarks) {
		p.refuse(&s, i)
		p.to(s, "sidecar %d asks %c, whom it does not know", i+1, 'A'+j)
		return
	}
	if p.has(MovingIsUnlisted) {
		c.Members = c.Members.unlisted(q.Reign)
	}
	c.Loaded = Value{}
	p.to(p.brought(s, i), what, i+1, 'A'+j)
}

// says returns what is answered to who asks a process for the document, and does not know better.
func (p *Protocol) says(s *State, q *Proc, epoch uint8) (v Value, ok bool) {
	if q.answers() {
		v, ok = q.Cells[epoch].Value, true
	}
	if q.Role == master && v.None() && q.Slot != owns && !p.has(RedirectedIsNot) {
		for j := range s.Procs {
			to := &s.Procs[j]
			asked := to.answers() || to.Role == master && to.Slot == comes && q.Slot == leaves
			if is := to.Cells[epoch].Value; to != q && asked && !is.None() {
				return is, true
			}
		}
	}
	return v, ok
}
