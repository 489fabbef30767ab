package run

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestPlansAreValid(t *testing.T) {
	for name, p := range map[string]Plan{"short": Short(), "full": Full()} {
		if err := p.validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Plan)
		says   string // "" means that it is fine
	}{
		{"nothing changed", func(*Plan) {}, ""},
		{"no repeats", func(p *Plan) { p.Repeats = 0 }, "0 repeats"},
		{"no repeats of others", func(p *Plan) { p.Others = 0 }, "0 of other"},
		{"loads too short", func(p *Plan) { p.Measure = 99 * time.Millisecond }, "99ms"},
		{"loads just long enough", func(p *Plan) { p.Measure = 100 * time.Millisecond }, ""},
		{"no warming", func(p *Plan) { p.Warm = 0 }, "warming"},
		{"no clients", func(p *Plan) { p.Clients = 0 }, "0 clients"},
		{"more hot than there are", func(p *Plan) { p.Hot = p.Videos + 1 }, "hot"},
		{"all are hot", func(p *Plan) { p.Hot = p.Videos }, ""},
		{"none is hot", func(p *Plan) { p.Hot = 0 }, "hot"},
		{"more cold than there are", func(p *Plan) { p.Cold = p.Videos + 1 }, "cold"},
		{"none is cold", func(p *Plan) { p.Cold = 0 }, "cold"},
		{"negative skew", func(p *Plan) { p.Skew = -0.1 }, "skew"},
		{"skew that is no number", func(p *Plan) { p.Skew = math.NaN() }, "skew"},
		{"endless skew", func(p *Plan) { p.Skew = math.Inf(1) }, "skew"},
		{"no skew", func(p *Plan) { p.Skew = 0 }, ""},
		{"negative writes", func(p *Plan) { p.Writes = -0.01 }, "writes"},
		{"more writes than requests", func(p *Plan) { p.Writes = 1.01 }, "writes"},
		{"a write for each request", func(p *Plan) { p.Writes = 1 }, ""},
		{"a mix with too many writes", func(p *Plan) { p.Mixes = []float64{0.5, 2} }, "2 writes"},
		{"a scenario that is not there", func(p *Plan) { p.Scenarios = []string{"zipf", "zipper"} }, `scenario "zipper"`},
		{"that of a mix", func(p *Plan) { p.Mixes, p.Scenarios = []float64{0.05}, []string{"zipf-05"} }, ""},
		{"that of a mix that was not asked for", func(p *Plan) { p.Scenarios = []string{"zipf-05"} }, `scenario "zipf-05"`},
		{"an arm that is not there", func(p *Plan) { p.Arms = []string{"mysql", "oracle"} }, `arm "oracle"`},
		{"an arm of another scenario", func(p *Plan) { p.Scenarios, p.Arms = []string{"zipf"}, []string{"batch"} }, `arm "batch"`},
		{"an arm of one of them", func(p *Plan) { p.Scenarios, p.Arms = []string{"zipf", "batch"}, []string{"single"} }, ""},
	} {
		p := Plan{
			Repeats: 1, Others: 1, Measure: time.Second, Warm: time.Second, Clients: 1, Videos: 10, Hot: 5, Cold: 10, Skew: 1, Writes: 0.5,
		}
		c.change(&p)
		switch err := p.validate(); {
		case c.says == "" && err != nil:
			t.Errorf("%s: refused: %v", c.name, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%s: error %v, want one about %q", c.name, err, c.says)
		}
	}
}

func TestChosen(t *testing.T) {
	p := Short()
	p.Scenarios, p.Arms = []string{"batch", "zipf", "cold"}, []string{"redis", "mysql"}
	some := p.chosen()
	if got := names(some); !slices.Equal(got, []string{"zipf", "cold"}) {
		t.Fatalf("scenarios = %v, want those that have one of the arms, in the report's order", got)
	}
	for _, s := range some {
		if !slices.Equal(s.arms, []string{"mysql", "redis"}) {
			t.Errorf("%s: arms = %v, want those that were asked for, in the report's order", s.name, s.arms)
		}
	}
	p = Full()
	if got, all := len(p.chosen()), len(p.scenarios()); got != all || all < 12+len(p.Mixes) {
		t.Errorf("%d scenarios of %d", got, all)
	}
}

func TestRounds(t *testing.T) {
	for _, c := range []struct {
		fill, profile bool
		first, last   int
	}{{false, false, 1, 3}, {true, false, 0, 3}, {false, true, 1, 4}, {true, true, 0, 4}} {
		p := Plan{Repeats: 3, Others: 2, Profile: c.profile}
		if first, last := p.rounds(&scenario{fill: c.fill, headline: true}); first != c.first || last != c.last {
			t.Errorf("%+v: rounds from %d to %d", c, first, last)
		}
		if first, last := p.rounds(&scenario{fill: c.fill}); first != c.first || last != c.last-1 {
			t.Errorf("%+v, without a headline: rounds from %d to %d", c, first, last)
		}
	}
}
