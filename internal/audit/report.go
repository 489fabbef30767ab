package audit

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"gonum.org/v1/gonum/mathext"

	"vidmeta/schema"
)

// Report is what an audit has seen.
type Report struct {
	Begun  time.Time     `json:"begun"`
	Took   float64       `json:"took_seconds"`
	Picked Picked        `json:"picked"`
	Tiers  []TierReport  `json:"tiers"`
	Asked  []PartyReport `json:"asked"`
	// Lasting are the disagreements that outlived more than one look, the longest first, one for each node.
	Lasting []Finding `json:"lasting"`
}

// TierReport is about the documents that one tier held, on any node.
type TierReport struct {
	Tier string `json:"tier"`
	// Compared is how many documents some node would have served from this tier, Unserved how many were held and would
	// not have been served as fresh.
	Compared int `json:"compared"`
	Unserved int `json:"unserved"`
	// Untrue is how many were said to be true as of a time when MySQL was known to have a newer version: an answer would
	// have been older than it says.
	Untrue int         `json:"untrue"`
	After  []AgeReport `json:"after"` // by age, from 0s on
}

// AgeReport is about the disagreements that outlived an age.
type AgeReport struct {
	Outlived  string `json:"outlived"`
	Compared  int    `json:"compared"`  // less those that could not be followed so far
	Disagreed int    `json:"disagreed"` // on any node
	// AtLeast is the share of documents that agree, of all that there are, with 95 % confidence; if those that were picked
	// are like the others.
	AtLeast float64 `json:"at_least"`
	Nines   int     `json:"nines"` // that AtLeast begins with
}

// PartyReport is about mysql, redis, or a node by its URL.
type PartyReport struct {
	Name       string `json:"name"`
	Asked      int    `json:"asked"` // questions
	Unanswered int    `json:"unanswered"`
	Error      string `json:"error,omitempty"` // the last one
}

// Finding is a disagreement about one document.
type Finding struct {
	ID       schema.ID      `json:"id"`
	Tier     string         `json:"tier"`
	Node     string         `json:"node,omitempty"`
	Kind     string         `json:"kind"`    // older, newer or differs, which is another body of the same version
	Version  schema.Version `json:"version"` // that the tier holds
	MySQL    schema.Version `json:"mysql_version"`
	AsOf     *time.Time     `json:"as_of,omitempty"` // that the tier would claim
	Untrue   bool           `json:"untrue"`          // that claim was wrong
	Outlived string         `json:"outlived"`
	Lasted   float64        `json:"lasted_seconds"` // from when it was first seen until it was last seen
}

// report closes the account.
func (l *ledger) report(begun time.Time, picked Picked) *Report {
	for u, d := range l.open {
		l.tallies[u.tier].lost[d.age]++
		l.end(d)
	}
	r := &Report{Begun: begun.UTC(), Took: time.Since(begun).Seconds(), Picked: picked, Lasting: []Finding{}}
	for _, tier := range audited {
		r.Tiers = append(r.Tiers, l.tallies[tier].report(tier, l.ages))
	}
	for _, name := range slices.Sorted(maps.Keys(l.parties)) {
		p := l.parties[name]
		one := PartyReport{Name: name, Asked: p.asked, Unanswered: p.unanswered}
		if p.err != nil {
			one.Error = p.err.Error()
		}
		r.Asked = append(r.Asked, one)
	}
	r.Lasting = append(r.Lasting, l.lasting...)
	slices.SortStableFunc(r.Lasting, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(b.Lasted, a.Lasted), cmp.Compare(a.ID, b.ID))
	})
	return r
}

func (t *tally) report(tier schema.Tier, ages []time.Duration) TierReport {
	r := TierReport{Tier: tier.String(), Compared: t.compared, Unserved: t.unserved, Untrue: t.untrue}
	compared := t.compared
	for i, age := range ages {
		bound := atMost(t.disagreed[i], compared)
		r.After = append(r.After, AgeReport{
			Outlived: label(age), Compared: compared, Disagreed: t.disagreed[i], AtLeast: 1 - bound, Nines: nines(bound),
		})
		compared -= t.lost[i]
	}
	return r
}

// atMost returns the share that disagrees of all documents, at most, with 95 % confidence, when k of n did: the one-sided
// bound of Clopper and Pearson (The use of confidence or fiducial limits illustrated in the case of the binomial,
// Biometrika 26, 1934), the 95 % quantile of the beta distribution with k+1 and n-k. With k = 0 it is nearly 3/n, the
// rule of three (Hanley and Lippman-Hand, JAMA 249, 1983).
func atMost(k, n int) float64 {
	if k >= n {
		return 1
	}
	return mathext.InvRegIncBeta(float64(k+1), float64(n-k), 0.95)
}

// nines returns how many nines the share that agrees begins with, if at most this share disagrees.
func nines(disagree float64) int {
	return int(math.Floor(-math.Log10(disagree)))
}

// label writes an age as metrics and reports have it: 0s, 1s, 10s, 60s.
func label(age time.Duration) string {
	return strconv.FormatFloat(age.Seconds(), 'f', -1, 64) + "s"
}
