package history

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"time"
)

// Rule is one promise of the service.
type Rule string

// The rules.
const (
	// Outdated: an answer as of T must show every commit that ended before T.
	Outdated Rule = "outdated"
	// Foretold: an answer must not be as of a time after its own arrival.
	Foretold Rule = "foretold"
	// Unwritten: an answer must not show a version that nobody had begun to commit.
	Unwritten Rule = "unwritten"
	// BelowMinimum: an answer must not be below the version that was asked for.
	BelowMinimum Rule = "below minimum"
	// Backwards: a client that passes on what it has seen must not see a version fall.
	Backwards Rule = "backwards"
	// Replaced: in one process of Redis a key that stays there must not fall back to an older version.
	Replaced Rule = "replaced by older"
	// LoadedTwice: a document that no cache holds must be loaded once per lease.
	LoadedTwice Rule = "loaded twice"
	// Contradicted: answers of one version must have one body, and exist or not as the commit left it.
	Contradicted Rule = "contradicted"
)

// Limits are what the rules leave open.
type Limits struct {
	// Skew is how far the clocks of the service's processes may differ from the history's. It is 0 on one machine.
	Skew time.Duration
	// Lease is how long a load may keep others from loading the same document; 0 leaves loads unchecked.
	Lease time.Duration
	// Settle is how long after an unversioned incident answers may still show what was before.
	Settle time.Duration
}

// Violation is a promise that was broken.
type Violation struct {
	Rule Rule
	At   Time // when it was seen
	// Answer, Sample or Load is what broke the rule; the others are nil.
	Answer *Answer
	Sample *Sample
	Load   *Load
	// Text says what was seen and what it contradicts.
	Text string
}

// Error returns all that is known of the violation in one line.
func (v Violation) Error() string { return fmt.Sprintf("%s: %v: %s", v.Rule, v.At, v.Text) }

// Check returns what broke the promises, in the order of time. It leaves the history as it is.
func (h *History) Check(l Limits) []Violation {
	c := &checker{History: h, limits: l}
	c.incidents = slices.SortedFunc(slices.Values(h.Incidents), func(a, b Incident) int { return cmp.Compare(a.Begin, b.Begin) })
	docs := map[uint64]*document{}
	doc := func(id uint64) *document {
		d := docs[id]
		if d == nil {
			d = &document{}
			docs[id] = d
		}
		return d
	}
	for i := range h.Commits {
		d := doc(h.Commits[i].ID)
		d.commits = append(d.commits, &h.Commits[i])
	}
	for i := range h.Answers {
		d := doc(h.Answers[i].ID)
		d.answers = append(d.answers, &h.Answers[i])
	}
	for i := range h.Loads {
		d := doc(h.Loads[i].ID)
		d.loads = append(d.loads, &h.Loads[i])
	}
	for _, d := range docs {
		c.check(d)
	}
	c.checkSamples()
	slices.SortFunc(c.found, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Text, b.Text))
	})
	return c.found
}

type checker struct {
	*History
	limits    Limits
	incidents []Incident // in order of time
	found     []Violation
}

// document is all that was seen of one document.
type document struct {
	commits []*Commit
	answers []*Answer
	loads   []*Load
}

func (c *checker) check(d *document) {
	slices.SortFunc(d.answers, func(a, b *Answer) int { return cmp.Compare(a.End, b.End) })
	begun, ended := newest(d.commits, func(c *Commit) Time { return c.Begin }), newest(d.commits, func(c *Commit) Time { return c.End })
	for _, a := range d.answers {
		// Strictly before: a commit that ended in the microsecond of the as-of need not show.
		if done := ended.before(a.AsOf.Add(-c.limits.Skew)); done != nil && done.Version > a.Version {
			c.blame(Outdated, a, "%v later than the end of %v", a.AsOf.Sub(done.End), done)
		}
		if a.AsOf > a.End.Add(c.limits.Skew) {
			c.blame(Foretold, a, "%v after it had arrived", a.AsOf.Sub(a.End))
		}
		if started := begun.before(a.End + 1); a.Version > 0 && started == nil {
			c.blame(Unwritten, a, "nothing had been committed")
		} else if a.Version > 0 && started.Version < a.Version {
			c.blame(Unwritten, a, "the newest that had been begun was %v", started)
		}
		if a.Version < a.Min {
			c.blame(BelowMinimum, a, "version %d was asked for", a.Min)
		}
	}
	c.checkClients(d.answers)
	c.checkBodies(d)
	if c.limits.Lease > 0 {
		c.checkLoads(d)
	}
}

