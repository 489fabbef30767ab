package model

import (
	"fmt"
	"hash/maphash"
	"strings"
)

// Did says what a step does: a format and up to five small numbers for it, written out only where a trace is printed.
type Did struct {
	Format string
	Args   [5]uint8
}

func did(format string, args ...uint8) (d Did) {
	d.Format = format
	copy(d.Args[:], args)
	return d
}

func (d Did) String() string {
	args := make([]any, strings.Count(d.Format, "%"))
	for i := range args {
		args[i] = d.Args[i]
	}
	return fmt.Sprintf(d.Format, args...)
}

// Space is a set of states, given by where it begins and by the steps that lead from one state to the next.
type Space[S comparable] struct {
	Begin []S
	// Next calls yield with every step that can be made from a state.
	Next func(s S, yield func(Did, S))
	// Wrong says what is wrong with a state, "" if nothing is.
	Wrong func(S) string
}

// Result is what a search has come to.
type Result struct {
	States int // distinct ones that were reached
	Depth  int // steps to the last of them, on the shortest way
	Whole  bool
	// Wrong says what is wrong with the nearest state that is, "" if none is, and Trace has the steps to it.
	Wrong string
	Trace []Did
}

// String returns the trace in lines that can be read as a story.
func (r Result) String() string {
	var b strings.Builder
	for i, d := range r.Trace {
		fmt.Fprintf(&b, "%3d  %s\n", i+1, d)
	}
	if r.Wrong != "" {
		fmt.Fprintf(&b, "     WRONG: %s\n", r.Wrong)
	}
	fmt.Fprintf(&b, "     (%d states, %d steps deep)", r.States, r.Depth)
	return b.String()
}

// reached is how a state was reached first: by which step of which state before.
type reached struct {
	from int32
	nth  int32
}

// Search visits all states breadth first, so that the first wrong one is the nearest. It ends at that one, or when
// there are no more, or after limit states; Whole tells. States are told apart by a hash of 64 bits: that two of a
// million share one, so that one of them is missed, has a probability below 1 in 10 million.
func (sp Space[S]) Search(limit int) Result {
	type open struct {
		state S
		index int32
	}
	var (
		seed  = maphash.MakeSeed()
		seen  = make(map[uint64]struct{})
		ways  []reached
		layer []open
		r     Result
	)
	// visit reports whether the search is over.
	visit := func(s S, way reached, into *[]open) bool {
		h := maphash.Comparable(seed, s)
		if _, ok := seen[h]; ok {
			return false
		}
		seen[h] = struct{}{}
		*into = append(*into, open{s, int32(len(ways))})
		ways = append(ways, way)
		if r.Wrong = sp.Wrong(s); r.Wrong != "" {
			return true
		}
		return len(ways) >= limit
	}
	over := false
	for i, s := range sp.Begin {
		over = over || visit(s, reached{-1, int32(i)}, &layer)
	}
	for !over && len(layer) > 0 {
		var next []open
		for _, o := range layer {
			nth := int32(0)
			sp.Next(o.state, func(_ Did, s S) {
				over = over || visit(s, reached{o.index, nth}, &next)
				nth++
			})
			if over {
				break
			}
		}
		layer = next
		if len(layer) > 0 {
			r.Depth++
		}
	}
	r.States, r.Whole = len(ways), !over
	if r.Wrong != "" {
		r.Trace = sp.retrace(ways)
	}
	return r
}

// retrace finds the steps to the state reached last, by making them again.
func (sp Space[S]) retrace(ways []reached) (trace []Did) {
	var path []int32
	at := ways[len(ways)-1]
	for ; at.from >= 0; at = ways[at.from] {
		path = append(path, at.nth)
	}
	state := sp.Begin[at.nth]
	for i := len(path) - 1; i >= 0; i-- {
		nth := int32(0)
		var next S
		sp.Next(state, func(d Did, s S) {
			if nth == path[i] {
				trace = append(trace, d)
				next = s
			}
			nth++
		})
		state = next
	}
	return trace
}
