package report

import (
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"

	"vidmeta/bench/result"
)

const lineHeight = 250

// charts are all that a scenario has the figures for.
func (v view) charts() ([]chart, error) {
	var all []chart
	for _, draw := range []func() (chart, error){
		v.throughput, v.hitShares, v.statements, v.cpuParts, v.nines, v.staleness, v.ramp, v.rateOverTime, v.originOverTime,
	} {
		c, err := draw()
		if err != nil {
			return nil, fmt.Errorf("report: scenario %s, chart %q: %w", v.Name, c.Title, err)
		}
		if c.SVG != "" || c.About != "" {
			all = append(all, c)
		}
	}
	return all, nil
}

// label says for those who do not see a chart what it is.
func (v view) label(title string) string { return v.Name + ": " + title }

func (v view) throughput() (c chart, err error) {
	unit := "requests/s"
	if v.batches {
		unit = "documents/s"
	}
	c.Title = "As fast as it can"
	var bars []bar
	for i := range v.Arms {
		if r, ok := over(&v.Arms[i], v.rate); ok {
			bars = append(bars, bar{
				name: v.Arms[i].Name, parts: []float64{r.Median}, colors: []paint{seriesPaint(v.colorOf(i))},
				low: r.Min, top: r.Max, label: number(r.Median),
			})
		}
	}
	if len(bars) == 0 {
		return c, nil
	}
	c.About = "Closed loop, " + unit + ": the median of the repeats, and their range."
	c.SVG, err = barChart(bars, width, unit, v.label(c.Title))
	return c, err
}

func (v view) nines() (c chart, err error) {
	c.Title = "Latency, by the nines"
	lines := v.lines(func(a *result.Arm) (xys plotter.XYs) {
		l := v.byNines(a)
		if l == nil {
			return nil
		}
		s := l.Latency
		least := 1 / max(float64(s.Count), 2)
		for _, q := range s.Curve {
			share := min(q.Share, 1-least) // of so many no more nines can be told
			if at, ok := finite(float64(q.At), q.At >= tiny && share >= 0.5); ok {
				xys = append(xys, plotter.XY{X: nines(share), Y: at})
			}
		}
		return xys
	})
	low, high, ok := extent(lines)
	if !ok {
		return c, nil
	}
	c.About = "How long the slowest requests take, of the repeat with the median p99"
	switch {
	case v.Name == Cold:
		c.About += ", while caches fill."
	case v.anyRate():
		c.About += ", at half of what the arm can do."
	default:
		c.About += "."
	}
	p := newPlot("share of the requests", "ms")
	scaleLog(&p.Y, low.Y, high.Y, "")
	p.X.Min, p.X.Max, p.X.Tick.Marker = nines(0.5), max(high.X, nines(0.99))*1.02, ninesTicks{}
	if err := addLines(p, lines); err != nil {
		return c, err
	}
	c.SVG, err = svg(p, width, lineHeight, v.label(c.Title))
	return c, err
}

// stack draws parts of each arm side by side, and behind them what label makes of their sum.
func (v view) stack(
	c chart, known []string, unit string, parts func(*result.Arm) map[string]float64, label func(sum float64) string,
) (chart, error) {
	all := make([]map[string]float64, len(v.Arms))
	for i := range v.Arms {
		all[i] = parts(&v.Arms[i])
	}
	names := inOrder(known, all...)
	if len(names) == 0 {
		return c, nil
	}
	color := func(n int) int { // a part's is the same in all charts
		if at := slices.Index(known, names[n]); at >= 0 {
			return at
		}
		return len(known) + n
	}
	for n, name := range names {
		c.Keys = append(c.Keys, key{name, fmt.Sprintf("p%d", color(n)%palette)})
	}
	var bars []bar
	for i := range v.Arms {
		if len(all[i]) == 0 {
			continue
		}
		b, sum := bar{name: v.Arms[i].Name}, 0.0
		for n, name := range names {
			f, _ := finite(all[i][name], true)
			b.parts, b.colors, sum = append(b.parts, max(f, 0)), append(b.colors, partPaint(color(n))), sum+max(f, 0)
		}
		b.label = label(sum)
		bars = append(bars, b)
	}
	var err error
	c.SVG, err = barChart(bars, width, unit, v.label(c.Title))
	return c, err
}

