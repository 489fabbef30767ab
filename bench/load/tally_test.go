package load

import (
	"errors"
	"math"
	"testing"
	"time"

	"vidmeta/bench/result"
)

func near(got, want float64) bool { return math.Abs(got-want) <= want/500+1e-9 }

func TestSpreadIsThatOfTheLatencies(t *testing.T) {
	a, b := newTally(time.Second), newTally(time.Second)
	for i := range 1000 { // 1 ms to 1 s, half of it seen by either
		to := a
		if i%2 == 0 {
			to = b
		}
		to.answered(time.Second, time.Duration(i+1)*time.Millisecond, 1)
	}
	a.merge(b)
	s := a.load(2, nil).Latency
	for name, c := range map[string]struct{ got, want float64 }{
		"count": {float64(s.Count), 1000}, "mean": {float64(s.Mean), 500.5}, "p50": {float64(s.P50), 500},
		"p90": {float64(s.P90), 900}, "p99": {float64(s.P99), 990}, "p99.9": {float64(s.P999), 999},
		"max": {float64(s.Max), 1000},
	} {
		if !near(c.got, c.want) {
			t.Errorf("%s is %v, want %v", name, c.got, c.want)
		}
	}
	want := []result.Quantile{{Share: 0.5, At: 500}, {Share: 0.8, At: 800}, {Share: 0.9, At: 900}, {Share: 0.95, At: 950},
		{Share: 0.98, At: 980}, {Share: 0.99, At: 990}, {Share: 0.995, At: 995},
		{Share: 0.998, At: 998}, {Share: 0.999, At: 999},
		{Share: 1, At: 1000}}
	if len(s.Curve) != len(want) {
		t.Fatalf("the curve has %d points, want %d: %+v", len(s.Curve), len(want), s.Curve)
	}
	for i, q := range s.Curve {
		if math.Abs(q.Share-want[i].Share) > 1e-9 || !near(float64(q.At), float64(want[i].At)) {
			t.Errorf("point %d of the curve is %+v, want %+v", i, q, want[i])
		}
	}
}

func TestSpreadHasBounds(t *testing.T) {
	a := newTally(time.Second)
	a.answered(time.Second, time.Hour, 1)
	a.answered(time.Second, -time.Second, 1) // clocks are read one after another, but nobody should have to rely on that
	s := a.load(1, nil).Latency
	if s.Count != 2 || !near(float64(s.Max), 60_000) || s.P50 != 0 {
		t.Errorf("%+v, want 0 and a minute", s)
	}
	none := newTally(time.Second).load(1, nil)
	if none.Latency.Count != 0 || none.Latency.Curve != nil || none.Rate != 0 || none.Timeline != nil {
		t.Errorf("of nothing: %+v", none)
	}
}

func TestTimelineCountsEachSlice(t *testing.T) {
	a, b := newTally(time.Second), newTally(time.Second)
	for i := range 100 {
		a.answered(time.Duration(i)*time.Millisecond, time.Millisecond, 1) // in the first slice
	}
	for range 50 {
		b.answered(600*time.Millisecond, 20*time.Millisecond, 1) // in the third
	}
	for range 5 { // in the fourth, which is too short for a moment of its own
		b.answered(830*time.Millisecond, 100*time.Millisecond, 1)
	}
	a.merge(b)
	l := a.load(2, []sample{{0, 100}, {250 * time.Millisecond, 200}, {500 * time.Millisecond, 200}, {time.Second, 1200}})
	want := []result.Moment{
		{At: 0.25, Rate: 400, P99: 1, Origin: 400},
		{At: 0.5, Rate: 0, P99: 0, Origin: 0},
		{At: 0.83, Rate: 55 / 0.33, P99: 100, Origin: 2000},
	}
	if len(l.Timeline) != len(want) {
		t.Fatalf("%+v, want %+v", l.Timeline, want)
	}
	for i, m := range l.Timeline {
		w := want[i]
		if !near(float64(m.At), float64(w.At)) || !near(m.Rate, w.Rate) || m.Origin != w.Origin ||
			math.Abs(float64(m.P99-w.P99)) > float64(w.P99)/16 {
			t.Errorf("moment %d is %+v, want %+v", i, m, w)
		}
	}
}

func TestTimelineIsBounded(t *testing.T) {
	a := newTally(time.Hour)
	for i := range 70 {
		a.answered(time.Duration(i)*time.Minute, time.Millisecond, 1) // it was to end after an hour
	}
	l := a.load(1, nil)
	if len(a.slices) > maxSlices+1 || len(l.Timeline) > maxSlices+1 {
		t.Errorf("%d slices, %d moments, want at most %d", len(a.slices), len(l.Timeline), maxSlices+1)
	}
	total, last := 0.0, result.Seconds(0)
	for _, m := range l.Timeline {
		total += m.Rate * float64(m.At-last)
		last = m.At
	}
	if !near(total, 70) || last != l.Took {
		t.Errorf("%v requests until %v s, want 70 until %v s", total, last, l.Took)
	}
}

func TestMergeKeepsTheEarliestError(t *testing.T) {
	a, b, c := newTally(time.Second), newTally(time.Second), newTally(time.Second)
	a.failed(3*time.Second, errors.New("third"))
	b.failed(time.Second, errors.New("first"))
	b.failed(2*time.Second, errors.New("second"))
	c.merge(a)
	c.merge(b)
	if l := c.load(2, nil); l.Error != "first" || l.Errors != 3 || l.Took != 3 {
		t.Errorf("%+v, want three errors until 3 s, first the first", l)
	}
}
