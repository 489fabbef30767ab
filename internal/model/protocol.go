package model

// Search visits every state that the protocol can come to, at most limit of them.
func (p Protocol) Search(limit int) Result {
	return Space[State]{Begin: p.start(), Next: p.next, Wrong: p.wrong}.Search(limit)
}

// steps makes the steps of one state.
type steps struct {
	*Protocol
	s     State
	yield func(Did, State)
}

// to says that a step leads to a state.
func (p *steps) to(s State, format string, args ...uint8) { p.yield(did(format, args...), p.normal(s)) }

func (p *Protocol) next(s State, yield func(Did, State)) {
	n := &steps{p, s, yield}
	n.mysql()
	n.redis()
	n.feed()
	for i := range s.Sidecars {
		n.sidecar(uint8(i))
	}
	for i := range p.Nodes {
		n.node(uint8(i))
	}
	for i := range p.Readers {
		n.reader(uint8(i))
	}
}

// mysql commits. The event of a commit is in the binlog before the commit is visible, and ended; commits become visible
// in the order of the binlog.
func (p *steps) mysql() {
	if p.s.Logged <= p.Commits {
		s := p.s
		s.Logged++
		p.to(s, "MySQL logs v%d", s.Logged)
	}
	if p.s.Visible < p.s.Logged {
		s := p.s
		s.Visible++
		p.to(s, "v%d is visible, its commit has ended", s.Visible)
	}
}

// wrong checks what a reader would be answered that asks now, and what the last step did.
func (p *Protocol) wrong(s State) string {
	switch f := s.Fault; {
	case f.Back:
		return did("Redis went back from v%d to v%d", f.Claim, f.Version).String()
	case f.Claim > 0:
		return did("a read is answered v%d as of v%d", f.Version, f.Claim).String()
	}
	leader := p.Without == 0 && p.rests(&s)
	for i := range p.Nodes {
		n := &s.Nodes[i]
		if leader && n.Term == s.Feed.Term && n.Seq == s.Feed.Seq && n.Hand.Phase == waiting &&
			(n.Watermark != s.Logged || n.Epoch != s.Feed.Epoch || n.Roster != s.Feed.Roster) {
			return did("all is told, and node %d stands at watermark %d of epoch %d", uint8(i+1), n.Watermark, n.Epoch).String()
		}
		if v := n.Local; v.Version != 0 && v.Version < max(v.LoadedAt, n.Watermark) {
			return did("node %d answers v%d from its local tier, as of v%d", uint8(i+1), v.Version, max(v.LoadedAt, n.Watermark)).String()
		}
		for j := range s.Procs {
			q := &s.Procs[j]
			v, ok := p.says(&s, q, n.Epoch)
			if !ok {
				continue
			}
			if c := p.claim(&s, v, q, n.Watermark, n.Roster); v.Version != 0 && v.Version < c {
				return did("node %d answers v%d from %c, as of v%d", uint8(i+1), v.Version, 'A'+uint8(j), c).String()
			}
		}
	}
	return ""
}

// rests reports whether every commit has ended and has been told by the one who leads. A node that has heard that holds
// nothing old, as it vouches for what it holds.
func (p *Protocol) rests(s *State) bool {
	for i := range s.Sidecars {
		c := &s.Sidecars[i]
		if c.At == ready && c.Term == s.Feed.Term && c.Seq == s.Feed.Seq && c.Told == s.Logged {
			return s.Logged > p.Commits && s.Visible == s.Logged && c.Epoch == s.Feed.Epoch && c.Members == s.Feed.Roster
		}
	}
	return false
}

// claim returns as of when a value of Redis is said to be true by who knows a watermark and its roster.
func (p *Protocol) claim(s *State, v Value, q *Proc, watermark uint8, r Roster) uint8 {
	if p.has(RosterVouches) && !p.vouched(s, q, r, SlotVouches) {
		return v.LoadedAt
	}
	return max(v.LoadedAt, watermark)
}

// vouched reports whether a master is in a roster, and is listed there for the slot if there is a guard for that.
func (p *Protocol) vouched(s *State, q *Proc, r Roster, slot Guards) bool {
	lists := r.Has
	if p.has(slot) {
		lists = r.Lists
	}
	if p.has(ReignsAreNames) {
		return lists(q.Reign)
	}
	for reign := range uint8(maxReigns) {
		if lists(reign) && s.RunOf[reign] == s.RunOf[q.Reign] {
			return true
		}
	}
	return false
}
