package report

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"vidmeta/bench/result"
)

// none stands where nothing was measured.
const none = "–"

// figure is something that a run has, or has not.
type figure func(*result.Run) (float64, bool)

// view is which of a scenario's loads a figure is taken from.
type view struct {
	*result.Scenario
	batches bool // requests ask for several documents
}

func viewOf(s *result.Scenario) view {
	v := view{Scenario: s}
	for _, a := range s.Arms {
		for i := range a.Runs {
			l := v.busy(&a.Runs[i])
			v.batches = v.batches || l != nil && l.Documents > l.Requests
		}
	}
	return v
}

// busy is the load that the arm did as fast as it could.
func (v view) busy(r *result.Run) *result.Load {
	if v.Name == Cold {
		return r.Warm
	}
	return r.Capacity
}

// calm is the load that tells latencies.
func (v view) calm(r *result.Run) *result.Load {
	if v.Name == Cold {
		return r.Warm
	}
	return r.Paced
}

// counted is the load whose statements, commands and CPU time are told: the one with the most requests in it, or, where
// nobody asked what the arm can do, the other.
func (v view) counted(r *result.Run) *result.Load {
	if l := v.busy(r); l != nil {
		return l
	}
	return v.calm(r)
}

// Nothing that is measured here is larger or smaller than these, whatever its unit: it is a mistake, and would be the only
// thing to be seen in a chart.
const (
	huge = 1e15
	tiny = 1e-12
)

// finite turns down what is no number, so that medians and charts need not care.
func finite(f float64, ok bool) (float64, bool) {
	return f, ok && math.Abs(f) <= huge // which holds neither for infinities nor for what is no number
}

func ratio(of, by float64) (float64, bool) { return finite(of/by, by > 0) }

// rate is answers a second, or documents where requests ask for several.
func (v view) rate(r *result.Run) (float64, bool) {
	l := v.busy(r)
	switch {
	case l == nil:
		return 0, false
	case v.batches:
		return ratio(float64(l.Documents), float64(l.Took))
	}
	return finite(l.Rate, l.Requests > 0)
}

func (v view) latency(at func(*result.Spread) result.Millis) figure {
	return func(r *result.Run) (float64, bool) {
		l := v.calm(r)
		if l == nil {
			return 0, false
		}
		return finite(float64(at(&l.Latency)), l.Latency.Count > 0)
	}
}

func p50(s *result.Spread) result.Millis { return s.P50 }
func p99(s *result.Spread) result.Millis { return s.P99 }

// perRequest is a count of a load, for each of its requests.
func (v view) perRequest(count func(*result.Load) float64) figure {
	return func(r *result.Run) (float64, bool) {
		l := v.counted(r)
		if l == nil {
			return 0, false
		}
		return ratio(count(l), float64(l.Requests))
	}
}

func mysql(l *result.Load) float64 { return float64(l.MySQL) }
func redis(l *result.Load) float64 { return float64(l.Redis) }

// cpu is microseconds a request of one of those who worked, or of all together if who is "".
func (v view) cpu(who string) figure {
	return func(r *result.Run) (sum float64, ok bool) {
		l := v.counted(r)
		if l == nil {
			return 0, false
		}
		for name, us := range l.CPU {
			if who == "" || who == name {
				sum, ok = sum+float64(us), true
			}
		}
		return finite(sum, ok)
	}
}

// tiers are the shares of the reads that each tier answered, over all runs of an arm.
func (v view) tiers(a *result.Arm) map[string]float64 {
	sums, all := map[string]float64{}, 0.0
	for i := range a.Runs {
		if l := v.counted(&a.Runs[i]); l != nil {
			for tier, n := range l.Tiers {
				sums[tier] += float64(n)
				all += float64(n)
			}
		}
	}
	for tier := range sums {
		sums[tier] /= max(all, 1)
	}
	return sums
}

// inOrder returns the names of parts: those that are known in their order, then others by the alphabet.
func inOrder[V any](known []string, parts ...map[string]V) (names []string) {
	for _, p := range parts {
		for name := range p {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	place := func(name string) int {
		if i := slices.Index(known, name); i >= 0 {
			return i
		}
		return len(known)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := place(a) - place(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names
}

var (
	tierOrder = []string{"local", "proxy", "redis", "origin"} // from near to far
	cpuOrder  = []string{"arm", "sidecar", "redis", "mysql"}
)

// stale is what is known of answers that lacked a change: of the loads that count, over all runs.
func (v view) stale(a *result.Arm) (stale, checked int64, late result.Range) {
	var p99s []float64
	for i := range a.Runs {
		busy, calm := v.busy(&a.Runs[i]), v.calm(&a.Runs[i])
		loads := []*result.Load{busy, calm}
		if busy == calm {
			loads = loads[:1]
		}
		for _, l := range loads {
			if l == nil {
				continue
			}
			stale += l.Staleness.Stale
			checked += l.Staleness.Checked
			if at, ok := finite(float64(l.Staleness.Late.P99), l.Staleness.Stale > 0); ok {
				p99s = append(p99s, at)
			}
		}
	}
	return stale, checked, result.RangeOf(p99s)
}

// typical is the run whose figure is the median, or nil if no run has it.
func typical(a *result.Arm, of figure) *result.Run {
	var with []*result.Run
	for i := range a.Runs {
		if _, ok := of(&a.Runs[i]); ok {
			with = append(with, &a.Runs[i])
		}
	}
	if len(with) == 0 {
		return nil
	}
	slices.SortStableFunc(with, func(x, y *result.Run) int {
		fx, _ := of(x)
		fy, _ := of(y)
		switch {
		case fx < fy:
			return -1
		case fx > fy:
			return 1
		}
		return 0
	})
	return with[(len(with)-1)/2]
}

// over is the range of a figure over an arm's runs, and whether any has it.
func over(a *result.Arm, of figure) (result.Range, bool) {
	return a.Over(of), typical(a, of) != nil
}

// number writes three digits that matter: 45,100 or 0.421.
func number(f float64) string {
	if _, ok := finite(f, true); !ok {
		return none
	}
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 3, 64), 64)
	if err != nil {
		return none
	}
	return humanize.Commaf(rounded)
}

func percent(share float64) string { return number(100*share) + " %" }

// spread writes a median with its range, if there is one.
func spread(r result.Range, known bool) string {
	switch {
	case !known:
		return none
	case number(r.Min) == number(r.Max):
		return number(r.Median)
	}
	return number(r.Median) + " (" + number(r.Min) + "–" + number(r.Max) + ")"
}

// seldom is a median of what somebody always does a little of, which is no figure of an arm's.
func seldom(r result.Range, known bool) string {
	if known && r.Median < 0.001 {
		return "0"
	}
	return median(r, known)
}

func median(r result.Range, known bool) string {
	if !known {
		return none
	}
	return number(r.Median)
}
