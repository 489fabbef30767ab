package model

// redis makes what happens to the masters of the document by themselves. Whoever asks Redis may be answered by any master,
// as clients learn late of changes and a master that was cut off learns nothing: that a failover has happened
// does not mean that anybody knows.
func (p *steps) redis() {
	for i := range uint8(maxProcs) {
		switch q := &p.s.Procs[i]; q.Role {
		case master:
			p.evict(i)
			p.restart(i)
			p.supplant(i)
			p.move(i)
			p.rename(i)
			p.follow(i, q.Succeeded && p.s.Left.Returns > 0)
		case replica:
			p.replicate(i)
			p.promote(i)
			p.follow(i, p.s.Procs[q.Of].Role != master || p.s.Procs[q.Of].Reign != q.Reign || p.s.Procs[q.Of].Succeeded)
		}
	}
}

// write changes what a master holds, and moves its replication if there was any change.
func (p *Protocol) write(s *State, i, epoch uint8, c Cell) {
	q := &s.Procs[i]
	was := q.Cells[epoch]
	if was == c {
		return
	}
	if p.NeverBack && was.Value.Version > c.Value.Version && c.Value.Version != 0 {
		s.Fault = Fault{Version: c.Value.Version, Claim: was.Value.Version, Back: true}
	}
	q.Cells[epoch] = c
	if p.failing() {
		q.Offset++
	}
}

// evict takes any key at any time; so does the end of a TTL.
func (p *steps) evict(i uint8) {
	for e := range uint8(maxEpochs) {
		c := p.s.Procs[i].Cells[e]
		if !c.Value.None() {
			s := p.s
			p.write(&s, i, e, Cell{Lease: c.Lease})
			p.to(s, "%c evicts the value, v%d", 'A'+i, c.Value.Version)
		}
		if c.Lease != 0 {
			s := p.s
			p.write(&s, i, e, Cell{Value: c.Value})
			p.to(s, "the lease in %c ends with its time", 'A'+i)
		}
	}
}

// replicate brings a replica to where its master is. As this may happen after any write or may not, a replica can have
// any earlier state of its master.
func (p *steps) replicate(i uint8) {
	q := p.s.Procs[i]
	m := &p.s.Procs[q.Of]
	if m.Role != master || m.Reign != q.Reign || m.Offset == q.Offset {
		return
	}
	s := p.s
	s.Procs[i].Cells, s.Procs[i].Offset = m.Cells, m.Offset
	p.to(s, "%c receives what %c has", 'A'+i, 'A'+q.Of)
}

// promote makes a replica a master. The one before goes on answering those who still ask it; if it is dead instead,
// nobody asks it.
func (p *steps) promote(i uint8) {
	if p.s.Left.Failovers == 0 {
		return
	}
	s := p.s
	s.Left.Failovers--
	q := &s.Procs[i]
	if p.Synced && q.Offset != s.Procs[q.Of].Offset {
		return
	}
	s.Procs[q.Of].Succeeded = true
	q.Slot = s.Procs[q.Of].Slot.heired()
	q.Role, q.Former, q.Has = master, q.Reign, q.Offset
	s.reign(i)
	p.to(s, "%c is promoted in place of %c, which does not know", 'A'+i, 'A'+q.Of)
}

// reign begins one.
func (s *State) reign(i uint8) {
	s.Reigns++
	s.Procs[i].Reign = s.Reigns
	s.RunOf[s.Reigns] = s.Procs[i].Run
}

// rename has a master go on under another name: when its first replica comes, or long after its last one has gone. Who
// has been a replica itself has had time enough by then for everybody to have lost sight of it.
func (p *steps) rename(i uint8) {
	if p.s.Left.Renames == 0 {
		return
	}
	s := p.s
	s.Left.Renames--
	q := &s.Procs[i]
	if q.Former != 0 {
		for j := range s.Sidecars {
			s.Sidecars[j].Called = s.Sidecars[j].Called && !p.has(RenamedSoon)
		}
	}
	q.Former, q.Has = 0, 0
	s.reign(i)
	p.to(s, "%c goes on under another name", 'A'+i)
}

