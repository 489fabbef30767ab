package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Colours depend on whether the reader wants light or dark, which is known in the browser alone. So charts are drawn in
// colours that stand for a CSS variable, and which otherwise nobody would choose.
type paint struct {
	color.RGBA
	css string
}

// palette is the number of colours for arms; further arms have the same ones again, dashed.
const palette = 10

var (
	ink  = paint{color.RGBA{1, 0, 1, 255}, "var(--ink)"}
	dim  = paint{color.RGBA{1, 0, 2, 255}, "var(--dim)"}
	grid = paint{color.RGBA{1, 0, 3, 255}, "var(--grid)"}
)

func seriesPaint(n int) paint {
	n %= palette
	return paint{color.RGBA{1, 1, uint8(n), 255}, fmt.Sprintf("var(--s%d)", n)}
}

// partPaint is for what is stacked: tiers, and who used the CPU.
func partPaint(n int) paint {
	n %= palette
	return paint{color.RGBA{1, 2, uint8(n), 255}, fmt.Sprintf("var(--p%d)", n)}
}

// paints turns the colours into their variables, and names fonts of the same widths for those who lack the first.
var paints = func() *strings.Replacer {
	all := []paint{ink, dim, grid}
	for n := range palette {
		all = append(all, seriesPaint(n), partPaint(n))
	}
	pairs := []string{"font-family:Liberation Sans", "font-family:Liberation Sans,Arial,Helvetica,sans-serif"}
	for _, p := range all {
		pairs = append(pairs, fmt.Sprintf("#%02X%02X%02X", p.R, p.G, p.B), p.css)
	}
	return strings.NewReplacer(pairs...)
}()

// width of a chart, in CSS pixels; it shrinks on small screens, by little on a phone.
const width = 400

const fontSize = 12

// newPlot returns an empty chart with a grid.
func newPlot(xLabel, yLabel string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = color.Transparent
	p.X.Label.Text, p.Y.Label.Text = xLabel, yLabel
	for _, axis := range []*plot.Axis{&p.X, &p.Y} {
		axis.LineStyle = draw.LineStyle{Color: dim.RGBA, Width: 0.75}
		axis.Padding = 0
		axis.Tick.LineStyle = draw.LineStyle{Color: dim.RGBA, Width: 0.75}
		axis.Tick.Length = 4
		setText(&axis.Label.TextStyle, dim)
		setText(&axis.Tick.Label, dim)
	}
	g := plotter.NewGrid()
	g.Vertical = draw.LineStyle{Color: grid.RGBA, Width: 0.75}
	g.Horizontal = g.Vertical
	p.Add(g)
	return p
}

func setText(s *text.Style, c paint) {
	s.Color = c.RGBA
	s.Font = font.Font{Typeface: "Liberation", Variant: "Sans", Size: fontSize}
}

// svg draws a chart as an element of a page. label is for those who do not see it.
func svg(p *plot.Plot, w, h vg.Length, label string) (template.HTML, error) {
	c := vgsvg.New(w, h)
	p.Draw(draw.Crop(draw.New(c), 2, -10, 2, -6))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", fmt.Errorf("report: chart: %w", err)
	}
	// The prologue, and sizes in points, are for a file of its own.
	_, body, ok := strings.Cut(b.String(), "<svg ")
	if !ok {
		return "", fmt.Errorf("report: chart %q: vgsvg wrote no <svg>", label)
	}
	_, body, _ = strings.Cut(body, ">")
	head := fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %[1]g %[2]g" width="%[1]g" height="%[2]g"`+
		` role="img" aria-label="%[3]s">`, w.Points(), h.Points(), template.HTMLEscapeString(label))
	// vgsvg has escaped all text.
	return template.HTML(head + paints.Replace(body)), nil
}

// decades puts marks at powers of ten, and where there are fewer than two of these at 2 and 5 times them.
type decades struct{ suffix string }

func (d decades) Ticks(low, high float64) (ticks []plot.Tick) {
	if low <= 0 || high <= low {
		return nil
	}
	few := math.Log10(high/low) < 2
	for e := math.Floor(math.Log10(low)); e <= math.Ceil(math.Log10(high)); e++ {
		for n := 1.0; n < 10; n++ {
			at := n * math.Pow(10, e)
			if at < low*0.999 || at > high*1.001 {
				continue
			}
			tick := plot.Tick{Value: at}
			if n == 1 || few && (n == 2 || n == 5) {
				tick.Label = number(at) + d.suffix
			}
			ticks = append(ticks, tick)
		}
	}
	return ticks
}

// evenly puts some five marks on a linear axis.
type evenly struct{}

func (evenly) Ticks(low, high float64) (ticks []plot.Tick) {
	if high <= low {
		return nil
	}
	step := math.Pow(10, math.Floor(math.Log10((high-low)/3)))
	for _, n := range []float64{1, 2, 5, 10} {
		if (high-low)/(step*n) <= 5 {
			step *= n
			break
		}
	}
	first := math.Ceil(low / step)
	for n := range 6 {
		if at := (first + float64(n)) * step; at <= high {
			ticks = append(ticks, plot.Tick{Value: at, Label: number(at)})
		}
	}
	return ticks
}

// rooted is a logarithm that has a zero, for rates that may be none at all.
type rooted struct{}

func (rooted) Normalize(low, high, x float64) float64 {
	return (math.Asinh(x) - math.Asinh(low)) / (math.Asinh(high) - math.Asinh(low))
}

func (rooted) Ticks(low, high float64) []plot.Tick {
	return append([]plot.Tick{{Value: 0, Label: "0"}}, decades{}.Ticks(max(low, 1), high)...)
}

// nines is the place of a share on an axis where each further nine takes as much room.
func nines(share float64) float64 { return -math.Log10(1 - share) }

type ninesTicks struct{}

func (ninesTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	for _, percent := range []float64{50, 90, 99, 99.9, 99.99, 99.999} {
		if at := nines(percent / 100); at >= low-1e-9 && at <= high+1e-9 {
			ticks = append(ticks, plot.Tick{Value: at, Label: fmt.Sprintf("p%g", percent)})
		}
	}
	return ticks
}
