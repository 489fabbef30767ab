package model

import "math/bits"

const (
	maxProcs  = 3
	maxEpochs = 4 // numbered from 1
	maxReigns = 8 // numbered from 1
	maxStream = 5
)

// State is one moment of the whole: MySQL, Redis, sidecars, nodes and what is on its way between them.
type State struct {
	Logged, Visible uint8 // commits that the binlog tells of, and those that have ended
	Procs           [maxProcs]Proc
	Dump            Proc // of the first process, as it was at the beginning
	Feed            FeedState
	Stream          [maxStream]Entry // what has not been heard by every node
	Len             uint8
	Copy            FeedState // what the replica of the feed has: this, and so many of the entries
	CopyLen         uint8
	Sidecars        [2]Sidecar
	Nodes           [2]Node
	Readers         [2]Reader
	Left            left
	Terms, Reigns   uint8 // used up so far
	Epochs          uint8
	RunOf           [maxReigns]uint8
	Runs            uint8
	Fault           Fault
}

// left is how often things may still happen.
type left struct {
	Reads, Sessions, Failovers, Returns, Restarts, Newborns, FeedFailovers, Trims, Purges, Moves, Renames uint8
}

// Fault is what a step has done wrong.
type Fault struct {
	Version, Claim uint8 // an answer of a version that claims to be true as of a later one
	Back           bool  // Redis went back from Claim to Version
}

// Proc is a process of Redis.
type Proc struct {
	Role      role
	Of        uint8 // the process that a replica follows
	Run       uint8 // names the process, from its start to its end
	Reign     uint8 // of a master; a replica has that of its master
	Former    uint8 // whose replica it was, or whose dump it has loaded; 0 for nobody
	Has       uint8 // offset up to which it has what its former master had
	Offset    uint8 // of its replication
	Newborn   bool  // it began with nothing and was never a replica
	Succeeded bool  // somebody else has been made master in its place
	Slot      slot  // of the document, as a master sees it
	Cells     [maxEpochs]Cell
}

type role uint8

const (
	absent role = iota
	master
	replica
)

// Entry is one entry of the feed.
type Entry struct {
	Term, Seq, After, Epoch, Watermark uint8
	Roster                             Roster
	Changed                            bool
}

// Sidecar is one process, with the session that it leads, if any.
type Sidecar struct {
	At               stage
	Term, After, Seq uint8
	Epoch            uint8
	Pos, Batch       uint8 // commits that are applied, and that are being applied
	Told             uint8 // watermark of this session
	Loaded           Value
	Asked            uint8  // process whose replicas are waited for
	Redo             uint8  // change that an heir is brought, 0 for none
	Before           Roster // members until an heir has caught up
	Members          Roster
	Blank            bool
	Called           bool             // all members have just been seen, by this process
	Due              bool             // the next muster cannot be left out
	Calls            [2]call          // what the muster under way has found in each shard
	Next             Roster           // and what is to come of it
	Gained           uint8            // shards whose masters have to be emptied for that, as bits
	Seen             uint8            // epochs of which there was a value when that began
	Reach            [maxReigns]uint8 // what was marked in a reign beyond this offset is remembered; 0: nothing is
	Last             [maxReigns]marked
}

// marked is the latest change marked in a reign. Earlier ones need not be kept: an heir that lacks one of them lacks this.
type marked struct{ Version, Offset uint8 }

const unsettled = 255

type stage uint8

const (
	off stage = iota
	ready
	drop
	dropAgain
	muster
	musterOn
	emptyFirst
	emptySecond
	raise
	mark
	load
	put
	ack
	publish
)

// Node is one node of the API, its readers left out.
type Node struct {
	Epoch, Watermark uint8 // its standing, with the roster
	Roster           Roster
	Term, Seq        uint8
	Heard            uint8 // entries of the stream
	Hand             hand  // the entry being heard
	Beyond           bool  // what was heard last is no longer in the feed
	Local            Value // of the local tier, if it is valid; LoadedAt is the as-of it was stored with
}

// Reader is one read under way.
type Reader struct {
	At        point
	Node      uint8
	Fresh     bool // the stamp that was taken is still the fence's
	Epoch     uint8
	Watermark uint8
	Roster    Roster
	Token     uint8 // of the lease that it holds or asks for
	Doc       Value
	Vouched   bool
}

type point uint8

const (
	idle point = iota
	told
	loading  // about to load, under the lease
	loaded   // about to fill
	got      // about to claim
	storing  // about to store in the local tier
	accepted // by the local tier, which will come to it
)

