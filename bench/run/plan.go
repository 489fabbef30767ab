package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"vidmeta/bench/load"
)

// Plan says what to measure. Short and Full return the usual ones.
type Plan struct {
	Servers Servers
	// Program is the path of vidmeta-bench itself, which is run for each arm; Vidmeta is that of vidmeta.
	Program, Vidmeta string
	// Out is a folder for the logs of the arms and for profiles. It must exist.
	Out string

	Scenarios []string      // by name; none means all of those that the plan knows
	Arms      []string      // only these, where a scenario has them; none means all
	Repeats   int           // turns of each arm in the scenarios that headlines are about
	Others    int           // turns of each arm in other scenarios
	Measure   time.Duration // of one load
	Warm      time.Duration // before it
	Clients   int           // connections of a closed loop
	Videos    int           // documents
	Hot       int           // documents that the ones with few keys use
	Cold      int           // documents that are loaded into empty caches
	Skew      float64       // of the Zipf distribution
	Writes    float64       // transactions for each request
	TTL       time.Duration // of what the arms with nothing but a TTL keep in the process
	RedisTTL  time.Duration // of what they keep in Redis
	Local     int64         // bytes for local tiers
	Shared    bool          // load, servers and arms share all processors, rather than the load having half of them
	Empty     bool          // turns begin with nothing in the process, even of arms that would have kept it
	Profile   bool          // take CPU and heap profiles of the arms, in one more turn
	Traces    []string      // recorded traces to compare policies on
	Rooms     []float64     // with room for such shares of their keys
	Mixes     []float64     // further shares of writes, each a scenario
}

// Short is what make bench does: under 8 minutes on 2 cores.
func Short() Plan {
	return Plan{
		Repeats: 5, Others: 5, Measure: 700 * time.Millisecond, Warm: 2 * time.Second, Clients: 64,
		Videos: 100_000, Hot: 10_000, Cold: 3_000, Skew: 0.99, Writes: 0.01,
		TTL: 2 * time.Second, RedisTTL: 10 * time.Minute, Local: 256 << 20,
		Scenarios: []string{"handler", "zipf", "batch", "cold"},
		Traces:    []string{"web12"}, Rooms: []float64{0.10, 0.25},
	}
}

// Full is what make bench-full does: every scenario, with longer loads; 45 minutes on 2 cores.
func Full() Plan {
	p := Short()
	p.Scenarios = nil
	p.Others = 2
	p.Measure, p.Warm = 2*time.Second, 2500*time.Millisecond
	p.Traces = []string{"web12", "orm-busy"}
	p.Rooms = []float64{0.01, 0.05, 0.10, 0.25}
	p.Mixes = []float64{0, 0.05, 0.10}
	p.Profile = true
	p.Cold = 20_000
	return p
}

func (p *Plan) validate() error {
	switch {
	case p.Repeats < 1 || p.Others < 1:
		return fmt.Errorf("%d repeats, %d of other scenarios: at least 1 is needed", p.Repeats, p.Others)
	case p.Measure < 100*time.Millisecond:
		return fmt.Errorf("measuring for %v: at least 100ms are needed", p.Measure)
	case p.Warm <= 0:
		return fmt.Errorf("warming for %v: it takes some time", p.Warm)
	case p.Clients < 1:
		return fmt.Errorf("%d clients: at least 1 is needed", p.Clients)
	case p.Videos < p.Cold || p.Cold < 1:
		return fmt.Errorf("%d videos, %d of them cold: there must be as many as are cold, and one at least", p.Videos, p.Cold)
	case p.Videos < p.Hot || p.Hot < 1:
		return fmt.Errorf("%d videos, %d of them hot: there must be as many as are hot, and one at least", p.Videos, p.Hot)
	case !(p.Skew >= 0 && p.Skew <= load.MaxSkew):
		return fmt.Errorf("a Zipf skew of %v: between 0 and %d is possible", p.Skew, load.MaxSkew)
	}
	for _, share := range append([]float64{p.Writes}, p.Mixes...) {
		if !(share >= 0 && share <= 1) {
			return fmt.Errorf("%v writes for each request: between 0 and 1 is possible", share)
		}
	}
	all := p.scenarios()
	known := names(all)
	for _, s := range p.Scenarios {
		if !slices.Contains(known, s) {
			return fmt.Errorf("scenario %q: there are %v", s, known)
		}
	}
	for _, a := range p.Arms {
		takes := func(s scenario) bool {
			return slices.Contains(s.arms, a) && (len(p.Scenarios) == 0 || slices.Contains(p.Scenarios, s.name))
		}
		if !slices.ContainsFunc(all, takes) {
			return fmt.Errorf("arm %q: of the scenarios that are wanted none has it; there are: %s", a, p.casts())
		}
	}
	return nil
}

// casts says which arms the scenarios that are wanted have.
func (p *Plan) casts() string {
	var all []string
	for _, s := range p.scenarios() {
		if len(p.Scenarios) == 0 || slices.Contains(p.Scenarios, s.name) {
			all = append(all, s.name+": "+strings.Join(s.arms, " "))
		}
	}
	return strings.Join(all, "; ")
}

// wants reports whether an arm is to take part.
func (p *Plan) wants(arm string) bool { return len(p.Arms) == 0 || slices.Contains(p.Arms, arm) }

// Step says how far a run is.
type Step struct {
	Done, Total int    // turns
	What        string // the one that begins
}
