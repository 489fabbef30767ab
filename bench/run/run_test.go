package run

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vidmeta/bench/result"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// steps notes what a run tells of its progress.
type steps struct {
	told         []Step
	seeded, many int
}

func (s *steps) turn(step Step)        { s.told = append(s.told, step) }
func (s *steps) video(done, total int) { s.seeded, s.many = done, total }
func (s *steps) begun(prefix string) int { // how many turns began whose text begins so
	n := 0
	for _, step := range s.told {
		if strings.HasPrefix(step.What, prefix) {
			n++
		}
	}
	return n
}

// loads are all of a run, by a name.
func loads(r *result.Run) map[string]*result.Load {
	all := map[string]*result.Load{"warm": r.Warm, "capacity": r.Capacity, "paced": r.Paced}
	for i := range r.Steps {
		all["step "+string(rune('a'+i))] = &r.Steps[i]
	}
	for name, l := range all {
		if l == nil {
			delete(all, name)
		}
	}
	return all
}

func find(t *testing.T, r *result.Report, scenario, arm string) *result.Run {
	t.Helper()
	for i := range r.Scenarios {
		if r.Scenarios[i].Name != scenario {
			continue
		}
		for _, a := range r.Scenarios[i].Arms {
			if a.Name == arm && len(a.Runs) == 1 {
				return &a.Runs[0]
			}
		}
	}
	t.Fatalf("%s has no run of %s", scenario, arm)
	return nil
}

// TestRun measures in nearly every scenario, for so short a time that the figures say nothing but what they must say.
func TestRun(t *testing.T) {
	leavesNothing(t)
	p := small(t)
	p.Arms = []string{"mysql", "vidmeta", "no-local", "no-local+no-jitter", "single", "batch"}
	both := []string{"mysql", "vidmeta"}
	want := []struct {
		scenario string
		arms     []string
		loads    string // those of each run
	}{
		{"handler", []string{"vidmeta"}, "capacity paced"},
		{"zipf", both, "capacity paced"},
		{"mechanisms", []string{"vidmeta", "no-local"}, "capacity paced"},
		{"batch", []string{"single", "batch"}, "capacity"},
		{"cold", both, "warm"},
		{"expiry", []string{"no-local", "no-local+no-jitter"}, "paced warm"},
		{"ramp", both, "step a"},
		{"shifting", both, "capacity paced"},
		{"uniform", both, "capacity paced"},
		{"hot-key", both, "capacity paced"},
		{"missing", both, "capacity paced"},
	}
	turns := 0
	for _, w := range want {
		p.Scenarios = append(p.Scenarios, w.scenario)
		turns += len(w.arms)
	}
	fills := 2 * 5 // zipf, mechanisms, ramp, shifting, uniform
	var told steps
	r, err := Run(t.Context(), p, told.turn, told.video)
	if err != nil {
		t.Fatal(err)
	}

	for i, step := range told.told {
		if step.Done != i || step.Total != turns+fills {
			t.Errorf("step %d of what should be %d: %+v", i, turns+fills, step)
		}
	}
	if last := told.told[len(told.told)-1]; last.Done != last.Total || told.seeded != p.Videos || told.many != p.Videos {
		t.Errorf("at the end it told of %+v, and %d of %d videos", last, told.seeded, told.many)
	}
	m := r.Machine
	if m.CPU == "" || !strings.Contains(m.MySQL, "MariaDB") || r.Commit == "" || r.Took < 5 || r.Settings["clients"] != "8" {
		t.Errorf("machine %+v, commit %q, took %v s, settings %v", m, r.Commit, r.Took, r.Settings)
	}
	if len(r.Scenarios) != len(want) || len(r.Traces) != 0 {
		t.Fatalf("%d scenarios and %d traces, want %d and none", len(r.Scenarios), len(r.Traces), len(want))
	}
	for i, w := range want {
		s := r.Scenarios[i]
		var arms []string
		for _, a := range s.Arms {
			arms = append(arms, a.Name)
			if a.Note != "" || a.About == "" || len(a.Runs) != 1 || a.Runs[0].Repeat != 1 {
				t.Errorf("%s, %s: %d runs, about %q, note %q", s.Name, a.Name, len(a.Runs), a.About, a.Note)
				continue
			}
			looksRight(t, s.Name, a.Name, w.loads, &a.Runs[0])
		}
		if s.Name != w.scenario || s.Title == "" || s.About == "" || !slices.Equal(arms, w.arms) {
			t.Errorf("scenario %d is %q with the arms %v, want %q with %v", i, s.Name, arms, w.scenario, w.arms)
		}
	}
	if !t.Failed() {
		lookRight(t, &p, r)
	}
}