// start returns the states from which a search begins: in health, the document warm at the first version, or cold.
func (p *Protocol) start() []State {
	var s State
	s.Logged, s.Visible = 1, 1
	s.Terms, s.Reigns, s.Epochs = 1, 1, 1
	for i := range p.Masters {
		s.Runs++
		s.Procs[i] = Proc{Role: replica, Run: s.Runs, Reign: 1, Offset: 2}
	}
	s.Procs[0].Role = master
	s.RunOf[1] = 1
	alone := Roster(0).with(1, true)
	s.Feed = FeedState{Term: 1, Seq: 1, Epoch: 1, Checkpoint: 1, Roster: alone}
	s.Copy = s.Feed
	s.Sidecars[0] = Sidecar{At: ready, Term: 1, Seq: 1, Epoch: 1, Pos: 1, Told: 1, Members: alone}
	if p.failing() {
		s.Sidecars[0].Reach[1] = fromStart
	}
	for i := range p.Nodes {
		s.Nodes[i] = Node{Epoch: 1, Watermark: 1, Roster: alone, Term: 1, Seq: 1}
	}
	if p.Moves > 0 {
		p.shard(&s)
	}
	s.Sidecars[0].Called = p.Renames > 0
	s.Left = left{p.Reads, p.Sessions, p.Failovers, p.Returns, p.Restarts, p.Newborns, p.FeedFailovers, p.Trims, p.Purges, p.Moves, p.Renames}
	warm := s
	for i := range p.Masters {
		warm.Procs[i].Cells[1].Value = Value{Version: 1, LoadedAt: 1}
	}
	if p.Restarts > 0 {
		s.Dump, warm.Dump = s.Procs[0], warm.Procs[0]
	}
	return []State{p.normal(warm), p.normal(s)}
}

// shard adds the masters of another shard, which the slot may move to.
func (p *Protocol) shard(s *State) {
	j := uint8(p.Masters)
	s.Procs[j] = Proc{Role: master, Run: j + 1, Reign: 2, Offset: 2, Slot: elsewhere}
	if p.Spare {
		s.Procs[j+1] = Proc{Role: replica, Of: j, Run: j + 2, Reign: 2, Offset: 2}
	}
	s.RunOf[2], s.Reigns, s.Runs = j+1, 2, j+2
	both := s.Feed.Roster.with(2, false)
	s.Feed.Roster, s.Copy.Roster, s.Sidecars[0].Members = both, both, both
	for i := range p.Nodes {
		s.Nodes[i].Roster = both
	}
	if p.failing() {
		s.Sidecars[0].Reach[2] = fromStart
	}
}

// failing reports whether masters of the document may fail; if not, nobody need keep account of replication.
func (p *Protocol) failing() bool { return p.Failovers+p.Restarts+p.Newborns > 0 }

// normal makes states equal that differ in nothing that matters: it forgets what nobody can see any more, and numbers
// that are only compared begin low.
func (p *Protocol) normal(s State) State {
	// Entries that all have heard are gone. One is kept for a node that looks for the newest.
	gone := s.Len
	for i := range p.Nodes {
		gone = min(gone, s.Nodes[i].Heard)
	}
	if s.Left.FeedFailovers > 0 {
		gone = min(gone, s.CopyLen, s.Len-min(s.Len, 1))
	}
	if gone > 0 {
		copy(s.Stream[:], s.Stream[gone:s.Len])
		clear(s.Stream[s.Len-gone : s.Len])
		s.Len -= gone
		s.CopyLen -= min(s.CopyLen, gone)
		for i := range p.Nodes {
			s.Nodes[i].Heard -= gone
		}
	}
	if s.Left.FeedFailovers == 0 {
		s.Copy, s.CopyLen = FeedState{}, 0
	}
	p.normalSeqs(&s)
	for i := range s.Readers {
		p.normalReader(&s, i)
	}
	// A token is only ever compared with the lease: one that nobody holds any more is as good as any other such.
	for i := range s.Procs {
		for e := range s.Procs[i].Cells {
			if l := &s.Procs[i].Cells[e].Lease; *l != 0 && *l != s.Readers[0].Token && *l != s.Readers[1].Token {
				*l = forgotten
			}
		}
	}
	if s.Left.Restarts == 0 {
		s.Dump = Proc{}
	}
	if p.failing() {
		p.normalMasters(&s)
		s.normalOffsets()
	}
	return s
}

