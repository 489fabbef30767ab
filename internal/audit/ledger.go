package audit

import (
	"slices"
	"time"

	"vidmeta/schema"
)

// ages are those that a disagreement is asked to outlive. The first is that of one that was seen once.
var ages = []time.Duration{0, time.Second, 10 * time.Second, time.Minute}

// audited are the tiers that are compared with MySQL.
var audited = []schema.Tier{schema.TierLocal, schema.TierRedis}

// ledger keeps account of what was seen. It follows a bounded number of disagreements at a time.
type ledger struct {
	ages    []time.Duration
	room    int // how many disagreements may be open
	open    map[unit]*dispute
	tallies map[schema.Tier]*tally
	parties map[string]*party
	lasting []Finding // that have ended, as many as there was room for
	metrics *metrics
	noticed func(Finding) // called each time that a disagreement outlives an age above the second
}

// unit is what is counted: a document in a tier, be it on one node or on many.
type unit struct {
	id   schema.ID
	tier schema.Tier
}

// tally counts the units of one tier.
type tally struct {
	compared  int
	unserved  int   // held by some node, and served by none
	disagreed []int // by the age that the disagreement has outlived
	lost      []int // by the age that it had when it could not be followed any more
	untrue    int   // said to be as of a time when MySQL was known to have a newer version
}

// party is somebody who is asked.
type party struct {
	asked, unanswered int
	err               error // the last one
}

// dispute is a unit that disagrees.
type dispute struct {
	unit
	first  time.Time // when the answers had come that disagreed
	at     time.Time // when to look again
	age    int       // index of the age that it has outlived
	untrue bool
	claims []claim // that have not been seen to go
}

// claim is a side that disagrees.
type claim struct {
	side
	age    int
	lasted time.Duration
	untrue bool
}

func (a *Auditor) newLedger(room int) *ledger {
	l := &ledger{
		ages: a.ages, room: room, open: make(map[unit]*dispute), parties: make(map[string]*party),
		tallies: make(map[schema.Tier]*tally), metrics: a.metrics, noticed: a.notice,
	}
	for _, t := range audited {
		l.tallies[t] = &tally{disagreed: make([]int, len(a.ages)), lost: make([]int, len(a.ages))}
	}
	return l
}

// account notes that somebody was asked, and whether there was an answer.
func (l *ledger) account(name string, err error) {
	p := l.parties[name]
	if p == nil {
		p = &party{}
		l.parties[name] = p
	}
	p.asked++
	if err != nil {
		p.unanswered++
		p.err = err
		l.metrics.unanswered(name)
	}
}

// first takes up documents that are looked at for the first time.
func (l *ledger) first(s *look) {
	for _, a := range s.asks {
		l.account(a.party, a.err)
	}
	for i, d := range s.docs {
		for _, tier := range audited {
			l.compare(s, unit{d.ID, tier}, s.sides(i, tier))
		}
	}
}

func (l *ledger) compare(s *look, u unit, sides []side) {
	t := l.tallies[u.tier]
	if !slices.ContainsFunc(sides, func(s side) bool { return s.verdict.compared() }) {
		if slices.ContainsFunc(sides, func(s side) bool { return s.verdict == unserved }) {
			t.unserved++
		}
		return
	}
	t.compared++
	l.metrics.samples[u.tier].Inc()
	d := &dispute{unit: u, first: s.ended}
	for _, one := range sides {
		if one.verdict.disagrees() {
			d.claims = append(d.claims, claim{side: one, untrue: one.untrue(one.known)})
		}
	}
	if len(d.claims) == 0 {
		return
	}
	l.disagreed(u.tier, 0)
	l.raise(d)
	if len(l.open) >= l.room {
		t.lost[0]++
		return
	}
	d.at = d.first.Add(nextLook(0, l.ages))
	l.open[u] = d
}

// untrue reports whether a tier says of a version that it is true as of a time when a later one was known.
func (s *side) untrue(known time.Time) bool {
	return s.verdict == older && s.held.AsOf != nil && s.held.AsOf.After(known)
}

func (l *ledger) disagreed(tier schema.Tier, age int) {
	l.tallies[tier].disagreed[age]++
	l.metrics.disagreements[tier][age].Inc()
}

