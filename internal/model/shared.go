package model

// since returns the latest change that an heir may lack, 0 for none, and whether that cannot be told.
func (p *steps) since(c *Sidecar, f *call) (lacks uint8, stranger bool) {
	reach, last, has := c.Reach[f.Former], c.Last[f.Former], f.Has
	if f.Former == 0 || reach == 0 {
		return 0, true
	}
	if !p.has(TieIsLacking) {
		has++
	}
	if !p.has(RingReaches) {
		reach = 1
	}
	lacking, known := Lacks(reach, last.Offset, has)
	if !known || !lacking {
		return 0, !known
	}
	return last.Version, false
}

// Lacks reports whether an heir lacks a change that was marked in its former master by an offset, 0 for none, when it has
// what that one had sent up to another; and whether that is known, to who remembers what was marked beyond reach. What was
// marked at the very end of what it has may have been marked after its promotion, as a mark need not write anything.
func Lacks(reach, marked, has uint8) (lacks, known bool) {
	return marked >= has && marked != 0, reach < has
}

// version returns the change that is being marked.
func (c *Sidecar) version() uint8 {
	if c.Redo != 0 {
		return c.Redo
	}
	return c.Batch
}

// mark tells Redis of the change. Whoever answers has done it; one who is no member ends the session.
func (p *steps) mark(i uint8) {
	v := p.s.Sidecars[i].version()
	if p.Moves > 0 && !p.s.Sidecars[i].Members.Listed() { // nobody is vouched for, and whoever gets the slot is emptied
		p.to(p.brought(p.s, i), "sidecar %d takes v%d to be told, as nobody is listed for the slot", i+1, v)
		return
	}
	for j := range uint8(maxProcs) {
		if !p.s.Procs[j].answers() {
			continue
		}
		if !p.s.Procs[j].runs(p.s.Sidecars[i].Epoch) {
			p.moving(i, j, "sidecar %d wants to mark in %c, which has not both keys")
			continue
		}
		s := p.s
		c := &s.Sidecars[i]
		q := &s.Procs[j]
		before := q.Cells[c.Epoch]
		after, reply := before.Mark(v)
		if !p.has(MarkEndsLease) {
			after.Lease = before.Lease
		}
		p.write(&s, j, c.Epoch, after)
		if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members, SlotMarks) {
			p.refuse(&s, i)
			p.to(s, "sidecar %d marks v%d in %c, whom it does not know", i+1, v, 'A'+j)
			continue
		}
		if p.failing() {
			c.Last[q.Reign] = marked{v, unsettled}
			if !p.has(SettleAfterPut) {
				c.Last[q.Reign].Offset = q.Offset
			}
		}
		if p.Wait {
			c.Asked = j
		}
		if reply == Stale {
			c.At = load
			p.to(s, "sidecar %d marks v%d in %c, which holds v%d", i+1, v, 'A'+j, before.Value.Version)
		} else {
			p.to(p.brought(s, i), "sidecar %d marks v%d in %c, which holds nothing older", i+1, v, 'A'+j)
		}
	}
}

// put replaces what Redis holds by what was loaded.
func (p *steps) put(i uint8) {
	for j := range uint8(maxProcs) {
		if !p.s.Procs[j].answers() {
			continue
		}
		if q := &p.s.Procs[j]; q.Slot == leaves && q.Cells[p.s.Sidecars[i].Epoch].Value.None() {
			p.moving(i, j, "sidecar %d wants to put in %c, which has not the key")
			continue
		}
		s := p.s
		c := &s.Sidecars[i]
		q := &s.Procs[j]
		v := c.Loaded
		after, _ := q.Cells[c.Epoch].Put(v)
		if !p.has(PutKeepsNewer) && !q.Cells[c.Epoch].Value.None() {
			after.Value = v
		}
		p.write(&s, j, c.Epoch, after)
		c.Loaded = Value{}
		if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members, SlotMarks) {
			p.refuse(&s, i)
			p.to(s, "sidecar %d puts v%d in %c, whom it does not know", i+1, v.Version, 'A'+j)
			continue
		}
		if p.Wait {
			c.Asked = j
		}
		p.to(p.brought(s, i), "sidecar %d puts v%d in %c", i+1, v.Version, 'A'+j)
	}
}

// brought goes on when Redis reflects a change.
func (p *steps) brought(s State, i uint8) State {
	c := &s.Sidecars[i]
	switch {
	case p.Wait:
		c.At = ack
	case c.Redo != 0:
		c.Called = p.Renames > 0
		c.only(c.Members)
		return p.mustered(s, i)
	default:
		p.applied(c)
	}
	return s
}

func (p *steps) applied(c *Sidecar) {
	c.Asked = 0
	if c.At = publish; !p.has(RedisBeforeFeed) {
		c.Pos, c.Batch, c.At = c.Batch, 0, ready
	}
}

// acknowledged waits until a replica has all that the master had been asked to do.
func (p *steps) acknowledged(i uint8) {
	c := &p.s.Sidecars[i]
	m := &p.s.Procs[c.Asked]
	for j := range p.s.Procs {
		q := &p.s.Procs[j]
		if q.Role == replica && q.Of == c.Asked && q.Reign == m.Reign && q.Offset == m.Offset {
			s := p.s
			p.applied(&s.Sidecars[i])
			p.to(s, "%c acknowledges to sidecar %d", 'A'+uint8(j), i+1)
			return
		}
	}
}
