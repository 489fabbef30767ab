package model

import (
	"slices"
	"strings"
	"testing"
)

// memory bounds a search: with so many states it takes less than half a GB.
const memory = 4_000_000

// whole are protocols with all guards. No order of events may lead to a wrong answer.
var whole = []search{
	{"two readers", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 2, Reads: 3, Behind: 3, LatePuts: true, NeverBack: true}},
	{"two nodes", Protocol{Nodes: 2, Masters: 1, Commits: 1, Readers: 2, Reads: 2, Behind: 2, NeverBack: true}},
	{"two commits", Protocol{Nodes: 1, Masters: 1, Commits: 2, Readers: 1, Reads: 2, Behind: 2, LatePuts: true, NeverBack: true}},
	{"a leader who does not know that he is succeeded", Protocol{Nodes: 1, Masters: 1, Commits: 2, Sessions: 1, Behind: 2}},
	{"two successions", Protocol{Nodes: 1, Masters: 1, Commits: 1, Sessions: 2, Behind: 2}},
	{"a trimmed feed", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Sessions: 1, Trims: 1, Behind: 2}},
	{"a feed that loses entries", Protocol{Nodes: 1, Masters: 1, Commits: 1, Sessions: 1, FeedFailovers: 1, Behind: 2}},
	{"a commit that tells of no rows", Protocol{Nodes: 1, Masters: 1, Commits: 2, Blind: 2, Readers: 1, Reads: 1, Raises: 2, Behind: 2}},
	{"a checkpoint that is gone", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Sessions: 1, Purges: 1, Raises: 2, Behind: 1}},
	{"a failover", Protocol{Nodes: 1, Masters: 2, Commits: 1, Readers: 1, Reads: 1, Failovers: 1, Behind: 2}},
	{"a failover and two commits", Protocol{Nodes: 1, Masters: 2, Commits: 2, Failovers: 1, Raises: 1, Behind: 2}},
	{"a failover, and back", Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 2, Returns: 1, Raises: 1, Behind: 2}},
	{"a restart", Protocol{Nodes: 1, Masters: 2, Commits: 1, Readers: 1, Reads: 1, Restarts: 1, Raises: 1, Behind: 1}},
	{"a restart and a failover", Protocol{Nodes: 1, Masters: 2, Commits: 1, Restarts: 1, Failovers: 1, Raises: 1, Behind: 2}},
	{"a newborn", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Newborns: 1, Behind: 2}},
	{"a slot that moves, and back", Protocol{Nodes: 1, Masters: 1, Commits: 1, Moves: 2, Behind: 1, NeverBack: true}},
	{"a slot that moves to one that fails over", Protocol{Nodes: 1, Masters: 1, Commits: 1, Moves: 1, Spare: true, Calm: true, Failovers: 1, Behind: 1}},
	{"another name", Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 2, Returns: 1, Renames: 1, Behind: 1}},
}