// series is what was the newest version when.
type series []point

type point struct {
	at     Time
	commit *Commit // of the largest version so far
}

// newest returns the commits with the largest version up to each time; those without a time are left out.
func newest(commits []*Commit, when func(*Commit) Time) series {
	var s series
	for _, c := range commits {
		if at := when(c); at != 0 {
			s = append(s, point{at: at, commit: c})
		}
	}
	slices.SortFunc(s, func(a, b point) int { return cmp.Compare(a.at, b.at) })
	for i := 1; i < len(s); i++ {
		if s[i-1].commit.Version > s[i].commit.Version {
			s[i].commit = s[i-1].commit
		}
	}
	return s
}

// before returns the commit of the largest version before t, nil if there is none.
func (s series) before(t Time) *Commit {
	n := sort.Search(len(s), func(i int) bool { return s[i].at >= t })
	if n == 0 {
		return nil
	}
	return s[n-1].commit
}

// checkClients holds the answers of each client against its earlier ones. Answers are in the order of their ends, which
// for one client is that of its requests.
func (c *checker) checkClients(answers []*Answer) {
	last := map[string]*Answer{}
	for _, a := range answers {
		if a.Client == "" {
			continue
		}
		if before := last[a.Client]; before != nil && a.Version < before.Version {
			c.blame(Backwards, a, "%s had seen version %d at %v (%s)", a.Client, before.Version, before.End, before.By)
			continue // so that what was seen at most stays
		}
		last[a.Client] = a
	}
}

// checkBodies holds the answers of each version against the first of them, and against what is known of the commit.
func (c *checker) checkBodies(d *document) {
	states := map[uint64]*Commit{}
	for _, commit := range d.commits {
		if commit.State != "" {
			states[commit.Version] = commit
		}
	}
	type edition struct {
		version uint64
		era     int
	}
	firsts := map[edition]*Answer{}
	for _, a := range d.answers {
		if commit := states[a.Version]; commit != nil && commit.State != a.State {
			c.blame(Contradicted, a, "that is not what %v left", commit)
		}
		era, settled := c.era(a)
		if !settled {
			continue
		}
		e := edition{a.Version, era}
		first := firsts[e]
		if first == nil {
			firsts[e] = a
		} else if first.Body != a.Body {
			c.blame(Contradicted, a, "at %v %s had said %s, body %x (%s)", first.End, first.By, first.State, first.Body, first.Path)
		}
	}
}

// era returns how many unversioned incidents an answer shows; settled is false if it may or may not show one of them.
func (c *checker) era(a *Answer) (era int, settled bool) {
	for i := range c.incidents {
		switch in := &c.incidents[i]; {
		case !in.Unversioned || a.End < in.Begin:
		case a.AsOf > in.End.Add(c.limits.Settle):
			era++
		default:
			return 0, false
		}
	}
	return era, true
}