// raise counts what a dispute has come to, if that is more than before.
func (l *ledger) raise(d *dispute) {
	for i := range d.claims {
		c := &d.claims[i]
		if c.untrue && !d.untrue {
			d.untrue = true
			l.tallies[d.tier].untrue++
			l.metrics.untrue[d.tier].Inc()
		}
		for d.age < c.age {
			d.age++
			l.disagreed(d.tier, d.age)
			if d.age > 1 {
				l.noticed(l.finding(d, c))
			}
		}
	}
}

// nextLook returns the age at which to look again at a disagreement of some age: when it is twice as old, and at each of
// the ages that count.
func nextLook(age time.Duration, ages []time.Duration) time.Duration {
	next := max(2*age, ages[1])
	for _, a := range ages {
		if age < a && a < next {
			return a
		}
	}
	return next
}

// due returns up to n documents that are to be looked at again. They are due again soon, unless again is told of them.
func (l *ledger) due(now time.Time, n int) (ids []schema.ID) {
	last := l.ages[len(l.ages)-1]
	for u, d := range l.open {
		switch {
		case now.Before(d.at):
		case now.Sub(d.first) > 2*last: // nobody answers
			l.tallies[u.tier].lost[d.age]++
			l.end(d)
		case len(ids) < n:
			d.at = now.Add(l.ages[1])
			if !slices.Contains(ids, u.id) {
				ids = append(ids, u.id)
			}
		}
	}
	return ids
}

// next returns when the next disagreement is due, and whether there is any.
func (l *ledger) next() (at time.Time, open bool) {
	for _, d := range l.open {
		if !open || d.at.Before(at) {
			at, open = d.at, true
		}
	}
	return at, open
}

// follows reports whether a document is being looked at again.
func (l *ledger) follows(id schema.ID) bool {
	return slices.ContainsFunc(audited, func(t schema.Tier) bool { return l.open[unit{id, t}] != nil })
}

// again takes up documents whose disagreements are looked at again.
func (l *ledger) again(s *look) {
	for _, a := range s.asks {
		l.account(a.party, a.err)
	}
	for i, doc := range s.docs {
		for _, tier := range audited {
			if d := l.open[unit{doc.ID, tier}]; d != nil {
				l.follow(d, s, s.sides(i, tier))
			}
		}
	}
}

func (l *ledger) follow(d *dispute, s *look, sides []side) {
	lasted := s.asked.Sub(d.first)
	d.claims = slices.DeleteFunc(d.claims, func(c claim) bool {
		i := slices.IndexFunc(sides, func(s side) bool { return s.node == c.node })
		if i < 0 || c.persists(&sides[i]) {
			return false
		}
		l.keep(d, &c)
		return true
	})
	for i := range d.claims {
		c := &d.claims[i]
		at := slices.IndexFunc(sides, func(s side) bool { return s.node == c.node && s.verdict.disagrees() })
		if at < 0 {
			continue
		}
		now := sides[at]
		if now.verdict == c.verdict {
			now.missed, now.known = c.missed, c.known
		}
		c.side, c.lasted, c.untrue = now, lasted, c.untrue || now.untrue(now.known)
		for c.age+1 < len(l.ages) && lasted >= l.ages[c.age+1] {
			c.age++
		}
	}
	l.raise(d)
	if len(d.claims) == 0 || d.age == len(l.ages)-1 {
		l.end(d)
		return
	}
	d.at = d.first.Add(nextLook(lasted, l.ages))
}

// persists reports whether what was wrong still is, for all that is known. A tier that has reached the version which it
// lacked, and lacks a later one, is a tier that follows.
func (c *claim) persists(now *side) bool {
	if now.verdict == unanswered {
		return true
	}
	if now.verdict == older && c.verdict == older && now.held.Version >= c.missed {
		return false
	}
	return now.verdict.disagrees()
}

// end closes a dispute. What is left of it has lasted.
func (l *ledger) end(d *dispute) {
	for i := range d.claims {
		l.keep(d, &d.claims[i])
	}
	delete(l.open, d.unit)
}

// keep lists a disagreement that has outlived more than a look.
func (l *ledger) keep(d *dispute, c *claim) {
	if c.age > 0 && len(l.lasting) < l.room {
		l.lasting = append(l.lasting, l.finding(d, c))
	}
}

func (l *ledger) finding(d *dispute, c *claim) Finding {
	return Finding{
		ID: d.id, Tier: d.tier.String(), Node: c.node, Kind: string(c.verdict), Version: c.held.Version, MySQL: c.mysql,
		AsOf: c.held.AsOf, Untrue: c.untrue, Outlived: label(l.ages[c.age]), Lasted: c.lasted.Seconds(),
	}
}
