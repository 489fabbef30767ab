package model

// hand is an entry that a node has heard and has not done with.
type hand struct {
	Entry
	Gap    bool // it does not continue where the node stood
	Fences bool // it condemns what was loaded before
	Phase  uint8
}

// The phases of an entry. What others may do between them is what their order is about.
const (
	waiting uint8 = iota
	adopting
	fencing
	vouching
)

// node hears the feed.
func (p *steps) node(i uint8) {
	n := &p.s.Nodes[i]
	if n.Hand.Phase != waiting {
		p.act(p.s, i)
		return
	}
	if n.Heard < p.s.Len {
		s := p.s
		m := &s.Nodes[i]
		m.Hand = p.takes(n, s.Stream[n.Heard])
		m.Heard++
		m.Beyond = false
		p.act(s, i)
	}
	if !n.Beyond {
		return
	}
	if n.Heard < p.s.Len {
		s := p.s
		s.Nodes[i].Heard++
		p.to(s, "node %d does not see an entry, whose id is lower than the last it has heard", i+1)
	}
	s := p.s
	m := &s.Nodes[i]
	m.Beyond, m.Term, m.Heard = false, 0, s.Len-min(s.Len, 1)
	p.invalidate(&s, i)
	p.to(s, "node %d finds the feed not where it left it, and begins anew", i+1)
}

// takes returns what an entry means where a node stands.
func (p *Protocol) takes(n *Node, e Entry) hand {
	next := e.Seq == n.Seq+1 && n.Term != 0 && (e.Term == n.Term || e.After == n.Term)
	return hand{
		Entry: e, Gap: !next, Phase: adopting,
		Fences: e.Changed || (!next || e.Epoch != n.Epoch) && p.has(GapDropsLocal),
	}
}

// Hear returns where a node stands after an entry, and whether it raises its fence for it.
func (n Node) Hear(e Entry) (after Node, fences bool) {
	p := &steps{Protocol: &Protocol{}}
	n.Hand = p.takes(&n, e)
	fences = n.Hand.Fences
	s := State{Nodes: [2]Node{n}}
	for s.Nodes[0].Hand.Phase != waiting {
		p.phase(&s, 0)
	}
	return s.Nodes[0], fences
}

// act makes the next phase of the entry in hand that changes anything. In the right order the standing is changed before
// the fence is raised, so that nothing of the old epoch or roster is stored under the new stamp; and the watermark rises
// last, when nothing that it does not vouch for is valid any more.
func (p *steps) act(s State, i uint8) {
	what, arg := "node %d hears an entry that changes nothing for it", uint8(0)
	for s.Nodes[i].Hand.Phase != waiting {
		next := s
		said, with := p.phase(&next, i)
		if said != "" {
			if arg != 0 {
				break // this one is a step of its own
			}
			what, arg = said, with
		}
		s = next
	}
	p.to(s, what, i+1, arg)
}

// phase carries out one phase of the entry in hand, and returns what it has changed, "" if nothing.
func (p *steps) phase(s *State, i uint8) (what string, arg uint8) {
	n := &s.Nodes[i]
	e := n.Hand
	before := *s
	n.Hand.Phase++
	raise, vouch := fencing, vouching
	if !p.has(FenceBeforeWatermark) {
		raise, vouch = vouching, fencing
	}
	switch e.Phase {
	case adopting:
		if e.Gap && p.has(GapForgetsWatermark) || n.Epoch != e.Epoch && p.has(EpochForgetsWatermark) {
			n.Watermark = 0
		}
		n.Epoch = e.Epoch
		if p.has(RosterBeforeFence) {
			n.Roster = e.Roster
		}
		what, arg = "node %d stands in epoch %d, and has the roster of it", n.Epoch
	case raise:
		if e.Fences {
			p.invalidate(s, i)
		}
		what, arg = "node %d raises its fence", 1
	case vouch:
		n.Roster = e.Roster
		n.Watermark = max(n.Watermark, e.Watermark)
		what, arg = "node %d stands at watermark %d", max(n.Watermark, 1)
	}
	before.Nodes[i].Hand = n.Hand
	// A fence that condemns nothing yet is still a moment of its own: whoever begins after it has a stamp that is good.
	changed := before != *s || e.Phase == raise && e.Fences && s.Left.Reads > 0
	if e.Phase == vouching {
		n.Term, n.Seq = e.Term, e.Seq
		n.Hand = hand{}
	}
	if !changed {
		return "", 0
	}
	return what, arg
}

// invalidate raises the fence of a node: what its readers have loaded or are loading is not valid any more.
func (p *steps) invalidate(s *State, i uint8) {
	s.Nodes[i].Local = Value{}
	for r := range s.Readers {
		if s.Readers[r].Node == i {
			s.Readers[r].Fresh = false
		}
	}
}
