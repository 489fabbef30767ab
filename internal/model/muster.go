package model

import "math/bits"

// muster calls the masters, and sees to it that they hold what has been told. It may be left out where it has just been
// made. A client sees one master of each shard; which one is as good as chance while they disagree. One that may have no
// slots may not be seen. The masters of two shards are called one after the other.
func (p *steps) muster(s State, i uint8) {
	c := &s.Sidecars[i]
	if !p.has(RosterMarksMembers) {
		p.to(p.mustered(s, i), "sidecar %d goes on to v%d", i+1, c.Batch)
		return
	}
	if c.Members != 0 && !c.Due && c.At != musterOn {
		p.to(p.mustered(s, i), "sidecar %d goes on to v%d with whom it has mustered", i+1, c.Batch)
	}
	second := c.At == musterOn
	for shard := range uint8(2) {
		if second && c.Calls[shard].asked() || p.Moves == 0 && shard > 0 {
			continue
		}
		unseen := false
		for j := range uint8(maxProcs) {
			q := &s.Procs[j]
			if q.Role != master || p.shardOf(j) != shard {
				continue
			}
			unseen = unseen || q.Slot == elsewhere || q.Slot == comes
			p.called(s, i, shard, p.calls(q, j))
		}
		if unseen && (!second || c.Calls[1-shard].Proc != nobody) {
			p.called(s, i, shard, call{Proc: nobody})
		}
	}
}

// call is what a master has said when it was called.
type call struct {
	Proc                            uint8 // 1 more than its number, 0 for nobody
	Reign, Former, Has, Offset, Run uint8
	Newborn, Slot, Emptied          bool
}

// nobody is called where a shard is not seen.
const nobody = maxProcs + 1

func (f *call) asked() bool { return f.Proc != 0 }

// calls returns what a master says who is called.
func (p *Protocol) calls(q *Proc, j uint8) call {
	f := call{Proc: j + 1, Reign: q.Reign, Run: q.Run, Newborn: q.Newborn, Slot: q.Slot == owns}
	f.Slot = f.Slot || !p.has(FoundAtRest) && q.Slot == leaves
	if p.failing() {
		f.Former, f.Has, f.Offset = q.Former, q.Has, q.Offset
	}
	return f
}

// called goes on when a shard has been called.
func (p *steps) called(s State, i, shard uint8, f call) {
	c := &s.Sidecars[i]
	c.Calls[shard] = f
	if p.Moves == 0 || c.At == musterOn {
		p.judge(s, i)
		return
	}
	c.At = musterOn
	switch {
	case f.Proc == nobody:
		p.to(s, "sidecar %d does not see the masters of shard %d", i+1, shard+1)
	case f.Slot:
		p.to(s, "sidecar %d calls %c, who has the slot", i+1, 'A'+f.Proc-1)
	default:
		p.to(s, "sidecar %d calls %c, who has not the slot", i+1, 'A'+f.Proc-1)
	}
}

// judge makes up its mind about the masters that have been called.
func (p *steps) judge(s State, i uint8) {
	c := &s.Sidecars[i]
	next, lacking := Roster(0), uint8(0)
	c.Gained, c.Seen = 0, 0
	last := uint8(0)
	if c.Calls[0].Slot && c.Calls[1].Slot && p.has(FoundOnce) {
		p.refuse(&s, i)
		p.to(s, "sidecar %d finds two masters that have the slot", i+1)
		return
	}
	for shard := range c.Calls {
		f := &c.Calls[shard]
		if !f.asked() || f.Proc == nobody {
			continue
		}
		last = f.Proc - 1
		// So far the replication of the master covers what was done for earlier changes.
		if l := &c.Last[f.Reign]; l.Offset == unsettled {
			l.Offset = f.Offset
		}
		p.renamed(&s, i, f)
		was := f.Reign
		member := c.Members.Has(f.Reign)
		if !p.has(ReignsAreNames) {
			for r := range uint8(maxReigns) {
				if c.Members.Has(r) && s.RunOf[r] == f.Run {
					member, was = true, r
				}
			}
		}
		switch {
		case member || c.Blank || f.Newborn:
		default:
			lacks, stranger := p.since(c, f)
			if stranger {
				s.Sidecars[i].unmuster()
				s.Sidecars[i].At = raise
				p.to(s, "sidecar %d cannot tell what %c holds", i+1, 'A'+f.Proc-1)
				return
			}
			lacking, was = max(lacking, lacks), f.Former
		}
		next = next.with(f.Reign, f.Slot)
		if f.Slot && !c.Blank && !c.Members.Lists(was) && p.has(GainedIsEmptied) {
			c.Gained |= 1 << shard
		}
		if !p.has(HeirReplaces) && !member {
			next |= c.Members
		}
	}
	c.Next, c.Redo = next, lacking
	if c.Gained == 0 {
		p.enlist(s, i, last, "sidecar %d musters %c, and goes on to v%d", "sidecar %d musters %c, and v%d may be lacking")
		return
	}
	for j := range s.Procs {
		for e, cell := range s.Procs[j].Cells {
			if c.Gained&(1<<p.shardOf(uint8(j))) != 0 && cell.Value != (Value{}) && !p.has(EmptiedAnew) {
				c.Seen |= 1 << e
			}
		}
	}
	c.At = emptyFirst
	p.to(s, "sidecar %d has mustered %c, and begins to empty who has gained the slot", i+1, 'A'+last)
}

