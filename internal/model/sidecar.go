package model

// sidecar makes the steps of one sidecar. One that has lost its lock may not know, and goes on.
func (p *steps) sidecar(i uint8) {
	p.lead(i)
	c := &p.s.Sidecars[i]
	if c.At == off {
		return
	}
	if p.s.Left.Sessions > 0 {
		s := p.s
		p.fail(&s, i)
		p.to(s, "the session of sidecar %d fails", i+1)
	}
	switch c.At {
	case ready:
		p.take(i)
	case drop, dropAgain, raise:
		p.raise(i)
	case muster, musterOn:
		p.muster(p.s, i)
	case emptyFirst, emptySecond:
		p.empty(i)
	case mark:
		p.mark(i)
	case load:
		s := p.s
		s.Sidecars[i].Loaded = Value{Version: s.Visible, LoadedAt: s.Visible}
		s.Sidecars[i].At = put
		p.to(s, "sidecar %d sees v%d in MySQL", i+1, s.Visible)
	case put:
		p.put(i)
	case ack:
		p.acknowledged(i)
	case publish:
		p.publish(i)
	}
}

// lead begins a session: of a process that still runs and remembers, or of one that has been started anew.
func (p *steps) lead(i uint8) {
	if p.s.Left.Sessions == 0 {
		return
	}
	begin := func(c Sidecar, format string) {
		s := p.s
		s.Left.Sessions--
		s.Terms++
		state := s.Feed
		s.Feed = state.Lead(s.Terms)
		if c.Term != state.Term || c.Epoch != state.Epoch && p.has(EpochForgetsRoster) {
			c = Sidecar{Members: state.Roster}
		}
		s.Sidecars[i] = Sidecar{
			At: ready, Term: s.Terms, After: state.Term, Seq: state.Seq, Epoch: state.Epoch, Pos: state.Checkpoint,
			Members: c.Members, Blank: c.Blank && c.Epoch == state.Epoch, Called: c.Called, Due: c.Due, Reach: c.Reach, Last: c.Last,
		}
		p.to(s, format, i+1, s.Terms, state.Epoch, state.Checkpoint)
		if s.Left.Purges > 0 {
			// The checkpoint's binlog is gone. What is logged now will not be told again, visible or not.
			s.Left.Purges--
			l := &s.Sidecars[i]
			l.Pos, l.Batch, l.At = s.Logged, s.Logged, drop
			p.to(s, format+" which is gone: it begins at the end of the binlog", i+1, s.Terms, state.Epoch, state.Checkpoint)
		}
	}
	if c := p.s.Sidecars[i]; c.At == off && c.Term != 0 {
		begin(c, "sidecar %d leads again, term %d, from epoch %d and checkpoint %d")
	}
	begin(Sidecar{}, "sidecar %d is started and leads, term %d, from epoch %d and checkpoint %d")
}

// fail ends a session. The process remembers whom it has mustered, and what it has marked.
func (p *steps) fail(s *State, i uint8) {
	c := &s.Sidecars[i]
	c.back()
	kept := Sidecar{
		Term: c.Term, Epoch: c.Epoch, Members: c.Members, Blank: c.Blank, Called: c.Called,
		Due: c.Due, Reach: c.Reach, Last: c.Last,
	}
	if !p.failing() && p.Moves == 0 {
		kept = Sidecar{} // there is nothing worth remembering
	}
	*c = kept
}

// take begins a batch: of what the binlog has, once its rows are visible, or of nothing. Rows once visible remain so:
// waiting for them, and the muster that follows, are one step.
func (p *steps) take(i uint8) {
	c := &p.s.Sidecars[i]
	for q := c.Pos + 1; q <= p.s.Logged; q++ {
		// A commit that tells of no rows cannot be waited for; but one that comes after it can, and is visible after it.
		blind := c.Pos < p.Blind && p.Blind <= q
		last := q
		if q == p.Blind {
			last--
		}
		if p.s.Visible < last && p.has(AwaitVisible) {
			continue
		}
		s := p.s
		l := &s.Sidecars[i]
		l.Batch = q
		if !p.has(CheckpointAfter) {
			s.Feed.Checkpoint = q
		}
		if l.At = muster; blind {
			l.At = drop
			p.to(s, "sidecar %d has v%d, of which there are no rows", i+1, q)
			continue
		}
		p.muster(s, i)
	}
	if p.newsworthy(c) || p.missing(c) {
		s := p.s
		l := &s.Sidecars[i]
		l.Batch, l.At = c.Pos, muster
		p.muster(s, i)
	}
	if s := p.s; !p.has(TermChecked) && (s.Feed.Epoch != c.Epoch || s.Feed.Roster != c.Members) {
		if p.append(&s, i, Entry{Epoch: c.Epoch, Roster: c.Members}, 0) {
			p.to(s, "sidecar %d publishes that it waits for rows", i+1)
		}
	}
}

