package run

import (
	"math"
	"testing"
)

// A processor second is used up by requests of 0.1 ms and writes of so many ms, one for a hundred requests.
func TestBalanced(t *testing.T) {
	const request, share = 0.1e-3, 0.01
	for _, write := range []float64{0, 1e-3, 4e-3, 9e-3} {
		room := func(writes float64) float64 { return (1 - writes*write) / request }
		without := room(0)
		x := balanced(without, room(share*without))
		if got := room(share * x); math.Abs(got-x) > 1e-6*x {
			t.Errorf("writes of %v s: %v requests a second, whose writes leave room for %v", write, x, got)
		}
	}
	if x := balanced(5000, 6000); x != 5000 { // by chance
		t.Errorf("of an arm that is faster with writes: %v, want 5000", x)
	}
}