// checkLoads looks for loads that came while the one before should have kept them away. A commit ends leases, and an
// incident may.
func (c *checker) checkLoads(d *document) {
	slices.SortFunc(d.loads, func(a, b *Load) int { return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End)) })
	for i := 1; i < len(d.loads); i++ {
		a, b := d.loads[i-1], d.loads[i]
		if b.Begin.Sub(a.Begin) >= c.limits.Lease {
			continue
		}
		excused := slices.ContainsFunc(d.commits, func(x *Commit) bool {
			return x.Begin <= b.End && (x.End == 0 || x.End.Add(c.limits.Lease) >= a.Begin)
		})
		excused = excused || slices.ContainsFunc(c.incidents, func(x Incident) bool { return x.Begin <= b.End && x.End >= a.Begin })
		if !excused {
			c.found = append(c.found, Violation{Rule: LoadedTwice, At: b.End, Load: b, Text: fmt.Sprintf(
				"%s loaded %d from %v to %v, and %s %v before that", b.By, b.ID, b.Begin, b.End, a.By, b.Begin.Sub(a.Begin))})
		}
	}
}

// checkSamples follows each key in each process. Looks at one key that overlap say nothing of each other's order.
func (c *checker) checkSamples() {
	type place struct{ process, key string }
	places := map[place][]*Sample{}
	for i := range c.Samples {
		s := &c.Samples[i]
		at := place{s.Process, s.Key}
		places[at] = append(places[at], s)
	}
	for _, samples := range places {
		slices.SortFunc(samples, func(a, b *Sample) int { return cmp.Or(cmp.Compare(a.Begin, b.Begin), cmp.Compare(a.End, b.End)) })
		for len(samples) > 0 {
			n := slices.IndexFunc(samples, func(s *Sample) bool { return s.Version == 0 })
			if n < 0 {
				n = len(samples)
			}
			c.checkStay(samples[:n])
			samples = samples[min(n+1, len(samples)):]
		}
	}
}

// checkStay follows a key while it is there. Samples are in the order of their beginnings.
func (c *checker) checkStay(samples []*Sample) {
	ended := slices.SortedFunc(slices.Values(samples), func(a, b *Sample) int { return cmp.Compare(a.End, b.End) })
	var top *Sample // of those that have ended when the one at hand begins
	for _, s := range samples {
		for len(ended) > 0 && ended[0].End <= s.Begin {
			if top == nil || ended[0].Version > top.Version {
				top = ended[0]
			}
			ended = ended[1:]
		}
		if top != nil && s.Version < top.Version {
			c.found = append(c.found, Violation{Rule: Replaced, At: s.End, Sample: s, Text: fmt.Sprintf(
				"%s held version %d under %s%s; at %v it had held %d", s.Process, s.Version, s.Key, c.during(s.Begin, s.End), top.End, top.Version)})
		}
	}
}

func (c *checker) blame(r Rule, a *Answer, format string, args ...any) {
	c.found = append(c.found, Violation{Rule: r, At: a.End, Answer: a,
		Text: fmt.Sprintf("%v%s: ", a, c.during(a.Begin, a.End)) + fmt.Sprintf(format, args...)})
}

// during names what was being done to the service between two times, or else what was done last.
func (c *checker) during(begin, end Time) string {
	text, last := "", ""
	for i := range c.incidents {
		switch in := &c.incidents[i]; {
		case in.Begin > end:
		case in.End >= begin:
			text += fmt.Sprintf(" during %q since %v", in.Name, begin.Sub(in.Begin))
		default:
			last = fmt.Sprintf(" %v after %q", begin.Sub(in.End), in.Name)
		}
	}
	if text == "" {
		return last
	}
	return text
}

// String returns what was said, by whom, and when.
func (a *Answer) String() string {
	return fmt.Sprintf("%s said of %d version %d (%s, body %x) as of %v, asked at %v (%s)", a.By, a.ID, a.Version, a.State, a.Body, a.AsOf, a.Begin, a.Path)
}

// String returns what was committed and when.
func (c *Commit) String() string {
	end := "no answer"
	if c.End != 0 {
		end = c.End.String()
	}
	return fmt.Sprintf("version %d (%s, %s, %v to %s)", c.Version, c.State, c.By, c.Begin, end)
}
