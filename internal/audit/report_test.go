package audit

import (
	"math"
	"testing"
)

// With none of n seen it is 1 - 0.05^(1/n), nearly 3/n.
func TestAtMost(t *testing.T) {
	for _, c := range []struct {
		k, n  int
		want  float64
		nines int
	}{
		{0, 0, 1, 0},
		{0, 1, 0.95, 0},
		{0, 10, 0.2588656, 0},
		{1, 10, 0.3941633, 0},
		{0, 3000, 0.000998082, 3}, // three nines take three thousand
		{0, 2000, 0.001496745, 2},
		{5, 1000, 0.01048, 1},
		{10, 10, 1, 0},
	} {
		got := atMost(c.k, c.n)
		if math.Abs(got-c.want) > c.want/1000 || nines(got) != c.nines {
			t.Errorf("%d of %d: at most %.7f with %d nines, want %.7f with %d", c.k, c.n, got, nines(got), c.want, c.nines)
		}
	}
}

// The bound is the share at which so few disagreements are to be seen once in twenty times.
func TestAtMostIsExact(t *testing.T) {
	for _, c := range [][2]int{{0, 50}, {3, 200}, {7, 5000}, {40, 1000}} {
		k, n := c[0], c[1]
		p := atMost(k, n)
		sum := 0.0
		for i := range k + 1 {
			all, _ := math.Lgamma(float64(n + 1))
			in, _ := math.Lgamma(float64(i + 1))
			out, _ := math.Lgamma(float64(n - i + 1))
			sum += math.Exp(all - in - out + float64(i)*math.Log(p) + float64(n-i)*math.Log1p(-p))
		}
		if math.Abs(sum-0.05) > 1e-6 {
			t.Errorf("%d of %d: at %.6f so few are seen with probability %.6f, want 0.05", k, n, p, sum)
		}
	}
}
