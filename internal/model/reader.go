package model

// reader makes the steps of a read that goes deeper than the local tier. What a read would be answered that finds what it
// wants at once is checked in every state; these steps are for what takes time.
func (p *steps) reader(i uint8) {
	r := &p.s.Readers[i]
	switch r.At {
	case idle:
		p.begin(i)
	case told:
		p.ask(i)
	case loading:
		p.load(i)
	case loaded:
		p.fill(i)
	case got:
		p.late(i)
	case storing:
		p.store(i)
	case accepted:
		s := p.s
		s.Nodes[r.Node].Local = r.Doc
		s.Readers[i] = Reader{}
		p.to(s, "the local tier of node %d gets to v%d", r.Node+1, r.Doc.Version)
	}
}

// begin takes the stamp and then the standing. What comes between the two ends the stamp at most, so they are one step,
// unless they are in the wrong order. Readers are alike: of those that are idle the first one begins.
func (p *steps) begin(i uint8) {
	if p.s.Left.Reads == 0 || i > 0 && p.s.Readers[0].At == idle {
		return
	}
	for n := range uint8(p.Nodes) {
		s := p.s
		s.Left.Reads--
		stands := s.Nodes[n]
		s.Readers[i] = Reader{
			At: told, Node: n, Fresh: p.has(StampBeforeStanding),
			Epoch: stands.Epoch, Watermark: stands.Watermark, Roster: stands.Roster,
		}
		p.to(s, "reader %d begins on node %d, in epoch %d and at watermark %d", i+1, n+1, stands.Epoch, stands.Watermark)
		if !p.has(StandingBeforeLook) && stands.Local.Version != 0 {
			s.Readers[i] = Reader{At: got, Node: n, Doc: stands.Local, Vouched: true}
			p.to(s, "reader %d finds v%d valid in the local tier of node %d", i+1, stands.Local.Version, n+1)
		}
	}
}

// ask reads Redis or asks it for the lease, as a read may want what is newer than anything there; or it loads without
// Redis, which may fail or let it wait for too long.
func (p *steps) ask(i uint8) {
	from := p.s
	r := &from.Readers[i]
	r.Fresh = r.Fresh || !p.has(StampBeforeStanding)
	for j := range uint8(maxProcs) {
		q := &from.Procs[j]
		if v, ok := p.says(&from, q, r.Epoch); ok {
			if v.Version != 0 {
				p.read(from, i, j, "reader %d reads v%d from %c")
			}
			if q.Slot == owns {
				p.lease(from, i, j)
			}
		}
	}
	r.Doc, r.Vouched = Value{Version: from.Visible, LoadedAt: from.Visible}, true
	p.answer(from, i, from.Visible, "reader %d sees v%d in MySQL, without Redis", i+1, from.Visible)
}

// read answers with a value of Redis, and stores it in the local tier if it may.
func (p *steps) read(s State, i, j uint8, what string) {
	r := &s.Readers[i]
	q := &s.Procs[j]
	v, _ := p.says(&s, q, r.Epoch)
	n := &s.Nodes[r.Node]
	r.Token = 0
	r.Doc, r.Vouched = v, p.vouched(&s, q, r.Roster, SlotVouches)
	if !p.has(StandingBeforeRead) {
		r.At = got
		p.to(s, what, i+1, v.Version, 'A'+j)
		return
	}
	watermark, roster := r.Watermark, r.Roster
	if !p.has(StandingPaired) {
		watermark, roster = n.Watermark, n.Roster
	}
	p.answer(s, i, p.claim(&s, v, q, watermark, roster), what, i+1, v.Version, 'A'+j)
}