// looksRight checks what holds for any arm in any scenario.
func looksRight(t *testing.T, scenario, arm, want string, r *result.Run) {
	t.Helper()
	var kinds []string
	var worked, database result.Micros // in all loads together: one may take less than the clock knows
	for name, l := range loads(r) {
		if name[:4] != "step" || name == "step a" {
			kinds = append(kinds, name)
		}
		at := strings.Join([]string{scenario, arm, name}, ", ")
		if l.Requests == 0 || l.Errors != 0 || l.Rate <= 0 || l.Took <= 0 || l.Clients != 8 || l.Latency.Count != l.Requests {
			t.Errorf("%s: %d requests, %d of them counted, %.0f a second for %v s with %d clients, %d errors: %s",
				at, l.Requests, l.Latency.Count, l.Rate, l.Took, l.Clients, l.Errors, l.Error)
		}
		worked += l.CPU["arm"] * result.Micros(l.Requests)
		database += l.CPU["mysql"] * result.Micros(l.Requests)
		if _, ok := l.CPU["redis"]; !ok {
			t.Errorf("%s: processor time of %v, and not of redis", at, l.CPU)
		}
		if _, ok := l.CPU["sidecar"]; ok != (arm != "mysql") {
			t.Errorf("%s: processor time of %v", at, l.CPU)
		}
		var tiers int64
		for _, n := range l.Tiers {
			tiers += n
		}
		// What is renewed after it was answered with is a read, too.
		if reads := l.Requests; scenario != "batch" && (tiers < reads || float64(tiers) > 1.1*float64(reads)+50) {
			t.Errorf("%s: %d reads by tiers, want about %d: %v", at, tiers, reads, l.Tiers)
		}
		// The writers' connections say what they want when they are made; a load is short.
		if reads := float64(l.Requests); arm == "mysql" && math.Abs(float64(l.MySQL)-reads) > 0.1*reads+50 {
			t.Errorf("%s: %d statements in MySQL for %.0f requests", at, l.MySQL, reads)
		}
		if arm == "no-local" && l.Redis < l.Requests/int64(10*l.Clients) {
			t.Errorf("%s: %d messages to Redis for %d requests", at, l.Redis, l.Requests)
		}
		if l.Offered == 0 && name == "paced" || l.Offered != 0 && name != "paced" && name[:4] != "step" {
			t.Errorf("%s: %v requests a second were offered", at, l.Offered)
		}
	}
	if slices.Sort(kinds); strings.Join(kinds, " ") != want {
		t.Errorf("%s, %s: loads %v, want %q", scenario, arm, kinds, want)
	}
	if worked <= 0 || arm == "mysql" && database <= 0 {
		t.Errorf("%s, %s: %v µs of processor time for the arm, %v for MySQL", scenario, arm, worked, database)
	}
}