// wider are those that take longer.
var wider = []search{
	{"a leader who does not know that he is succeeded", Protocol{Nodes: 1, Masters: 1, Commits: 2, Readers: 1, Reads: 1, Sessions: 1, Behind: 1}},
	{"two successions", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Sessions: 2, Behind: 1}},
	{"a feed that loses entries", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Sessions: 1, FeedFailovers: 1, Behind: 2}},
	{"a failover", Protocol{Nodes: 1, Masters: 2, Commits: 1, Readers: 1, Reads: 1, Failovers: 1, Raises: 1, Behind: 1}},
	{"a failover and a succession", Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 1, Sessions: 1, Raises: 1, Behind: 1}},
	{"three masters, one after the other", Protocol{Nodes: 1, Masters: 3, Commits: 1, Failovers: 2, Raises: 1, Behind: 1}},
	{"failovers of both", Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 1, FeedFailovers: 1, Sessions: 1, Behind: 1}},
	{"a slot that moves, and back", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Moves: 2, Behind: 2, NeverBack: true}},
	{"a slot that moves about", Protocol{Nodes: 1, Masters: 1, Commits: 1, Moves: 3, Slow: true, Readers: 1, Reads: 1, Behind: 1}},
	{"a slot that moves, and a succession", Protocol{Nodes: 1, Masters: 1, Commits: 1, Sessions: 1, Moves: 1, Behind: 1}},
	{"a slot that moves, and a reader", Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Moves: 1, Behind: 1}},
	{"a slot that moves from one that fails over, and back", Protocol{Nodes: 1, Masters: 2, Commits: 1, Moves: 2, Failovers: 1, Behind: 1}},
	{"a slot that moves to one that fails over, and back", Protocol{Nodes: 1, Masters: 1, Commits: 1, Moves: 2, Spare: true, Failovers: 1, Behind: 1}},
	{"a slot that moves from one that fails over", Protocol{Nodes: 1, Masters: 2, Commits: 1, Moves: 1, Failovers: 1, Raises: 1, Behind: 1}},
	{"a slot that moves to one that fails over", Protocol{Nodes: 1, Masters: 1, Commits: 1, Moves: 1, Spare: true, Failovers: 1, Raises: 1, Behind: 1}},
	{"another name", Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 2, Returns: 1, Renames: 1, Raises: 1, Behind: 1}},
}

type search struct {
	name string
	Protocol
}

// right fails a test if a wrong answer can be had, or the search has not been whole.
func (s search) right(t testing.TB) {
	r := s.Search(memory)
	if r.Wrong != "" || !r.Whole {
		t.Fatalf("%d states, whole %v\n%s", r.States, r.Whole, r)
	}
	t.Logf("%d states, %d steps deep: none is wrong", r.States, r.Depth)
}

func TestAllGuards(t *testing.T) {
	for _, s := range whole {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			s.right(t)
		})
	}
}

// BenchmarkAllGuards searches what would take tests with the race detector too long.
func BenchmarkAllGuards(b *testing.B) {
	for _, s := range wider {
		b.Run(s.name, func(b *testing.B) {
			for b.Loop() {
				s.right(b)
			}
		})
	}
}

