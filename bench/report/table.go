package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"vidmeta/bench/result"
)

// table is what both Markdown and the page show.
type table struct {
	Caption string
	Head    []string // the first column has names, the others figures
	Rows    [][]string
}

// tables of one scenario, those without a row left out.
func (v view) tables() (all []table) {
	for _, t := range []table{v.armTable(), v.stepTable()} {
		if len(t.Rows) > 0 {
			all = append(all, t)
		}
	}
	return all
}

func (v view) armTable() table {
	asked, when := "requests/s", "at half of what the arm can do"
	if v.batches {
		asked = "documents/s"
	}
	if v.Name == Cold {
		when = "while caches filled"
	}
	t := table{
		Caption: "Medians of the repeats, ranges in brackets. p50 and p99 are " + when + "; the other columns, " +
			"but for stale answers, are of the load that " + asked + " is of. × first is the ratio to the first arm in one round; " +
			"late, how long before the question a change was committed that the answer lacks; – is what was not measured.",
		Head: []string{
			"arm", asked, "× first", "p50 ms", "p99 ms", "answered by, %",
			"MySQL statements / 100 requests", "Redis messages / request",
			"CPU µs / request, arm", "CPU µs / request, all", "stale answers", "late, p99 ms",
		},
	}
	if !v.anyRate() {
		t.Caption = "Medians of the repeats, of the open loop alone."
	}
	for i := range v.Arms {
		a := &v.Arms[i]
		if !slices.ContainsFunc(a.Runs, func(r result.Run) bool { return v.counted(&r) != nil }) {
			continue
		}
		rate, known := over(a, v.rate)
		times := none
		if all := ratios(a, &v.Arms[0], v.rate); len(all) > 0 {
			times = number(result.RangeOf(all).Median)
		}
		stale, late := v.staleCells(a)
		t.Rows = append(t.Rows, []string{
			a.Name, spread(rate, known), times,
			median(over(a, v.latency(p50))), median(over(a, v.latency(p99))),
			v.tierCell(a),
			seldom(over(a, v.perRequest(func(l *result.Load) float64 { return 100 * mysql(l) }))),
			seldom(over(a, v.perRequest(redis))),
			median(over(a, v.cpu("arm"))), median(over(a, v.cpu(""))),
			stale, late,
		})
	}
	return t
}

// anyRate reports whether it is known of any arm what it can do.
func (v view) anyRate() bool {
	return slices.ContainsFunc(v.Arms, func(a result.Arm) bool { return typical(&a, v.rate) != nil })
}

func (v view) tierCell(a *result.Arm) string {
	tiers := v.tiers(a)
	var parts []string
	for _, tier := range inOrder(tierOrder, tiers) {
		if share := fmt.Sprintf("%.1f", 100*tiers[tier]); share != "0.0" {
			parts = append(parts, tier+" "+share)
		}
	}
	if len(parts) == 0 {
		return none
	}
	return strings.Join(parts, ", ")
}

// localCell is the share of the reads that needed no other process behind the one that was asked.
func (v view) localCell(a *result.Arm) string {
	tiers := v.tiers(a)
	if len(tiers) == 0 {
		return none
	}
	return number(100 * (tiers["local"] + tiers["proxy"]))
}

// staleCells are the share of stale answers and how late they were. A share of nothing says nothing; where none was found
// it matters among how many.
func (v view) staleCells(a *result.Arm) (share, late string) {
	stale, checked, range99 := v.stale(a)
	switch {
	case checked == 0:
		return none, none
	case stale == 0:
		return "0 of " + humanize.Comma(checked), none
	}
	return percent(float64(stale) / float64(checked)), median(range99, range99.Max > 0)
}

// stepTable has the rates of an open loop that rises, of the first repeat that has any.
func (v view) stepTable() table {
	t := table{
		Caption: "An open loop at rates that rise; what is shown are the medians of the repeats.",
		Head:    []string{"arm", "offered/s", "answered/s", "p50 ms", "p99 ms", "errors"},
	}
	for i := range v.Arms {
		a := &v.Arms[i]
		for n := range steps(a) {
			at := func(of func(*result.Load) (float64, bool)) string { return median(over(a, step(n, of))) }
			errors := func(l *result.Load) (float64, bool) { return float64(l.Errors), true }
			t.Rows = append(t.Rows, []string{
				a.Name, at(offered), at(func(l *result.Load) (float64, bool) { return finite(l.Rate, true) }),
				at(stepLatency(p50)), at(stepLatency(p99)), at(errors),
			})
		}
	}
	return t
}

// steps is how many rates an arm was put to, at most.
func steps(a *result.Arm) (most int) {
	for _, r := range a.Runs {
		most = max(most, len(r.Steps))
	}
	return most
}

// step is a figure of the n-th rate.
func step(n int, of func(*result.Load) (float64, bool)) figure {
	return func(r *result.Run) (float64, bool) {
		if n >= len(r.Steps) {
			return 0, false
		}
		return of(&r.Steps[n])
	}
}

func offered(l *result.Load) (float64, bool) { return finite(l.Offered, l.Offered > 0) }