// watermark returns the best that any probe could have found when a position has been applied.
func (p *steps) watermark(pos uint8) uint8 {
	if !p.has(WatermarkApplied) {
		return p.s.Visible
	}
	return min(pos, p.s.Visible)
}

// newsworthy reports whether an entry without changes would tell anybody anything.
func (p *steps) newsworthy(c *Sidecar) bool {
	return p.watermark(c.Pos) > c.Told || p.s.Feed.Roster != c.Members || p.s.Feed.Epoch != c.Epoch
}

// missing reports whether there is a master that the sidecar has not mustered.
func (p *steps) missing(c *Sidecar) bool {
	for j := range p.s.Procs {
		q := &p.s.Procs[j]
		differs := !c.Members.Has(q.Reign) || p.Moves > 0 && c.Members.Lists(q.Reign) != (q.Slot == owns)
		if q.Role == master && differs && p.has(RosterMarksMembers) {
			return true
		}
	}
	return false
}

// raise drops everything by raising the epoch.
func (p *steps) raise(i uint8) {
	c := &p.s.Sidecars[i]
	if p.s.Epochs > p.Raises {
		return
	}
	if c.At == dropAgain && p.has(DropSettled) && p.s.Visible < c.Batch {
		return
	}
	s := p.s
	l := &s.Sidecars[i]
	s.Epochs++
	l.Epoch, l.Blank = s.Epochs, true
	l.Members, l.Reach, l.Last = 0, [maxReigns]uint8{}, [maxReigns]marked{}
	if l.At == drop && p.has(DropTwice) {
		l.At = dropAgain
	} else {
		l.At = muster
	}
	if p.append(&s, i, Entry{Epoch: l.Epoch}, 0) {
		p.to(s, "sidecar %d drops everything: epoch %d", i+1, s.Epochs)
	}
}

// publish tells the nodes of the batch, and moves the checkpoint. The best watermark that any probe could justify is
// told with it, or none.
func (p *steps) publish(i uint8) {
	s := p.s
	c := &s.Sidecars[i]
	changed := c.Batch > c.Pos
	if !changed && !p.newsworthy(c) {
		c.Batch, c.At = 0, ready
		p.to(s, "sidecar %d has nothing to tell", i+1)
		return
	}
	for _, w := range []uint8{p.watermark(c.Batch), 0} {
		if w == 0 && !changed {
			break
		}
		s := p.s
		c := &s.Sidecars[i]
		batch := c.Batch
		if !p.has(RedisBeforeFeed) && changed {
			c.At = muster
		} else {
			c.Pos, c.Batch, c.At = c.Batch, 0, ready
		}
		c.Told = max(c.Told, w)
		e := Entry{Epoch: c.Epoch, Roster: c.Members, Watermark: w, Changed: changed}
		if p.append(&s, i, e, batch) {
			p.to(s, "sidecar %d publishes: checkpoint %d, watermark %d, roster %b, for the slot %b",
				i+1, batch, w, uint8(e.Roster), uint8(e.Roster>>maxReigns))
		}
	}
}

// append appends to the feed, or ends the session of a leader who is refused. It returns false if the model's stream is
// full: then the nodes come first.
func (p *steps) append(s *State, i uint8, e Entry, checkpoint uint8) bool {
	c := &s.Sidecars[i]
	if s.Len == p.Behind {
		return false
	}
	term, last := c.Term, c.Seq
	if !p.has(TermChecked) {
		term, last = s.Feed.Term, s.Feed.Seq
	}
	after, ok := s.Feed.Publish(term, last, c.Seq+1, e.Epoch, checkpoint, e.Roster)
	if !ok {
		p.fail(s, i)
		return true
	}
	if !p.has(CheckpointAfter) {
		after.Checkpoint = s.Feed.Checkpoint
	}
	s.Feed = after
	c.Seq++
	e.Term, e.Seq, e.After = c.Term, c.Seq, c.After
	c.After = 0
	s.Stream[s.Len] = e
	s.Len++
	return true
}