// lookRight checks what scenarios are about.
func lookRight(t *testing.T, p *Plan, r *result.Report) {
	t.Helper()
	if l := find(t, r, "handler", "vidmeta").Capacity; l.Tiers["local"] < l.Requests*95/100 {
		t.Errorf("handler: %v of %d requests", l.Tiers, l.Requests)
	}
	for _, arm := range []string{"mysql", "vidmeta"} {
		if l := find(t, r, "cold", arm).Warm; l.Documents != int64(p.Videos) || l.Tiers["origin"] < l.Requests*95/100 {
			t.Errorf("cold, %s: %d documents of %d, %v", arm, l.Documents, p.Videos, l.Tiers)
		}
		for _, scenario := range []string{"zipf", "shifting", "uniform", "hot-key"} {
			run := find(t, r, scenario, arm)
			if run.Capacity.Writes == 0 || run.Paced.Writes == 0 || run.Capacity.Documents != run.Capacity.Requests {
				t.Errorf("%s, %s: %d and %d writes, %d documents in %d answers",
					scenario, arm, run.Capacity.Writes, run.Paced.Writes, run.Capacity.Documents, run.Capacity.Requests)
			}
		}
		for _, scenario := range []string{"handler", "missing"} {
			if scenario == "handler" && arm == "mysql" {
				continue
			}
			if n := find(t, r, scenario, arm).Capacity.Writes; n != 0 {
				t.Errorf("%s, %s: %d writes", scenario, arm, n)
			}
		}
		if l := find(t, r, "missing", arm).Capacity; l.Documents != 0 {
			t.Errorf("missing, %s: %d documents that do not exist", arm, l.Documents)
		}
	}
	if l := find(t, r, "zipf", "vidmeta").Capacity; l.Tiers["origin"] > l.Requests/2 {
		t.Errorf("zipf: Redis was not full at the start: %v", l.Tiers)
	}
	if l := find(t, r, "mechanisms", "no-local").Capacity; l.Tiers["local"] != 0 || l.Tiers["redis"] == 0 {
		t.Errorf("without a local tier: %v", l.Tiers)
	}
	single, batch := find(t, r, "batch", "single").Capacity, find(t, r, "batch", "batch").Capacity
	if single.Documents != single.Requests || batch.Documents != batchSize*batch.Requests {
		t.Errorf("%d documents in %d answers one by one, %d in %d batches",
			single.Documents, single.Requests, batch.Documents, batch.Requests)
	}
	for _, arm := range []string{"no-local", "no-local+no-jitter"} {
		run := find(t, r, "expiry", arm)
		if run.Warm.Documents != int64(p.Hot) || run.Warm.Tiers["origin"] < int64(p.Hot)*95/100 {
			t.Errorf("expiry, %s: %d documents were loaded, of %d: %v", arm, run.Warm.Documents, p.Hot, run.Warm.Tiers)
		}
		// What was loaded first ends after 4 s, and so does what is loaded then: at least twice in a load of 12 s.
		if l := run.Paced; l.Tiers["origin"] < int64(p.Hot)*3/2 || l.MySQL == 0 {
			t.Errorf("expiry, %s: %v, %d statements for what had expired", arm, l.Tiers, l.MySQL)
		}
	}
	for i, l := range find(t, r, "ramp", "vidmeta").Steps {
		if want := rampRates[i]; l.Offered != want {
			t.Errorf("ramp: step %d offers %v a second, want %v", i, l.Offered, want)
		}
	}
}