// empty takes out what a master holds of a slot that it was not listed for: the leases first, and then everything. What is
// found by then has been loaded after that, or is taken out.
func (p *steps) empty(i uint8) {
	s := p.s
	c := &s.Sidecars[i]
	shard := bits.TrailingZeros8(c.Gained)
	f := &c.Calls[shard]
	j := f.Proc - 1
	q := &s.Procs[j]
	if !q.answers() || q.Reign != f.Reign {
		p.refuse(&s, i)
		p.to(s, "sidecar %d cannot empty %c, who is not the one it was or has not the slot", i+1, 'A'+j)
		return
	}
	values := c.At == emptySecond
	if !p.has(EmptiedLeaseFirst) {
		values = !values
	}
	for e := range uint8(maxEpochs) {
		cell := q.Cells[e]
		if values && (p.has(EmptiedAnew) || c.Seen&(1<<e) != 0) {
			cell.Value = Value{}
		}
		if !values || p.has(EmptiedAnew) && p.has(EmptiedLeaseFirst) {
			cell.Lease = 0
		}
		p.write(&s, j, e, cell)
	}
	what := "sidecar %d takes the leases out of %c"
	if values {
		what = "sidecar %d takes all out of %c"
	}
	if c.At == emptyFirst {
		c.At = emptySecond
		p.to(s, what, i+1, 'A'+j)
		return
	}
	if p.failing() && p.has(EmptiedReaches) {
		f.Offset, f.Emptied = q.Offset, true
	}
	if c.Gained &= c.Gained - 1; c.Gained != 0 {
		c.At = emptyFirst
		p.to(s, what, i+1, 'A'+j)
		return
	}
	p.enlist(s, i, j, what+", and goes on to v%d", what+", and v%d may be lacking")
}

// enlist has the sidecar go on with those that it has mustered, of whom j was the last.
func (p *steps) enlist(s State, i, j uint8, well, lacking string) {
	c := &s.Sidecars[i]
	for shard := range c.Calls {
		f := &c.Calls[shard]
		if !f.asked() || f.Proc == nobody {
			continue
		}
		if c.Reach[f.Reign] == 0 && p.failing() {
			if c.Reach[f.Reign] = f.Offset; c.Blank {
				c.Reach[f.Reign] = fromStart // nothing has been marked in this epoch yet
			}
		}
		if f.Emptied {
			c.Reach[f.Reign] = max(c.Reach[f.Reign], f.Offset)
		}
	}
	before, lacks := c.Members, c.Redo
	if lacks == 0 {
		c.only(c.Next)
	}
	c.Members = c.Next
	c.unmuster()
	c.Blank, c.Due = false, false
	if lacks == 0 || !p.has(HeirCatchesUp) {
		c.Called = p.Renames > 0
		s = p.mustered(s, i)
		p.to(s, well, i+1, 'A'+j, s.Sidecars[i].Batch)
		return
	}
	c.Redo, c.Before, c.At = lacks, before, mark
	p.to(s, lacking, i+1, 'A'+j, lacks)
}

// unmuster forgets the muster under way.
func (c *Sidecar) unmuster() {
	c.Calls, c.Next, c.Gained, c.Seen, c.Redo = [2]call{}, 0, 0, 0, 0
}

// refuse ends what a session does, as somebody has answered whom it does not know: it musters at once, and does it again.
func (p *steps) refuse(s *State, i uint8) {
	if p.Moves == 0 {
		p.fail(s, i)
		return
	}
	c := &s.Sidecars[i]
	c.back()
	c.unmuster()
	c.Loaded, c.Asked, c.Due, c.At = Value{}, 0, true, muster
}

// mustered goes on after a muster.
func (p *steps) mustered(s State, i uint8) State {
	c := &s.Sidecars[i]
	c.Redo, c.Before = 0, 0
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

// renamed lets a member go on under another name, if that is only another name.
func (p *steps) renamed(s *State, i uint8, f *call) {
	c := &s.Sidecars[i]
	if !c.Called || c.Members.Has(f.Reign) || f.Former != 0 && p.has(RenamedIsNoHeir) {
		return
	}
	for r := range uint8(maxReigns) {
		if c.Members.Has(r) && s.RunOf[r] == f.Run {
			c.Members = c.Members.without(r).with(f.Reign, c.Members.Lists(r))
			c.Reach[f.Reign], c.Reach[r] = c.Reach[r], 0
			c.Last[f.Reign], c.Last[r] = c.Last[r], marked{}
			return
		}
	}
}

// back leaves things as they were before the muster, where those that it has found have not been brought what they may lack.
func (c *Sidecar) back() {
	if c.Before == 0 {
		return
	}
	c.Members = c.Before
	c.only(c.Before)
	c.Before = 0
}

// only lets nobody be heir but of some reigns.
func (c *Sidecar) only(of Roster) {
	for r := range c.Reach {
		if !of.Has(uint8(r)) {
			c.Reach[r] = 0
		}
	}
}
