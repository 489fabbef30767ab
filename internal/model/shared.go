package model

// muster looks who is master, and sees to it that it holds what has been told. It may be left out where it has just been
// made. A client sees one master of the document's slot; which one is as good as chance while they disagree.
func (p *steps) muster(s State, i uint8) {
	c := &s.Sidecars[i]
	if !p.has(RosterMarksMembers) {
		p.to(p.mustered(s, i), "sidecar %d goes on to v%d", i+1, c.Batch)
		return
	}
	if c.Members != 0 {
		p.to(p.mustered(s, i), "sidecar %d goes on to v%d with whom it has mustered", i+1, c.Batch)
	}
	for j := range s.Procs {
		if s.Procs[j].Role == master {
			p.look(s, i, uint8(j))
		}
	}
	if p.Moves > 0 && !c.Blank {
		p.left(s, i)
	}
}

// mustered goes on after a muster.
func (p *steps) mustered(s State, i uint8) State {
	c := &s.Sidecars[i]
	c.Redo, c.Heir, c.Before = 0, 0, 0
	switch {
	case c.Batch == c.Pos:
		c.At = publish
	case !p.has(RedisBeforeFeed) && c.Told < c.Batch:
		c.At = publish
	case p.Blind != 0 && c.Batch == p.Blind:
		c.At = publish // it tells of no rows
	default:
		c.At = mark
	}
	return s
}

// look deals with one master.
func (p *steps) look(s State, i, j uint8) {
	c := &s.Sidecars[i]
	q := &s.Procs[j]
	// So far the replication of the master covers what was done for earlier changes.
	if l := &c.Last[q.Reign]; l.Offset == unsettled {
		l.Offset = q.Offset
	}
	if p.Moves > 0 {
		p.settle(&s, i)
	}
	p.renamed(&s, i, q)
	member := c.Members.Has(q.Reign)
	if !p.has(ReignsAreNames) {
		member = p.vouched(&s, q, c.Members)
	}
	lacks, stranger := uint8(0), false
	switch {
	case member || c.Blank:
	case q.Newborn:
		if p.has(NewbornCatchesUp) {
			lacks, stranger = c.all(q.Reign)
		}
	default:
		lacks, stranger = p.since(c, q)
	}
	if stranger {
		c.At = raise
		p.to(s, "sidecar %d cannot tell what %c holds", i+1, 'A'+j)
		return
	}
	before := c.Members
	others := p.side(&s, before, !p.far(j)) // of the other shard, which are as they were
	for k := range s.Procs {
		if o := &s.Procs[k]; c.Blank && o.Role == master && !o.Succeeded && p.far(uint8(k)) != p.far(j) {
			others |= 1 << o.Reign
			c.Reach[o.Reign] = o.Offset
		}
	}
	if c.Reach[q.Reign] == 0 {
		c.Reach[q.Reign] = q.Offset
	}
	if p.has(HeirOfMember) && lacks == 0 {
		c.only(others | 1<<q.Reign)
	}
	if c.Members = others | 1<<q.Reign; !p.has(HeirReplaces) && !member {
		c.Members |= before
	}
	c.Blank = false
	if lacks == 0 || !p.has(HeirCatchesUp) {
		c.Called = p.Renames > 0
		p.to(p.mustered(s, i), "sidecar %d musters %c, and goes on to v%d", i+1, 'A'+j, s.Sidecars[i].Batch)
		return
	}
	c.Redo, c.Heir, c.Before, c.At = lacks, q.Reign, before, mark
	p.to(s, "sidecar %d musters %c, which may lack v%d", i+1, 'A'+j, lacks)
}

// renamed lets a member go on under another name, if that is only another name.
func (p *steps) renamed(s *State, i uint8, q *Proc) {
	c := &s.Sidecars[i]
	if !c.Called || c.Members.Has(q.Reign) || q.Former != 0 && p.has(RenamedIsNoHeir) {
		return
	}
	for r := range uint8(maxReigns) {
		if c.Members.Has(r) && s.RunOf[r] == q.Run {
			c.Members ^= 1<<r | 1<<q.Reign
			c.Reach[q.Reign], c.Reach[r] = c.Reach[r], 0
			c.Last[q.Reign], c.Last[r] = c.Last[r], marked{}
			return
		}
	}
}

// since returns the latest change that an heir may lack, 0 for none, and whether that cannot be told.
func (p *steps) since(c *Sidecar, q *Proc) (lacks uint8, stranger bool) {
	reach, last, has := c.Reach[q.Former], c.Last[q.Former], q.Has
	if q.Former == 0 || reach == 0 {
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

// only lets nobody be heir but of some reigns.
func (c *Sidecar) only(of Roster) {
	for r := range c.Reach {
		if !of.Has(uint8(r)) {
			c.Reach[r] = 0
		}
	}
}

// all returns the latest change that is remembered, for a newborn, and whether changes from before its birth are forgotten.
// A newborn can hold only what was loaded since, so what was marked before is in that.
func (c *Sidecar) all(newborn uint8) (lacks uint8, stranger bool) {
	for _, m := range c.Last {
		lacks = max(lacks, m.Version)
	}
	return lacks, newborn <= c.Since
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
		if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members) {
			p.fail(&s, i)
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
		if p.Moves > 0 && p.failing() && p.has(PutIsRemembered) {
			c.Last[q.Reign] = marked{c.version(), unsettled}
		}
		if p.has(RosterMarksMembers) && !p.vouched(&s, q, c.Members) {
			p.fail(&s, i)
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
		if p.has(HeirOfMember) {
			c.only(c.Members)
		}
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