func TestEveryGuardIsNeeded(t *testing.T) {
	core := Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Behind: 3}
	failover := Protocol{Nodes: 1, Masters: 2, Commits: 1, Readers: 1, Reads: 1, Failovers: 1, Behind: 3}
	with := func(p Protocol, change func(*Protocol)) Protocol {
		change(&p)
		return p
	}
	blind := Protocol{Nodes: 1, Masters: 1, Commits: 1, Blind: 2, Readers: 1, Reads: 1, Raises: 2, Behind: 3}
	move := Protocol{Nodes: 1, Masters: 1, Commits: 1, Readers: 1, Reads: 1, Moves: 1, Behind: 1}
	moves := with(move, func(p *Protocol) { p.Readers, p.Reads, p.Moves = 0, 0, 2 })
	source := with(moves, func(p *Protocol) { p.Masters, p.Moves, p.Failovers, p.Calm = 2, 1, 1, true })
	target := with(moves, func(p *Protocol) { p.Moves, p.Failovers, p.Spare = 1, 1, true })
	names := Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 2, Returns: 1, Renames: 1, Behind: 1}
	var left Guards
	for _, g := range []struct {
		name    string
		without Guards
		Protocol
		steps int    // of the shortest counterexample
		tells string // a step of it
	}{
		{"rows are waited for", AwaitVisible, core, 9, "marks"},
		{"a mark ends the lease", MarkEndsLease, core, 10, "fills A with v1"},
		{"a put keeps what is newer", PutKeepsNewer, Protocol{Nodes: 1, Masters: 1, Commits: 2, Sessions: 1, Behind: 2}, 15, "puts v2"},
		{"a put keeps what is newer, in Redis alone", PutKeepsNewer, with(core, func(p *Protocol) { p.Commits, p.NeverBack = 2, true }), 12, "puts v2"},
		{"a fill keeps what is newer, in Redis alone", FillKeepsNewer, with(core, func(p *Protocol) { p.Commits, p.NeverBack = 2, true }), 12, "fills A with v2"},
		{"Redis before the feed", RedisBeforeFeed, core, 6, "publishes"},
		{"a watermark of what is applied", WatermarkApplied, core, 5, "publishes"},
		{"a checkpoint after the effect", CheckpointAfter, with(core, func(p *Protocol) { p.Sessions = 1 }), 7, "is started and leads"},
		{"the term is checked", TermChecked, Protocol{Nodes: 1, Masters: 1, Commits: 1, Sessions: 2, Purges: 1, Raises: 2, Behind: 1}, 17, "publishes that it waits"},
		{"everything is dropped twice", DropTwice, blind, 14, "drops everything"},
		{"and the second time after the commit", DropSettled, blind, 17, "drops everything"},
		{"the stamp before the load", StampBeforeLoad, core, 11, "stores"},
		{"entries are judged when they are read", JudgedWhenRead, with(core, func(p *Protocol) { p.LatePuts = true }), 10, "gets to v1"},
		{"loaded-at before the load", LoadedAtBefore, core, 6, "v1 in MySQL"},
		{"the standing before Redis is read", StandingBeforeRead, core, 11, "takes it to be"},
		{"the standing before the local tier is read", StandingBeforeLook, with(core, func(p *Protocol) { p.Reads = 2 }), 11, "takes it to be"},
		{"the standing is one", StandingPaired, with(core, func(p *Protocol) { p.Sessions, p.Purges, p.Raises = 1, 1, 2 }), 14, "drops everything"},
		{"the fence before the watermark", FenceBeforeWatermark, core, 8, "node 1 stands at"},
		{"a gap drops the local tier", GapDropsLocal, with(core, func(p *Protocol) { p.Trims = 1 }), 12, "is trimmed"},
		{"a gap ends the watermark", GapForgetsWatermark, with(failover, func(p *Protocol) { p.Reads, p.FeedFailovers, p.Sessions, p.Behind = 0, 1, 1, 1 }), 13, "feed's master fails"},
		{"a watermark is of its epoch", EpochForgetsWatermark | GapForgetsWatermark, Protocol{Nodes: 1, Masters: 1, Commits: 2, Blind: 2, Sessions: 1, FeedFailovers: 1, Raises: 2, Behind: 3}, 16, "feed's master fails"},
		{"the stamp before the standing", StampBeforeStanding, failover, 11, "reads v1 from"},
		{"marks in members only", RosterMarksMembers, failover, 9, "marks v2 in"},
		{"only the roster is vouched for", RosterVouches, failover, 9, "is promoted"},
		{"only the roster fills the local tier", RosterFillsLocal, failover, 11, "reads v1 from"},
		{"a roster before the fence", RosterBeforeFence, failover, 11, "reads v1 from A"},
		{"an heir catches up", HeirCatchesUp, failover, 12, "musters B"},
		{"an heir replaces", HeirReplaces, failover, 10, "musters B"},
		{"a tie is lacking", TieIsLacking, failover, 16, "has the lease of B"},
		{"settled after the put", SettleAfterPut, failover, 16, "puts v2 in A"},
		{"what is remembered reaches back", RingReaches, with(failover, func(p *Protocol) { p.Reads, p.Sessions = 0, 1 }), 15, "is started and leads"},
		{"reigns, not processes", ReignsAreNames, Protocol{Nodes: 1, Masters: 2, Commits: 1, Failovers: 2, Returns: 1, Behind: 3}, 10, "A follows B"},
		{"a newborn is emptied", GainedIsEmptied, with(core, func(p *Protocol) { p.Newborns = 1 }), 14, "begins with nothing"},
		{"a roster is of its epoch", EpochForgetsRoster, Protocol{Nodes: 1, Masters: 1, Commits: 1, Restarts: 1, FeedFailovers: 1, Sessions: 1, Raises: 1, Behind: 2}, 18, "leads again"},
		{"listed for the slot, to be vouched for", SlotVouches, move, 9, "publishes"},
		{"who is asked, not who answers instead", RedirectedIsNot, moves, 10, "is given up"},
		{"listed for the slot, to be marked", SlotMarks, moves, 12, "wants to mark in B"},
		{"a slot on its way is nobody's", FoundAtRest, moves, 19, "calls A, who has the slot"},
		{"nor that of two", FoundOnce, moves, 15, "calls A, who has the slot"},
		{"nor that of an old master and another", FoundOnce, source, 14, "is promoted"},
		{"what is gained is emptied", GainedIsEmptied, with(move, func(p *Protocol) { p.Calm = true }), 15, "musters"},
		{"leases first", EmptiedLeaseFirst, with(move, func(p *Protocol) { p.Calm = true }), 20, "fills B with v1"},
		{"and values are looked for after that", EmptiedAnew, with(move, func(p *Protocol) { p.Calm = true }), 20, "fills B with v1"},
		{"an heir that has not received that", EmptiedReaches, with(target, func(p *Protocol) { p.Calm = true }), 22, "takes all out of"},
		{"whom a slot leaves is not listed", MovingIsUnlisted, move, 8, "has not both keys"},
		{"no guard for a slot that is back before anybody has missed it", 0, with(moves, func(p *Protocol) { p.Moves = 3 }), 14, "is given up"},
		{"a name is taken over at once", RenamedSoon, names, 14, "under another name"},
		{"a name is not taken over by an heir", RenamedIsNoHeir, names, 13, "A follows B"},
		{"no guard for failovers", NoRoster, failover, 9, "is promoted"},
		{"WAIT, a replica that did not acknowledge", NoRoster, Protocol{Nodes: 1, Masters: 3, Commits: 1, Failovers: 1, Wait: true, Behind: 3}, 10, "is promoted"},
		{"WAIT, an old dump", NoRoster, Protocol{Nodes: 1, Masters: 2, Commits: 1, Restarts: 1, Wait: true, Behind: 3}, 10, "old dump"},
		{"WAIT, an isolated master", NoRoster, Protocol{Nodes: 1, Masters: 3, Commits: 1, Failovers: 1, Wait: true, Synced: true, Behind: 3}, 10, "C acknowledges"},
	} {
		left |= g.without
		t.Run(g.name, func(t *testing.T) {
			t.Parallel()
			p := g.Protocol
			p.Without = g.without
			r := p.Search(memory)
			if r.Wrong == "" {
				t.Fatalf("nothing is wrong without it, in %d states", r.States)
			}
			t.Logf("\n%s", r)
			if len(r.Trace) != g.steps {
				t.Errorf("the shortest counterexample has %d steps, want %d", len(r.Trace), g.steps)
			}
			if !slices.ContainsFunc(r.Trace, func(d Did) bool { return strings.Contains(d.String(), g.tells) }) {
				t.Errorf("no step of it tells %q", g.tells)
			}
		})
	}
	if all := endOfGuards - 1; left != all {
		t.Errorf("guards %b are not tried", all&^left)
	}
}

// TestFillGuardServesRedisAlone shows that the version guard of a fill keeps Redis from going back, which is promised as
// well, and that answers are as of when they say without it: the mark of what is newer comes later, and repairs it.
func TestFillGuardServesRedisAlone(t *testing.T) {
	t.Parallel()
	r := Protocol{Nodes: 1, Masters: 1, Commits: 2, Readers: 1, Reads: 1, Behind: 2, Without: FillKeepsNewer}.Search(memory)
	if r.Wrong != "" || !r.Whole {
		t.Fatal(r)
	}
}
