package report

import (
	"fmt"
	"math"
	"slices"

	"vidmeta/bench/result"
)

// Headline is something that was wanted, and what was measured.
type Headline struct {
	Scenario string
	Claim    string
	Wanted   string
	Measured string // the median of the repeats and their range, or "not measured"
	Known    bool   // whether it was measured
	Holds    bool   // whether the median is as wanted
}

// The arms of the main scenario that others have written, the libraries and the proxies in front of MySQL.
var (
	libraries = []string{"rockscache", "jetcache-go", "gocache", "go-zero"}
	proxies   = []string{"nginx", "varnish"}
)

// The policies of recorded traces that are compared: the service's own, and what nobody has to explain.
const (
	localTier = "local tier"
	plainLRU  = "lru"
)

// tracePoints is how much worse than a plain LRU the local tier may do on a recorded trace, in points of a hundred.
const tracePoints = 2

// Headlines compares with what is wanted. The figures of a ratio are those of one repeat, in which the arms ran right after
// each other; of the ratios the median decides.
func Headlines(r *result.Report) []Headline {
	w := worlds(r)
	return slices.Concat([]Headline{
		w.faster(Handler, 0.95, "constant-echo"),
		w.faster(Handler, 0.90, "constant-http"),
		w.faster(Zipf, 8, "mysql"),
		w.faster(Zipf, 3, "redis"),
		w.ahead("library", libraries),
		w.ahead("proxy", proxies),
		w.statements(),
		w.latency(),
		w.batch(),
		w.cold(),
	}, traceHeadlines(r))
}

// world finds a report's scenarios and their arms by name.
type world map[string]view

func worlds(r *result.Report) world {
	w := world{}
	for i := range r.Scenarios {
		w[r.Scenarios[i].Name] = viewOf(&r.Scenarios[i])
	}
	return w
}

func (v view) arm(name string) *result.Arm {
	if v.Scenario != nil {
		for i := range v.Arms {
			if v.Arms[i].Name == name {
				return &v.Arms[i]
			}
		}
	}
	return &result.Arm{Name: name}
}

// ratios are those of one arm's figure to another's, for each repeat that has both.
func ratios(a, b *result.Arm, of figure) (all []float64) {
	for i := range a.Runs {
		for j := range b.Runs {
			if a.Runs[i].Repeat != b.Runs[j].Repeat {
				continue
			}
			x, okX := of(&a.Runs[i])
			y, okY := of(&b.Runs[j])
			if q, ok := ratio(x, y); ok && okX && okY {
				all = append(all, q)
			}
		}
	}
	return all
}

// judged fills in what was measured. unit is put behind the figures.
func (h Headline) judged(figures []float64, unit string, holds func(median float64) bool) Headline {
	if h.Measured, h.Known = "not measured", len(figures) > 0; h.Known {
		m := result.RangeOf(figures)
		h.Measured, h.Holds = spread(m, true)+unit, holds(m.Median)
	}
	return h
}

func atLeast(least float64) func(float64) bool { return func(f float64) bool { return f >= least } }

func (w world) faster(scenario string, least float64, than string) Headline {
	v := w[scenario]
	ours, theirs := v.arm(Vidmeta), v.arm(than)
	h := Headline{
		Scenario: scenario, Claim: "requests a second, against " + than, Wanted: fmt.Sprintf("at least %g ×", least),
	}.judged(ratios(ours, theirs, v.rate), " ×", atLeast(least))
	for _, a := range []*result.Arm{ours, theirs} {
		if busy, ok := over(a, v.loadBusy); ok && busy.Median >= saturated {
			h.Known, h.Measured = false, h.Measured+", of a load that could do no more with "+a.Name
		}
	}
	return h
}

// ahead compares with whoever is the best of others in each repeat.
func (w world) ahead(kind string, others []string) Headline {
	v := w[Zipf]
	best, who := v.best(others, v.rate, true)
	h := Headline{Scenario: Zipf, Claim: "requests a second, against the fastest " + kind, Wanted: "more than 1 ×"}
	return h.judged(ratios(v.arm(Vidmeta), best, v.rate), " ×, "+who, func(f float64) bool { return f > 1 })
}