// answer ends what a read is for, and has it store what it has found.
func (p *steps) answer(s State, i, claim uint8, what string, args ...uint8) {
	r := &s.Readers[i]
	if r.Doc.Version < claim {
		s.Fault = Fault{Version: r.Doc.Version, Claim: claim}
	}
	stores := r.Vouched || !p.has(RosterFillsLocal)
	*r = Reader{At: storing, Node: r.Node, Fresh: r.Fresh, Doc: Value{Version: r.Doc.Version, LoadedAt: claim}}
	if p.has(JudgedWhenRead) && p.has(StampBeforeLoad) {
		stores = stores && r.Fresh // otherwise nobody would be served that
	}
	if stores && p.LatePuts {
		p.to(s, what, args...)
		return
	}
	doc, node := r.Doc, r.Node
	*r = Reader{}
	p.to(s, what, args...)
	if stores {
		s.Nodes[node].Local = doc
		p.to(s, what+", and stores it", args...)
	}
}

// late claims what the standing says now, which is too late.
func (p *steps) late(i uint8) {
	s := p.s
	r := &s.Readers[i]
	w := s.Nodes[r.Node].Watermark
	if p.has(RosterVouches) && !r.Vouched {
		w = 0
	}
	p.answer(s, i, max(r.Doc.LoadedAt, w), "reader %d takes it to be as of watermark %d", i+1, w)
}

// lease asks for the lease. The token is nobody else's: if the lease has it, it was given to this read. Whoever finds it
// taken, or waits for it in vain, asks again or does without Redis, which is no other step than those.
func (p *steps) lease(s State, i, j uint8) {
	r := &s.Readers[i]
	token := i + 1
	after, reply := s.Procs[j].Cells[r.Epoch].AskLease(token, unsettled, 0)
	if reply == Granted {
		*r = Reader{At: loading, Node: r.Node, Fresh: r.Fresh, Epoch: r.Epoch, Token: token}
		p.write(&s, j, r.Epoch, after)
		p.to(s, "reader %d has the lease of %c", i+1, 'A'+j)
	}
}

// load reads MySQL: what is visible, in one snapshot. It notes the time before.
func (p *steps) load(i uint8) {
	s := p.s
	r := &s.Readers[i]
	r.Doc, r.At = Value{Version: s.Visible, LoadedAt: s.Visible}, loaded
	p.to(s, "reader %d sees v%d in MySQL", i+1, s.Visible)
}

// fill stores in Redis what was loaded under the lease; the answer of a load is true as of the load.
func (p *steps) fill(i uint8) {
	from := p.s
	r := &from.Readers[i]
	token := r.Token
	if !p.has(LoadedAtBefore) {
		r.Doc.LoadedAt = from.Visible
	}
	v := r.Doc
	r.Vouched = true
	s := from
	s.Readers[i].Token = 0
	p.answer(s, i, v.LoadedAt, "reader %d has v%d, and Redis has not", i+1, v.Version)
	if token == 0 {
		return
	}
	for j := range uint8(maxProcs) {
		q := &p.s.Procs[j]
		if !q.runs(r.Epoch) || q.Cells[r.Epoch].Lease != token {
			continue
		}
		s := from
		after, _ := q.Cells[r.Epoch].Fill(token, v)
		if !p.has(FillKeepsNewer) {
			after.Value = v
		}
		p.write(&s, j, r.Epoch, after)
		s.Readers[i].Token = 0
		p.answer(s, i, v.LoadedAt, "reader %d fills %c with v%d", i+1, 'A'+j, v.Version)
	}
}

// store puts what was found into the local tier, which may drop it, or of two keep the older. Where the stamp is the
// fence's no longer, what is stored is not valid, which is as good as nothing.
func (p *steps) store(i uint8) {
	s := p.s
	r := s.Readers[i]
	s.Readers[i] = Reader{}
	p.to(s, "the local tier of node %d does not take v%d", r.Node+1, r.Doc.Version)
	switch {
	case !p.has(JudgedWhenRead):
		if r.Fresh {
			s.Readers[i] = Reader{At: accepted, Node: r.Node, Doc: r.Doc}
			p.to(s, "the local tier of node %d will store v%d", r.Node+1, r.Doc.Version)
		}
	case r.Fresh || !p.has(StampBeforeLoad):
		s.Nodes[r.Node].Local = r.Doc
		p.to(s, "the local tier of node %d stores v%d", r.Node+1, r.Doc.Version)
	}
}
