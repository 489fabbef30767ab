package report

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	"vidmeta/bench/result"
)

// chart is a picture with what is to be said of it.
type chart struct {
	Title string
	About string
	SVG   template.HTML // empty if About says it all
	Keys  []key         // names of its colours, where they are not the arms'
}

// key says what a colour is: of a series "s0" and so on, of a part "p0".
type key struct{ Name, Class string }

func keys(class string, names []string) (all []key) {
	for i, name := range names {
		all = append(all, key{name, fmt.Sprintf("%s%d", class, i%palette)})
	}
	return all
}

// series is a line of a chart.
type series struct {
	n     int // of its colour
	heavy bool
	xys   plotter.XYs
}

// extent is the smallest and largest x and y of lines, and whether there is anything to draw.
func extent(lines []series) (low, high plotter.XY, ok bool) {
	low = plotter.XY{X: math.Inf(1), Y: math.Inf(1)}
	high = plotter.XY{X: math.Inf(-1), Y: math.Inf(-1)}
	for _, l := range lines {
		for _, xy := range l.xys {
			low = plotter.XY{X: min(low.X, xy.X), Y: min(low.Y, xy.Y)}
			high = plotter.XY{X: max(high.X, xy.X), Y: max(high.Y, xy.Y)}
			ok = true
		}
	}
	return low, high, ok
}

// addLines draws lines, the heavy ones on top. Of a single point a line shows nothing, so it gets a dot.
func addLines(p *plot.Plot, lines []series) error {
	for _, heavy := range []bool{false, true} {
		for _, l := range lines {
			if l.heavy != heavy || len(l.xys) == 0 {
				continue
			}
			line, dots, err := plotter.NewLinePoints(l.xys)
			if err != nil {
				return err
			}
			line.Color = seriesPaint(l.n).RGBA
			line.Width = 1.5
			if heavy {
				line.Width = 3
			}
			if l.n >= palette {
				line.Dashes = []vg.Length{4, 3}
			}
			dots.GlyphStyle = draw.GlyphStyle{Color: line.Color, Radius: 1 + line.Width/2, Shape: draw.CircleGlyph{}}
			p.Add(line)
			if len(l.xys) <= 12 {
				p.Add(dots)
			}
		}
	}
	return nil
}

// scaleLog makes an axis logarithmic, from low, which is no less than tiny, to high with a margin.
func scaleLog(a *plot.Axis, low, high float64, suffix string) {
	a.Min, a.Max = low/1.15, high*1.15
	a.Scale, a.Tick.Marker = plot.LogScale{}, decades{suffix}
}

// scaleLinear makes an axis linear, from 0 to high with a margin, or to 1 if all is 0.
func scaleLinear(a *plot.Axis, high float64) {
	if a.Min, a.Max = 0, high*1.05; high <= 0 {
		a.Max = 1
	}
	a.Tick.Marker = evenly{}
}

// bar is a row of a chart of bars: parts side by side, and what is written behind them.
type bar struct {
	name     string
	parts    []float64
	colors   []paint
	low, top float64 // a range that is drawn over its end if top > low
	label    string
}

const barHeight = 22

// barChart draws bars, the first on top.
func barChart(bars []bar, w vg.Length, xLabel, label string) (template.HTML, error) {
	p := newPlot(xLabel, "")
	longest := 0.0
	var names []plot.Tick
	for i, b := range bars {
		y := float64(len(bars) - 1 - i)
		names = append(names, plot.Tick{Value: y, Label: shortened(b.name, 22)})
		var below *plotter.BarChart
		sum := 0.0
		for n, part := range b.parts {
			c, err := plotter.NewBarChart(plotter.Values{part}, 0.62*barHeight)
			if err != nil {
				return "", err
			}
			c.Horizontal, c.XMin, c.Color, c.Width = true, y, b.colors[n].RGBA, 0.62*barHeight
			c.LineStyle.Width = 0
			if below != nil {
				c.StackOn(below)
			}
			below = c
			p.Add(c)
			sum += part
		}
		end := max(sum, b.top)
		longest = max(longest, end)
		if b.top > b.low {
			whisker := &plotter.XErrorBars{
				XYs:       plotter.XYs{{X: sum, Y: y}},
				XErrors:   plotter.XErrors{{Low: sum - b.low, High: b.top - sum}},
				LineStyle: draw.LineStyle{Color: ink.RGBA, Width: 1},
				CapWidth:  6,
			}
			p.Add(whisker)
		}
		if b.label != "" {
			l, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{{X: end, Y: y}}, Labels: []string{b.label}})
			if err != nil {
				return "", err
			}
			setText(&l.TextStyle[0], ink)
			l.TextStyle[0].YAlign = draw.YCenter
			l.Offset = vg.Point{X: 5, Y: 1.5} // as digits have nothing below the line, they are centered a little higher
			p.Add(l)
		}
	}
	scaleLinear(&p.X, longest)
	p.Y.Min, p.Y.Max = -0.6, float64(len(bars))-0.4
	p.Y.Tick.Marker = plot.ConstantTicks(names)
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	setText(&p.Y.Tick.Label, ink)
	return svg(p, w, vg.Length(barHeight*len(bars)+48), label)
}

// shortened cuts a name that would leave no room for what it names.
func shortened(name string, most int) string {
	r := []rune(strings.Join(strings.Fields(name), " "))
	if len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return string(r)
}

// colorOf gives each arm of a scenario a colour: the first is always Vidmeta's.
func (v view) colorOf(i int) int {
	if v.Arms[i].Name == Vidmeta {
		return 0
	}
	n := 1
	for j := range i {
		if v.Arms[j].Name != Vidmeta {
			n++
		}
	}
	return n
}

// lines has a line for each arm that points are known of.
func (v view) lines(points func(*result.Arm) plotter.XYs) (all []series) {
	for i := range v.Arms {
		if xys := points(&v.Arms[i]); len(xys) > 0 {
			all = append(all, series{v.colorOf(i), v.Arms[i].Name == Vidmeta, xys})
		}
	}
	return all
}