func (v view) hitShares() (chart, error) {
	c, err := v.stack(chart{Title: "Which tier answered"}, tierOrder, "% of the reads", func(a *result.Arm) map[string]float64 {
		tiers := v.tiers(a)
		for name := range tiers {
			if tiers[name] *= 100; tiers[name] < 0.05 { // less than can be seen
				delete(tiers, name)
			}
		}
		return tiers
	}, func(float64) string { return "" })
	return c, err
}

func (v view) cpuParts() (chart, error) {
	c := chart{Title: "CPU time of a request"}
	return v.stack(c, cpuOrder, "µs", func(a *result.Arm) map[string]float64 {
		parts := map[string]float64{}
		for i := range a.Runs {
			l := v.counted(&a.Runs[i])
			if l == nil {
				continue
			}
			for name := range l.CPU {
				if r, ok := over(a, v.cpu(name)); ok {
					parts[name] = r.Median
				}
			}
		}
		return parts
	}, number)
}

func (v view) statements() (c chart, err error) {
	c.Title = "Load on MySQL"
	var bars []bar
	for i := range v.Arms {
		if r, ok := over(&v.Arms[i], v.perRequest(func(l *result.Load) float64 { return 100 * mysql(l) })); ok {
			bars = append(bars, bar{
				name: v.Arms[i].Name, parts: []float64{r.Median}, colors: []paint{seriesPaint(v.colorOf(i))},
				low: r.Min, top: r.Max, label: number(r.Median),
			})
		}
	}
	if len(bars) == 0 {
		return c, nil
	}
	c.About = "Statements for 100 requests."
	c.SVG, err = barChart(bars, width, "statements / 100 requests", v.label(c.Title))
	return c, err
}

// staleness draws which share of the answers lacked a change that was older than so long.
func (v view) staleness() (c chart, err error) {
	c.Title = "Stale answers"
	known := false
	lines := v.lines(func(a *result.Arm) (xys plotter.XYs) {
		stale, checked, _ := v.stale(a)
		known = known || checked > 0
		if stale == 0 || checked == 0 {
			return nil
		}
		share := 100 * float64(stale) / float64(checked)
		late := v.latest(a).Staleness.Late // there is one, as there are stale answers
		for _, q := range late.Curve {
			at, ok := finite(float64(q.At), q.At >= tiny)
			if y := share * (1 - q.Share); ok && y >= tiny {
				xys = append(xys, plotter.XY{X: at, Y: y})
			}
		}
		if late.P50 >= 10*tiny && len(xys) > 0 { // of those that were less late than the median it is known how many they are
			xys = slices.Insert(xys, 0, plotter.XY{X: float64(late.P50) / 10, Y: share})
		}
		return xys
	})
	low, high, ok := extent(lines)
	switch {
	case !known:
		return c, nil
	case !ok:
		c.About = "No answer of any arm lacked a change whose commit had ended before it was asked for."
		return c, nil
	}
	c.About = "Share of the answers that lacked a change which had been committed for longer than so long. " +
		"Arms without a line had none."
	p := newPlot("committed for, ms", "% of the answers")
	scaleLog(&p.X, low.X, high.X, "")
	scaleLog(&p.Y, low.Y, high.Y, "")
	if err := addLines(p, lines); err != nil {
		return c, err
	}
	c.SVG, err = svg(p, width, lineHeight, v.label(c.Title))
	return c, err
}

