package history

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// naive is Check as one would write it down: each event is held against all others.
func naive(h *History, l Limits) (found []string) {
	lease, settle, skew := Time(l.Lease.Microseconds()), Time(l.Settle.Microseconds()), Time(l.Skew.Microseconds())
	add := func(r Rule, at Time, what any) { found = append(found, fmt.Sprintf("%s %d %p", r, at, what)) }
	for i := range h.Answers {
		a := &h.Answers[i]
		outdated, written, state := false, a.Version == 0, false
		for _, c := range h.Commits {
			if c.ID != a.ID {
				continue
			}
			outdated = outdated || c.End != 0 && c.End < a.AsOf-skew && c.Version > a.Version
			written = written || c.Begin <= a.End && c.Version >= a.Version
			state = state || c.Version == a.Version && c.State != "" && c.State != a.State
		}
		if outdated {
			add(Outdated, a.End, a)
		}
		if a.AsOf > a.End+skew {
			add(Foretold, a.End, a)
		}
		if !written {
			add(Unwritten, a.End, a)
		}
		if a.Version < a.Min {
			add(BelowMinimum, a.End, a)
		}
		if state {
			add(Contradicted, a.End, a)
		}
		era, settled := naiveEra(h, a, settle)
		var first *Answer
		fell := false
		for j := range h.Answers {
			b := &h.Answers[j]
			if b.ID != a.ID || b.End >= a.End {
				continue
			}
			fell = fell || a.Client != "" && a.Client == b.Client && b.Version > a.Version
			if e, ok := naiveEra(h, b, settle); ok && settled && e == era && b.Version == a.Version && (first == nil || b.End < first.End) {
				first = b
			}
		}
		if fell {
			add(Backwards, a.End, a)
		}
		if first != nil && (first.Body != a.Body || first.State != a.State) {
			add(Contradicted, a.End, a)
		}
	}
	for i := range h.Samples {
		s := &h.Samples[i]
		fell := false
		for _, o := range h.Samples {
			if o.Process != s.Process || o.Key != s.Key || o.Begin >= s.Begin || o.Version <= s.Version || o.End > s.Begin {
				continue
			}
			evicted := slices.ContainsFunc(h.Samples, func(e Sample) bool {
				return e.Process == s.Process && e.Key == s.Key && e.Version == 0 && e.Begin > o.Begin && e.Begin < s.Begin
			})
			fell = fell || !evicted
		}
		if fell && s.Version != 0 {
			add(Replaced, s.End, s)
		}
	}
	for i := range h.Loads {
		b := &h.Loads[i]
		var a *Load // the one before
		for j := range h.Loads {
			o := &h.Loads[j]
			if o.ID == b.ID && o.Begin < b.Begin && (a == nil || o.Begin > a.Begin) {
				a = o
			}
		}
		if a == nil || b.Begin-a.Begin >= lease {
			continue
		}
		excused := false
		for _, c := range h.Commits {
			excused = excused || c.ID == b.ID && c.Begin <= b.End && (c.End == 0 || c.End+lease >= a.Begin)
		}
		for _, in := range h.Incidents {
			excused = excused || in.Begin <= b.End && in.End >= a.Begin
		}
		if !excused {
			add(LoadedTwice, b.End, b)
		}
	}
	slices.Sort(found)
	return found
}

func naiveEra(h *History, a *Answer, settle Time) (era int, settled bool) {
	for _, in := range h.Incidents {
		after, before := a.AsOf > in.End+settle, a.End < in.Begin
		if in.Unversioned && !after && !before {
			return 0, false
		}
		if in.Unversioned && !before {
			era++
		}
	}
	return era, true
}

// random makes a small history that keeps the rules often enough for each violation to be alone at times. No two events
// of a kind have the same time, as their order would be open.
func random(r *rand.Rand) *History {
	h := &History{}
	at := r.Perm(4000) // distinct times
	next := func() Time {
		t := Time(at[0] + 1)
		at = at[1:]
		return t
	}
	ends := map[uint64][]Commit{}
	for range r.IntN(12) {
		c := Commit{ID: 1 + r.Uint64N(3), Begin: next(), State: []State{Live, Absent, ""}[r.IntN(3)]}
		if c.Version = uint64(c.Begin); r.IntN(6) > 0 {
			c.End = c.Begin + Time(r.IntN(100))
		}
		h.Commits = append(h.Commits, c)
		ends[c.ID] = append(ends[c.ID], c)
	}
	for range r.IntN(30) {
		a := Answer{ID: 1 + r.Uint64N(3), End: next(), State: Absent, Client: []string{"", "a", "b"}[r.IntN(3)]}
		a.Begin = a.End - Time(r.IntN(50))
		a.AsOf = a.End - Time(r.IntN(300)-10)
		if of := ends[a.ID]; len(of) > 0 && r.IntN(5) > 0 {
			a.Version, a.State, a.Body = of[r.IntN(len(of))].Version, Live, r.Uint64N(4)/3
		}
		if r.IntN(4) == 0 {
			a.Min = a.Version + r.Uint64N(3) - min(1, a.Version)
		}
		h.Answers = append(h.Answers, a)
	}
	for range r.IntN(20) {
		s := Sample{Key: []string{"k", "l"}[r.IntN(2)], Process: []string{"p", "q"}[r.IntN(2)], Version: r.Uint64N(5), Begin: next()}
		s.End = s.Begin + Time(r.IntN(400))
		h.Samples = append(h.Samples, s)
	}
	for range r.IntN(8) {
		l := Load{ID: 1 + r.Uint64N(4), Begin: next()}
		l.End = l.Begin + Time(r.IntN(100))
		h.Loads = append(h.Loads, l)
	}
	for range r.IntN(3) {
		in := Incident{Begin: next(), Unversioned: r.IntN(2) == 0}
		in.End = in.Begin + Time(r.IntN(100))
		h.Incidents = append(h.Incidents, in)
	}
	return h
}

func agree(t *testing.T, seed1, seed2 uint64) (rules map[Rule]bool) {
	h := random(rand.New(rand.NewPCG(seed1, seed2)))
	l := Limits{Skew: time.Duration(seed1%3) * 10 * time.Microsecond, Lease: 300 * time.Microsecond, Settle: 100 * time.Microsecond}
	var got []string
	rules = map[Rule]bool{}
	for _, v := range h.Check(l) {
		what := any(v.Answer)
		if v.Sample != nil {
			what = v.Sample
		} else if v.Load != nil {
			what = v.Load
		}
		got = append(got, fmt.Sprintf("%s %d %p", v.Rule, v.At, what))
		rules[v.Rule] = true
	}
	slices.Sort(got)
	if want := naive(h, l); !slices.Equal(got, want) {
		t.Fatalf("seeds %d, %d: %q was found, %q was there", seed1, seed2, got, want)
	}
	return rules
}

func TestAgainstNaive(t *testing.T) {
	seen := map[Rule]int{}
	clean := 0
	for seed := range uint64(5000) {
		rules := agree(t, seed, 1)
		for r := range rules {
			seen[r]++
		}
		if len(rules) == 0 {
			clean++
		}
	}
	t.Logf("%v, %d without", seen, clean)
	if len(seen) != 8 || clean == 0 {
		t.Errorf("not every rule was broken, or none was ever kept")
	}
}

func FuzzAgainstNaive(f *testing.F) {
	f.Add(uint64(1), uint64(2))
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64) { agree(t, seed1, seed2) })
}