func stepLatency(at func(*result.Spread) result.Millis) func(*result.Load) (float64, bool) {
	return func(l *result.Load) (float64, bool) { return finite(float64(at(&l.Latency)), l.Latency.Count > 0) }
}

// notes are what a reader of the tables has to know: what arms are made of, and what went wrong.
func (v view) notes() (all []string) {
	for i := range v.Arms {
		a := &v.Arms[i]
		if a.About != "" {
			all = append(all, a.Name+": "+a.About)
		}
		if a.Note != "" {
			all = append(all, a.Name+", note: "+a.Note)
		}
		if r, ok := over(a, v.loadBusy); ok && r.Median >= saturated {
			all = append(all, fmt.Sprintf("%s: the load used %s of its own processors; with more, the arm might do more",
				a.Name, percent(r.Median)))
		}
		failed, first := int64(0), ""
		for _, r := range a.Runs {
			for _, l := range []*result.Load{r.Warm, r.Capacity, r.Paced} { // of steps that are too much the table tells
				if l != nil && l.Errors > 0 {
					failed += l.Errors
					if first == "" {
						first = l.Error
					}
				}
			}
		}
		if failed > 0 {
			all = append(all, fmt.Sprintf("%s: %s requests failed, the first of them: %s", a.Name, humanize.Comma(failed), first))
		}
	}
	if stolen := v.stolen(); stolen.Max >= noticeable {
		all = append(all, fmt.Sprintf("The host gave %s of the processors' time to other guests (the median of all loads; at most %s): "+
			"figures of such loads are worse than they would be.", percent(stolen.Median), percent(stolen.Max)))
	}
	return all
}

const (
	saturated  = 0.95 // share of its processors with which the load is what cannot do more
	noticeable = 0.01 // share of all processors
)

func (v view) loadBusy(r *result.Run) (float64, bool) {
	l := v.busy(r)
	if l == nil {
		return 0, false
	}
	return finite(l.Busy, l.Busy > 0)
}

// stolen is the share of the processors that the host gave to others, over all loads that count.
func (v view) stolen() result.Range {
	var all []float64
	for i := range v.Arms {
		for _, l := range loads(&v.Arms[i]) {
			if f, ok := finite(l.Stolen, true); ok {
				all = append(all, f)
			}
		}
	}
	return result.RangeOf(all)
}

// traceTable has a row for each policy of each trace, and a column for each room that any of them was given.
func traceTable(traces []result.Trace) table {
	var rooms []float64
	for _, tr := range traces {
		for _, p := range tr.Policies {
			if _, ok := finite(p.Room, true); ok && !slices.Contains(rooms, p.Room) {
				rooms = append(rooms, p.Room)
			}
		}
	}
	slices.Sort(rooms)
	t := table{
		Caption: "Share of the requests that a tier answers, in %, with room for a share of the keys.",
		Head:    []string{"trace, policy"},
	}
	for _, room := range rooms {
		t.Head = append(t.Head, percent(room)+" of the keys")
	}
	for _, tr := range traces {
		for _, name := range policies(tr) {
			row := []string{tr.Name + ", " + name}
			for _, room := range rooms {
				cell := none
				if h, ok := hits(tr, name, room); ok {
					cell = fmt.Sprintf("%.1f", 100*h)
				}
				row = append(row, cell)
			}
			t.Rows = append(t.Rows, row)
		}
	}
	return t
}

// policies are a trace's, in the order in which they came.
func policies(tr result.Trace) (names []string) {
	for _, p := range tr.Policies {
		if !slices.Contains(names, p.Name) {
			names = append(names, p.Name)
		}
	}
	return names
}

// machine says where and of what it was measured, in parts.
func machine(r *result.Report) (parts []string) {
	m := r.Machine
	add := func(known bool, format string, a ...any) {
		if known {
			parts = append(parts, fmt.Sprintf(format, a...))
		}
	}
	add(m.Cores > 0, "%d cores", m.Cores)
	add(m.CPU != "", "%s", m.CPU)
	add(m.MemoryMB > 0, "%s MB", humanize.Comma(m.MemoryMB))
	add(m.Kernel != "", "Linux %s", m.Kernel)
	add(m.Go != "", "Go %s", m.Go)
	add(m.MySQL != "", "MySQL: %s", m.MySQL)
	add(m.Redis != "", "Redis: %s", m.Redis)
	return parts
}

// origins says when and from what it was measured, in parts.
func origins(r *result.Report) (parts []string) {
	if !r.Started.IsZero() {
		parts = append(parts, r.Started.UTC().Format("2006-01-02 15:04 MST"))
	}
	if r.Commit != "" {
		parts = append(parts, "commit "+r.Commit)
	}
	if took, ok := finite(float64(r.Took), r.Took > 0); ok {
		parts = append(parts, fmt.Sprintf("took %.0f s", took))
	}
	if why, _, _ := strings.Cut(r.Cut, "\n"); why != "" {
		parts = append(parts, "cut short, so that this is not all: "+why)
	}
	return parts
}

// settings are a report's, by name.
func settings(r *result.Report) table {
	t := table{Head: []string{"setting", "value"}}
	for _, name := range inOrder(nil, r.Settings) {
		t.Rows = append(t.Rows, []string{name, r.Settings[name]})
	}
	return t
}
