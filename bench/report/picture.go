package report

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"vidmeta/bench/result"
)

// pictureWidth is what a README has room for.
const pictureWidth = 780

// ErrNotMeasured: what a picture would be of has not been measured.
var ErrNotMeasured = errors.New("report: the scenario " + Zipf + " was not measured, so there is no picture of it")

// Picture writes an SVG file for the README: what the arms of the main scenario can do, with their p99 and their stale
// answers. It follows the reader's wish for light or dark by itself. Without that scenario it is ErrNotMeasured.
func Picture(w io.Writer, r *result.Report) error {
	v, ok := worlds(r)[Zipf]
	if !ok {
		return ErrNotMeasured
	}
	var bars []bar
	for i := range v.Arms {
		a := &v.Arms[i]
		rate, known := over(a, v.rate)
		if !known {
			continue
		}
		label := number(rate.Median) + "/s, p99 " + median(over(a, v.latency(p99))) + " ms"
		if stale, _ := v.staleCells(a); stale != none {
			label += ", stale " + stale
		}
		bars = append(bars, bar{
			name: a.Name, parts: []float64{rate.Median}, colors: []paint{seriesPaint(v.colorOf(i))},
			low: rate.Min, top: rate.Max, label: label,
		})
	}
	if len(bars) == 0 {
		return ErrNotMeasured
	}
	drawn, err := barChart(bars, pictureWidth, "requests/s; p99 at half of that", v.label("requests a second of each arm"))
	if err != nil {
		return err
	}
	head, body, _ := strings.Cut(string(drawn), ">")
	const ground = `<rect width="100%" height="100%" rx="8" fill="var(--card)"/>`
	_, err = fmt.Fprintf(w, "%s>\n<style>\n%s</style>\n%s%s\n", head, colors, ground, body)
	return err
}