// normalMasters lets go of what can play no part any more: replicas that nobody will promote, and accounts of masters
// that will have no heirs.
func (p *Protocol) normalMasters(s *State) {
	if s.Left.Failovers > 0 || p.Wait {
		return
	}
	var reigns, former, reached Roster
	for j := range s.Procs {
		switch q := &s.Procs[j]; q.Role {
		case replica:
			*q = Proc{}
		case master:
			reigns |= 1 << q.Reign
		}
	}
	for i := range s.Sidecars {
		for r := range s.Reigns + 1 {
			if s.Sidecars[i].Reach[r] != 0 {
				reached |= 1 << r
			}
		}
	}
	for j := range s.Procs {
		q := &s.Procs[j]
		if !(reigns | reached).Has(q.Former) {
			q.Former, q.Has = 0, 0
		}
		former |= 1 << q.Former
	}
	if s.Left.Restarts > 0 {
		former |= 1 << s.Dump.Reign
	}
	for r := range s.Reigns + 1 {
		if former.Has(r) && r != 0 {
			continue
		}
		for i := range s.Sidecars {
			s.Sidecars[i].Reach[r], s.Sidecars[i].Last[r] = 0, marked{}
		}
		for j := range s.Procs {
			if s.Procs[j].Reign == r {
				s.Procs[j].Offset = 0
			}
		}
	}
}

// fromStart is the offset before all others.
const fromStart = 1

const forgotten = 255

// normalReader lets go of a lease that is nowhere any more, and of a read of which nothing can come.
func (p *Protocol) normalReader(s *State, i int) {
	r := &s.Readers[i]
	if r.At != loading && r.At != loaded {
		return
	}
	held := false
	for j := range s.Procs {
		held = held || r.Token != 0 && s.Procs[j].Cells[r.Epoch].Lease == r.Token
	}
	if held {
		return
	}
	if r.Token, r.Epoch = 0, 0; !r.Fresh && p.has(StampBeforeLoad) && p.has(LoadedAtBefore) {
		*r = Reader{}
	}
}

func (p *Protocol) normalSeqs(s *State) {
	least := s.Feed.Seq
	all := func(f func(*uint8)) {
		f(&s.Feed.Seq)
		if s.Left.FeedFailovers > 0 {
			f(&s.Copy.Seq)
		}
		for i := range s.Len {
			f(&s.Stream[i].Seq)
		}
		for i := range p.Nodes {
			f(&s.Nodes[i].Seq)
			if s.Nodes[i].Hand.Phase != waiting {
				f(&s.Nodes[i].Hand.Seq)
			}
		}
		for i := range s.Sidecars {
			c := &s.Sidecars[i]
			if c.Term != s.Feed.Term && p.has(TermChecked) && s.Left.FeedFailovers == 0 {
				c.Seq = 0 // it will be refused, wherever it stands
			} else if c.At != off {
				f(&c.Seq)
			}
		}
	}
	all(func(n *uint8) { least = min(least, *n) })
	all(func(n *uint8) { *n -= least })
}

// normalOffsets replaces offsets by their ranks: they are compared, and the offset of a master grows, nothing else.
func (s *State) normalOffsets() {
	var used [4]uint64
	all := func(f func(*uint8)) {
		for i := range s.Procs {
			f(&s.Procs[i].Offset)
			f(&s.Procs[i].Has)
		}
		f(&s.Dump.Offset)
		for i := range s.Sidecars {
			c := &s.Sidecars[i]
			if c.Term == 0 {
				continue
			}
			for r := range s.Reigns + 1 {
				f(&c.Reach[r])
				f(&c.Last[r].Offset)
			}
			for k := range c.Calls {
				if c.Calls[k].asked() {
					f(&c.Calls[k].Offset)
					f(&c.Calls[k].Has)
				}
			}
		}
	}
	all(func(n *uint8) { used[*n>>6] |= 1 << (*n & 63) })
	used[0] &^= 1 | 1<<fromStart                 // none
	used[unsettled>>6] &^= 1 << (unsettled & 63) // infinite
	var before [4]uint8
	for i := 1; i < 4; i++ {
		before[i] = before[i-1] + uint8(bits.OnesCount64(used[i-1]))
	}
	all(func(n *uint8) {
		if *n > fromStart && *n != unsettled {
			*n = before[*n>>6] + uint8(bits.OnesCount64(used[*n>>6]&(1<<(*n&63)-1))) + fromStart + 1
		}
	})
}
