package report

import (
	"math"
	"slices"
	"testing"

	"gonum.org/v1/plot"
)

func labels(ticks []plot.Tick) (all []string) {
	for _, t := range ticks {
		if t.Label != "" {
			all = append(all, t.Label)
		}
	}
	return all
}

func TestTicks(t *testing.T) {
	for _, c := range []struct {
		name  string
		ticks plot.Ticker
		low   float64
		high  float64
		want  []string
	}{
		{"evenly", evenly{}, 0, 44_000, []string{"0", "10,000", "20,000", "30,000", "40,000"}},
		{"evenly", evenly{}, 0, 2.1, []string{"0", "0.5", "1", "1.5", "2"}},
		{"evenly from below", evenly{}, 31, 81, []string{"40", "50", "60", "70", "80"}},
		{"evenly over nothing", evenly{}, 1, 1, nil},
		{"decades", decades{}, 0.3, 120, []string{"1", "10", "100"}},
		{"few decades", decades{}, 0.9, 12, []string{"1", "2", "5", "10"}},
		{"decades of zero", decades{}, 0, 12, nil},
		{"rooted", rooted{}, 0, 1500, []string{"0", "1", "10", "100", "1,000"}},
	} {
		if got := labels(c.ticks.Ticks(c.low, c.high)); !slices.Equal(got, c.want) {
			t.Errorf("%s from %g to %g: %q, want %q", c.name, c.low, c.high, got, c.want)
		}
	}
	got := labels(ninesTicks{}.Ticks(nines(0.5), nines(0.999)))
	slices.Sort(got)
	if !slices.Equal(got, []string{"p50", "p90", "p99", "p99.9"}) {
		t.Errorf("nines: %q", got)
	}
}

func TestTicksAreFew(t *testing.T) {
	for _, high := range []float64{5e-324, 1e-300, 1e-9, 0.7, 3, 29, 1e9, math.MaxFloat64} {
		if n := len(evenly{}.Ticks(0, high)); n > 7 {
			t.Errorf("%d marks up to %g", n, high)
		}
	}
}

func TestNumber(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 45123: "45,100", 0.042149: "0.0421", 1: "1", 999.6: "1,000", -2.5: "-2.5", math.NaN(): none, math.Inf(1): none,
	} {
		if got := number(f); got != want {
			t.Errorf("number(%g) = %q, want %q", f, got, want)
		}
	}
}