// best is an arm made of the runs of others with the largest or smallest figure of each repeat, and whose they mostly are.
func (v view) best(others []string, of figure, largest bool) (best *result.Arm, who string) {
	best = &result.Arm{}
	won := map[string]int{}
	winner := map[int]string{}
	runs := map[int]*result.Run{}
	for _, name := range others {
		a := v.arm(name)
		for i := range a.Runs {
			r := &a.Runs[i]
			f, ok := of(r)
			if !ok {
				continue
			}
			if old := runs[r.Repeat]; old != nil {
				if g, _ := of(old); f == g || (f > g) != largest {
					continue
				}
			}
			runs[r.Repeat], winner[r.Repeat] = r, name
		}
	}
	for repeat, r := range runs {
		best.Runs = append(best.Runs, *r)
		won[winner[repeat]]++
	}
	for _, name := range others {
		if won[name] > won[who] {
			who = name
		}
	}
	return best, who
}

func (w world) statements() Headline {
	v, h := w[Zipf], Headline{Scenario: Zipf, Claim: "statements in MySQL for 100 requests", Wanted: "at most 5"}
	per100 := v.perRequest(func(l *result.Load) float64 { return 100 * mysql(l) })
	return h.judged(figures(v.arm(Vidmeta), per100), "", func(f float64) bool { return f <= 5 })
}

func figures(a *result.Arm, of figure) (all []float64) {
	for i := range a.Runs {
		if f, ok := of(&a.Runs[i]); ok {
			all = append(all, f)
		}
	}
	return all
}

func (w world) latency() Headline {
	v, h := w[Zipf], Headline{
		Scenario: Zipf, Wanted: "less than 1 ×",
		Claim: "p99 at half of what the arm can do, against the lowest of the other arms",
	}
	var others []string
	if v.Scenario != nil {
		for i := range v.Arms {
			if v.Arms[i].Name != Vidmeta {
				others = append(others, v.Arms[i].Name)
			}
		}
	}
	best, who := v.best(others, v.latency(p99), false)
	return h.judged(ratios(v.arm(Vidmeta), best, v.latency(p99)), " ×, "+who, func(f float64) bool { return f < 1 })
}

func (w world) batch() Headline {
	v, h := w[Batch], Headline{
		Scenario: Batch, Claim: "documents a second in batches of 100, against single reads", Wanted: "at least 8 ×",
	}
	return h.judged(ratios(v.arm("batch"), v.arm("single"), v.rate), " ×", atLeast(8))
}

func (w world) cold() Headline {
	v, h := w[Cold], Headline{
		Scenario: Cold, Claim: "documents loaded by a statement in MySQL", Wanted: "at least 10",
	}
	loaded := func(r *result.Run) (float64, bool) {
		l := v.busy(r)
		if l == nil {
			return 0, false
		}
		documents := l.Documents
		if origin := l.Tiers["origin"]; origin > 0 {
			documents = origin // the others had been loaded before
		}
		return ratio(float64(documents), float64(l.MySQL))
	}
	return h.judged(figures(v.arm(Vidmeta), loaded), "", atLeast(10))
}

// traceHeadlines has a line for each trace and each of two rooms.
func traceHeadlines(r *result.Report) (all []Headline) {
	traces := r.Traces
	if len(traces) == 0 {
		traces = []result.Trace{{Name: "traces"}}
	}
	for _, t := range traces {
		for _, room := range []float64{0.10, 0.25} {
			own, okOwn := hits(t, localTier, room)
			lru, okLRU := hits(t, plainLRU, room)
			var points []float64
			if okOwn && okLRU {
				points = append(points, 100*(own-lru))
			}
			h := Headline{
				Scenario: t.Name, Wanted: fmt.Sprintf("at least -%d points", tracePoints),
				Claim: fmt.Sprintf("hits of the local tier less those of a plain LRU, room for %g %% of the keys", 100*room),
			}
			all = append(all, h.judged(points, " points", atLeast(-tracePoints)))
		}
	}
	return all
}

// hits is the share of a trace that a policy answers with a room.
func hits(t result.Trace, policy string, room float64) (float64, bool) {
	for _, p := range t.Policies {
		if p.Name == policy && math.Abs(p.Room-room) < 1e-6 {
			return finite(p.Hits, true)
		}
	}
	return 0, false
}