// TestInterrupted ends a run while an arm serves.
func TestInterrupted(t *testing.T) {
	leavesNothing(t)
	p := small(t)
	p.Servers.Dir = filepath.Join(t.TempDir(), "new", "servers")
	p.Scenarios, p.Arms = []string{"cold", "hot-key", "missing"}, []string{"vidmeta"}
	p.Measure = time.Minute // nobody waits for that; a cold start ends by itself
	enough := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	var interrupted time.Time
	var watch sync.WaitGroup
	var told steps
	r, err := Run(ctx, p, func(s Step) {
		told.turn(s)
		if strings.HasPrefix(s.What, "hot-key") {
			watch.Go(func() {
				serves(t)
				interrupted = time.Now()
				cancel(enough)
			})
		}
	}, told.video)
	watch.Wait()
	if !errors.Is(err, enough) {
		t.Errorf("error = %v, want the cause", err)
	}
	if took := time.Since(interrupted); took > 30*time.Second {
		t.Errorf("it took %v to end", took)
	}
	if r == nil || len(r.Scenarios) != 2 || r.Machine.MySQL == "" || r.Took == 0 {
		t.Fatalf("report = %+v", r)
	}
	if a := r.Scenarios[0].Arms[0]; a.Name != "vidmeta" || len(a.Runs) != 1 || a.Note != "" {
		t.Errorf("what was measured before: %+v", a)
	}
	if s := r.Scenarios[1]; s.Name != "hot-key" || len(s.Arms[0].Runs) != 0 || s.Arms[0].Note != "" {
		t.Errorf("what was interrupted: %+v", s)
	}
	if n := len(told.told); n != 2 {
		t.Errorf("it told of %d turns, want the two that began: %v", n, told.told)
	}
}

// serves waits until a node of vidmeta runs.
func serves(t *testing.T) {
	deadline := time.After(time.Minute)
	for {
		for _, d := range descendants(t) {
			if strings.Contains(d.command, "vidmeta serve ") {
				return
			}
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			t.Error("no node serves")
			return
		}
	}
}

// TestArmThatCannotStart has others go on, before servers that were there already.
func TestArmThatCannotStart(t *testing.T) {
	p := small(t)
	p.Servers = Servers{MySQL: stacktest.Database(t, stack.MariaDB), Redis: stacktest.Redis(t)}
	leavesNothing(t)
	p.Vidmeta = filepath.Join(t.TempDir(), "nowhere")
	p.Scenarios, p.Arms, p.Others, p.Mixes = []string{"zipf-25"}, []string{"vidmeta", "mysql"}, 2, []float64{0.25}
	p.Measure, p.Profile = 100*time.Millisecond, true
	var told steps
	r, err := Run(t.Context(), p, told.turn, told.video)
	if err != nil {
		t.Fatal(err)
	}
	arms := r.Scenarios[0].Arms
	if a := arms[1]; a.Name != "vidmeta" || len(a.Runs) != 0 || !strings.Contains(a.Note, "no such file") {
		t.Errorf("an arm that cannot start: %+v", a)
	}
	if a := arms[0]; a.Name != "mysql" || len(a.Runs) != 2 || a.Note != "" || a.Runs[0].Repeat != 1 || a.Runs[1].Repeat != 2 {
		t.Errorf("another arm has %d runs and the note %q", len(a.Runs), a.Note)
	}
	for i := range arms[0].Runs {
		if l := arms[0].Runs[i].Capacity; float64(l.Writes) < 0.05*float64(l.Requests) || float64(l.Writes) > 0.25*float64(l.Requests) {
			t.Errorf("%d writes for %d requests, want a quarter, and no more", l.Writes, l.Requests)
		}
		// Servers of others run where nobody can see what they use.
		if cpu := arms[0].Runs[i].Capacity.CPU; cpu["arm"] <= 0 || len(cpu) != 1 {
			t.Errorf("processor time: %v", cpu)
		}
	}
	for _, name := range []string{"zipf-25-mysql.cpu.pprof", "zipf-25-mysql.heap.pprof", "zipf-25-mysql.log"} {
		if _, err := os.Stat(filepath.Join(p.Out, name)); err != nil {
			t.Error(err)
		}
	}
	if n := told.begun("zipf-25: mysql"); n != 4 { // the filling, two repeats, profiles
		t.Errorf("%d turns of an arm, want 4: %v", n, told.told)
	}
}

func TestRunRefusesBeforeItStartsAnything(t *testing.T) {
	var told steps
	r, err := Run(t.Context(), Plan{}, told.turn, told.video)
	if r != nil || err == nil || len(told.told) != 0 {
		t.Errorf("a plan that was refused: report %+v, error %v, progress %v", r, err, told.told)
	}
}