// run begins another process in the place of one.
func (s *State) run(i uint8, q Proc) {
	s.Runs++
	q.Run = s.Runs
	s.Procs[i] = q
	s.reign(i)
}

// follow makes a process the replica of a master that leads now. What it has itself stays if that is the beginning of what
// the master has, otherwise it is replaced.
func (p *steps) follow(i uint8, may bool) {
	if !may {
		return
	}
	for j := range uint8(maxProcs) {
		m := &p.s.Procs[j]
		if j == i || m.Role != master || m.Succeeded || p.far(i) != p.far(j) {
			continue
		}
		s := p.s
		q := &s.Procs[i]
		partial := q.Reign == m.Former && q.Offset <= m.Has
		if !partial {
			q.Cells, q.Offset = m.Cells, m.Offset
		}
		if q.Role == master {
			s.Left.Returns--
		}
		*q = Proc{Role: replica, Of: j, Run: q.Run, Reign: m.Reign, Offset: q.Offset, Cells: q.Cells}
		if partial {
			p.to(s, "%c follows %c and lacks nothing yet of its own", 'A'+i, 'A'+j)
		} else {
			p.to(s, "%c follows %c and has what it has", 'A'+i, 'A'+j)
		}
	}
}

// restart ends a master's process and begins another in its place, at once, before anybody is promoted.
func (p *steps) restart(i uint8) {
	if p.s.Left.Restarts == 0 || p.s.Procs[i].Succeeded {
		return
	}
	again := func(what string, q Proc) {
		s := p.s
		q.Slot = s.Procs[i].Slot
		s.Left.Restarts--
		s.run(i, q)
		p.to(s, what, 'A'+i)
	}
	again("%c restarts with nothing", Proc{Role: master, Newborn: true})
	if i == 0 {
		d := p.s.Dump
		again("%c restarts with an old dump that says where it ends", Proc{Role: master, Former: d.Reign, Has: d.Offset, Offset: d.Offset, Cells: d.Cells})
		again("%c restarts with an old dump", Proc{Role: master, Cells: d.Cells})
	}
}

// supplant gives the place of a master, which goes on for those who still ask it, to a process that begins with nothing.
func (p *steps) supplant(i uint8) {
	if p.s.Left.Newborns == 0 || p.s.Procs[i].Succeeded {
		return
	}
	s := p.s
	s.Left.Newborns--
	s.Procs[i].Succeeded = true
	s.run(uint8(p.Masters), Proc{Role: master, Newborn: true})
	p.to(s, "%c begins with nothing in place of %c, which does not know", 'A'+uint8(p.Masters), 'A'+i)
}

// feed makes what happens to the feed by itself. Its slot may have another master than the document's.
func (p *steps) feed() {
	if p.s.Left.FeedFailovers > 0 {
		if p.s.Copy != p.s.Feed || p.s.CopyLen != p.s.Len {
			s := p.s
			s.Copy, s.CopyLen = s.Feed, s.Len
			p.to(s, "the feed's replica receives what there is")
			s = p.s
			s.Left.FeedFailovers--
			s.Feed = s.Copy
			clear(s.Stream[s.CopyLen:])
			s.Len = s.CopyLen
			for i := range p.Nodes {
				if n := &s.Nodes[i]; n.Heard > s.Len {
					n.Heard, n.Beyond = s.Len, true
				}
			}
			p.to(s, "the feed's master fails; its replica lacks the latest entries")
		}
	}
	if p.s.Left.Trims > 0 && p.s.Len > 0 && p.s.Left.FeedFailovers == 0 {
		s := p.s
		s.Left.Trims--
		copy(s.Stream[:], s.Stream[1:s.Len])
		s.Len--
		s.Stream[s.Len] = Entry{}
		for i := range p.Nodes {
			s.Nodes[i].Heard -= min(s.Nodes[i].Heard, 1)
		}
		p.to(s, "the oldest entry of the feed is trimmed")
	}
}
