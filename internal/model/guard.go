package model

// Guards is a set of the guards of the protocol. A Protocol names those that are left out.
type Guards uint64

// The guards. Each is a rule without which some order of events gives an answer that is older than it says, or takes
// Redis back to an older document.
const (
	// Of the sidecar.
	AwaitVisible       Guards = 1 << iota // rows are waited for before anybody is told of them
	MarkEndsLease                         // a mark ends the lease, so that no load from before it can fill
	PutKeepsNewer                         // a put replaces only what is older
	RedisBeforeFeed                       // nodes are told of a change after Redis reflects it
	WatermarkApplied                      // the watermark vouches only for what has been applied
	CheckpointAfter                       // the checkpoint moves with the feed, after the effect
	TermChecked                           // the feed refuses a leader who has been succeeded
	DropTwice                             // what cannot be waited for drops everything twice
	DropSettled                           // and by the second time its commit has ended
	RosterMarksMembers                    // changes are marked only in masters of the roster
	HeirCatchesUp                         // what an heir may lack is brought to it before it joins the roster
	HeirReplaces                          // the master that it succeeds leaves the roster in the same entry
	RingReaches                           // nobody is an heir who succeeded before the time that the sidecar remembers
	TieIsLacking                          // what was marked at the very offset that an heir has may have been marked after its promotion
	SettleAfterPut                        // a change is taken for replicated only up to where its put was
	EpochForgetsRoster                    // a roster was mustered for its epoch, and is forgotten with it
	SlotMarks                             // and only in those that are listed there for the slot
	FoundAtRest                           // a slot on its way is nobody's
	FoundOnce                             // and if two say that they have it, all are called again
	GainedIsEmptied                       // what a master holds of a slot that it was not listed for is taken out first
	EmptiedLeaseFirst                     // the leases before the values
	EmptiedAnew                           // which are looked for after that
	EmptiedReaches                        // an heir that has not received that is nobody's
	MovingIsUnlisted                      // whom a slot is found to leave when a change is told is not listed for it any more
	RenamedSoon                           // a member has another name only if it was seen under the last one just before
	RenamedIsNoHeir                       // and has been no replica

	// Of the nodes.
	FillKeepsNewer        // a fill replaces only what is older
	StampBeforeLoad       // the stamp is taken before the load begins
	StampBeforeStanding   // and before the standing is read
	JudgedWhenRead        // an entry of the local tier is judged by its stamp when it is read, not when it is stored
	LoadedAtBefore        // the time of a load is noted before it begins
	StandingBeforeRead    // the standing is read before Redis is
	StandingBeforeLook    // and before the local tier is
	StandingPaired        // epoch, roster and watermark are read together
	EpochForgetsWatermark // a watermark counts only in its epoch
	FenceBeforeWatermark  // of one entry of the feed, the fence is raised before the watermark
	GapDropsLocal         // a gap in the feed drops the local tier
	GapForgetsWatermark   // and the watermark, which an older roster might come after
	RosterBeforeFence     // a new roster counts before the fence is raised
	RosterVouches         // the watermark counts for answers of masters in the roster alone
	SlotVouches           // and are listed there for the slot
	RedirectedIsNot       // and not for what somebody else has answered in their place
	RosterFillsLocal      // and only these answers go into the local tier
	ReignsAreNames        // a master is known by its reign; a process keeps its run id when it is demoted and promoted
	endOfGuards
)

// NoRoster leaves out all that has to do with the roster.
const NoRoster = RosterMarksMembers | SlotMarks | RosterVouches | SlotVouches | RosterFillsLocal | HeirCatchesUp

// Protocol is what is searched, with its bounds. Every number is how often something may happen.
type Protocol struct {
	Without Guards

	Nodes, Readers int // readers of all nodes, one read each at a time
	Masters        int // processes of Redis for the document; the first one is the master, the others its replicas
	Commits        uint8
	Reads          uint8 // that load; what a read would be answered at once is checked in every state
	Sessions       uint8 // of sidecars, beside the first: after a failure, or while the one before still runs
	Failovers      uint8 // of the document's master
	Returns        uint8 // of masters that have been succeeded, as replicas
	Restarts       uint8 // of the document's master, with the dump it had at the beginning or with nothing
	Newborns       uint8 // masters that begin with nothing beside the one whose place they take
	FeedFailovers  uint8 // which lose what the feed's replica has not received
	Trims          uint8 // entries that the feed loses
	Blind          uint8 // the commit whose event says nothing of rows, such as TRUNCATE; 0 for none
	Purges         uint8 // sessions that find their checkpoint gone
	Behind         uint8 // entries of the feed that may be on their way, 5 at most
	LatePuts       bool  // the local tier may get to what it is given at any later time
	Wait           bool  // a change is told of only after a replica has acknowledged it
	Synced         bool  // nobody is promoted who lacks anything
	Raises         uint8 // of the epoch, at most 3
	Moves          uint8 // of the document's slot, between its masters and one of another shard
	Spare          bool  // that one has a replica
	Calm           bool  // no move is given up
	Slow           bool  // a slot does not come back to whom somebody takes to have it still
	Renames        uint8 // masters that go on under another name
	NeverBack      bool  // also wrong: a version in Redis that falls
}

func (p *Protocol) has(g Guards) bool { return p.Without&g == 0 }