func (v view) ramp() (c chart, err error) {
	c.Title = "Latency against the rate"
	lines := v.lines(func(a *result.Arm) (xys plotter.XYs) {
		for n := range steps(a) {
			x, okX := over(a, step(n, offered))
			y, okY := over(a, step(n, stepLatency(p99)))
			if okX && okY && y.Median >= tiny {
				xys = append(xys, plotter.XY{X: x.Median, Y: y.Median})
			}
		}
		return xys
	})
	low, high, ok := extent(lines)
	if !ok {
		return c, nil
	}
	c.About = "p99 of an open loop, in which a request that has to wait counts from when it was to be sent."
	p := newPlot("requests/s offered", "p99, ms")
	scaleLog(&p.Y, low.Y, high.Y, "")
	scaleLinear(&p.X, high.X)
	if err := addLines(p, lines); err != nil {
		return c, err
	}
	c.SVG, err = svg(p, width, lineHeight, v.label(c.Title))
	return c, err
}

// fewMoments are too few to be drawn as something over time.
const fewMoments = 8

// moments draws something over time.
func (v view) moments(a *result.Arm, of func(result.Moment) float64) (xys plotter.XYs) {
	l := v.overTime(a)
	if l == nil || len(l.Timeline) < fewMoments {
		return nil
	}
	for _, m := range l.Timeline {
		x, okX := finite(float64(m.At), m.At >= 0)
		if y, okY := finite(of(m), true); okX && okY {
			xys = append(xys, plotter.XY{X: x, Y: max(y, 0)})
		}
	}
	return xys
}

func (v view) rateOverTime() (chart, error) {
	c := chart{Title: "Requests, over time", About: "Of the repeat with the median rate."}
	return v.timeChart(c, "requests/s", func(m result.Moment) float64 { return m.Rate }, scaleLinear)
}

func (v view) originOverTime() (chart, error) {
	c := chart{Title: "Load on MySQL, over time", About: "Of the same repeat; the axis is logarithmic above 1."}
	return v.timeChart(c, "statements/s", func(m result.Moment) float64 { return m.Origin }, func(a *plot.Axis, high float64) {
		a.Min, a.Max, a.Scale, a.Tick.Marker = 0, max(high*1.15, 10), rooted{}, rooted{}
	})
}

func (v view) timeChart(
	c chart, unit string, of func(result.Moment) float64, scale func(a *plot.Axis, high float64),
) (chart, error) {
	lines := v.lines(func(a *result.Arm) plotter.XYs { return v.moments(a, of) })
	_, high, ok := extent(lines)
	if !ok {
		return chart{Title: c.Title}, nil
	}
	p := newPlot("s", unit)
	scaleLinear(&p.X, high.X)
	scale(&p.Y, high.Y)
	if err := addLines(p, lines); err != nil {
		return c, err
	}
	var err error
	c.SVG, err = svg(p, width, lineHeight, v.label(c.Title))
	return c, err
}

// traceChart draws the hits of each policy over the room it was given.
func traceChart(t result.Trace) (c chart, err error) {
	c.Title = t.Name
	var lines []series
	names := policies(t)
	c.Keys = keys("s", names)
	for i, name := range names {
		l := series{n: i, heavy: name == localTier}
		for _, p := range t.Policies {
			x, okX := finite(100*p.Room, p.Room >= tiny)
			if y, okY := finite(100*p.Hits, p.Name == name); okX && okY {
				l.xys = append(l.xys, plotter.XY{X: x, Y: y})
			}
		}
		slices.SortFunc(l.xys, func(a, b plotter.XY) int { return int(math.Copysign(1, a.X-b.X)) })
		lines = append(lines, l)
	}
	low, high, ok := extent(lines)
	if !ok {
		return c, nil
	}
	p := newPlot("room, % of the keys", "% of the requests")
	scaleLog(&p.X, low.X, high.X, "")
	scaleLinear(&p.Y, high.Y)
	p.Y.Min = max(0, low.Y-5)
	if err := addLines(p, lines); err != nil {
		return c, err
	}
	c.SVG, err = svg(p, width, lineHeight, "trace "+t.Name)
	return c, err
}
