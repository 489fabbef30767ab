package report

import (
	"slices"
	"strings"
	"testing"

	"vidmeta/bench/result"
)

func headline(t *testing.T, r *result.Report, scenario, claim string) Headline {
	t.Helper()
	for _, h := range Headlines(r) {
		if h.Scenario == scenario && strings.Contains(h.Claim, claim) {
			return h
		}
	}
	t.Fatalf("no headline of %s says %q", scenario, claim)
	return Headline{}
}

func TestHeadlines(t *testing.T) {
	r := sampleReport()
	for _, want := range []struct {
		scenario, claim, measured string
	}{
		{Handler, "constant-echo", "0.979 ×"}, // 47 of 48
		{Handler, "constant-http", "0.94 ×"},
		{Zipf, "against mysql", "10 ×"},
		{Zipf, "against redis", "3.33 ×"},
		{Zipf, "fastest library", "1.33 ×, jetcache-go"},
		{Zipf, "fastest proxy", "1.05 ×, nginx"},
		{Zipf, "statements in MySQL", "0.4"},
		{Zipf, "p99", "0.9 ×, local"},
		{Batch, "documents a second", "10 ×"},
		{Cold, "documents loaded", "25"},
		{"web12", "10 %", "3 points"},
		{"orm-busy", "25 %", "3 points"},
	} {
		h := headline(t, r, want.scenario, want.claim)
		if h.Measured != want.measured || !h.Known || !h.Holds {
			t.Errorf("%s, %s: measured %q, known %v, holds %v; want %q that holds",
				want.scenario, want.claim, h.Measured, h.Known, h.Holds, want.measured)
		}
	}
}

// Each of these breaks one headline.
func TestHeadlinesThatDoNotHold(t *testing.T) {
	of := func(r *result.Report, scenario, arm string, change func(*result.Run)) {
		a := worlds(r)[scenario].arm(arm)
		for i := range a.Runs {
			change(&a.Runs[i])
		}
	}
	for _, c := range []struct {
		scenario, claim string
		spoil           func(*result.Report)
	}{
		{Handler, "constant-echo", func(r *result.Report) {
			of(r, Handler, Vidmeta, func(r *result.Run) { r.Capacity.Rate *= 0.96 })
		}},
		{Zipf, "against mysql", func(r *result.Report) { of(r, Zipf, "mysql", func(r *result.Run) { r.Capacity.Rate *= 1.26 }) }},
		{Zipf, "fastest library", func(r *result.Report) { of(r, Zipf, "gocache", func(r *result.Run) { r.Capacity.Rate *= 2 }) }},
		{Zipf, "fastest proxy", func(r *result.Report) { of(r, Zipf, "varnish", func(r *result.Run) { r.Capacity.Rate *= 2 }) }},
		{Zipf, "statements", func(r *result.Report) { of(r, Zipf, Vidmeta, func(r *result.Run) { r.Capacity.MySQL *= 13 }) }},
		{Zipf, "p99", func(r *result.Report) { of(r, Zipf, "varnish", func(r *result.Run) { r.Paced.Latency.P99 = 1 }) }},
		{Batch, "documents", func(r *result.Report) { of(r, Batch, "batch", func(r *result.Run) { r.Capacity.Documents /= 2 }) }},
		{Cold, "documents", func(r *result.Report) { of(r, Cold, Vidmeta, func(r *result.Run) { r.Warm.MySQL *= 3 }) }},
		{"web12", "10 %", func(r *result.Report) { r.Traces[0].Policies[2].Hits -= 0.0501 }},
	} {
		r := sampleReport()
		c.spoil(r)
		if h := headline(t, r, c.scenario, c.claim); h.Holds || !h.Known || h.Mark() != "✗" {
			t.Errorf("%s, %s: %+v, want one that was measured and does not hold", c.scenario, c.claim, h)
		}
	}
}

func TestHeadlinesOfNothing(t *testing.T) {
	all := Headlines(&result.Report{})
	if len(all) < 11 {
		t.Fatalf("%d headlines, want all that is wanted", len(all))
	}
	for _, h := range all {
		if h.Known || h.Holds || h.Measured != "not measured" || h.Wanted == "" || h.Mark() != "?" {
			t.Errorf("%+v, want one that was not measured", h)
		}
	}
}

// The machine is slower in some repeats than in others, so arms are compared within one, and a repeat that one of them lacks
// says nothing.
func TestRatiosAreTakenWithinARepeat(t *testing.T) {
	run := func(repeat int, rate float64) result.Run {
		return result.Run{Repeat: repeat, Capacity: &result.Load{Requests: 1, Documents: 1, Rate: rate}}
	}
	s := &result.Scenario{Name: Zipf, Arms: []result.Arm{
		{Name: "mysql", Runs: []result.Run{run(1, 100), run(2, 10), run(3, 1), {Repeat: 4}}},
		{Name: Vidmeta, Runs: []result.Run{run(3, 9), run(2, 110), run(1, 1000), run(4, 1e9), run(5, 1e9)}},
	}}
	v := viewOf(s)
	got := ratios(v.arm(Vidmeta), v.arm("mysql"), v.rate)
	slices.Sort(got)
	if !slices.Equal(got, []float64{9, 10, 11}) {
		t.Errorf("ratios %v, want 9, 10 and 11", got)
	}
	h := headline(t, &result.Report{Scenarios: []result.Scenario{*s}}, Zipf, "against mysql")
	if h.Measured != "10 (9–11) ×" || !h.Holds {
		t.Errorf("%+v, want 10 (9–11) × that holds", h)
	}
}
