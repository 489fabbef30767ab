package load

import (
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"vidmeta/bench/result"
)

// Latencies are counted in microseconds up to a minute, with an error of at most a thousandth; in the slices of a
// timeline, which are many, with an error of a sixteenth.
const (
	unit        = time.Microsecond
	longest     = time.Minute
	digits      = 3
	sliceDigits = 1
)

// Slices of a timeline: so long, or longer if there would be more than so many.
const (
	sliceLength = 250 * time.Millisecond
	maxSlices   = 240
)

// tally is what one client has seen. No two goroutines use it at once, so counting costs no lock; what all clients have
// seen is merged at the end.
type tally struct {
	slice   time.Duration // length of the slices
	latency *hdrhistogram.Histogram
	slices  []*hdrhistogram.Histogram // by when an answer came; nil where none did
	last    time.Duration             // when the last answer came, good or bad

	requests, documents int64
	errors              int64
	err                 error // the first
	errAt               time.Duration
	checked, stale      int64
	late                *hdrhistogram.Histogram // nil while no answer was stale
}

func newTally(duration time.Duration) *tally {
	return &tally{slice: max(sliceLength, duration/maxSlices), latency: newHistogram(digits)}
}

func newHistogram(digits int) *hdrhistogram.Histogram {
	return hdrhistogram.New(1, longest.Nanoseconds()/unit.Nanoseconds(), digits)
}

func record(h *hdrhistogram.Histogram, d time.Duration) {
	_ = h.RecordValue(min(max(d, 0), longest).Nanoseconds() / unit.Nanoseconds()) // within the bounds, so it cannot fail
}

// answered counts an answer as expected that came at a time since the loop began.
func (t *tally) answered(at, latency time.Duration, documents int) {
	t.requests++
	t.documents += int64(documents)
	t.last = max(t.last, at)
	record(t.latency, latency)
	i := min(int(at/t.slice), maxSlices)
	for len(t.slices) <= i {
		t.slices = append(t.slices, nil)
	}
	if t.slices[i] == nil {
		t.slices[i] = newHistogram(sliceDigits)
	}
	record(t.slices[i], latency)
}

// failed counts a request without an answer, or with another than was expected.
func (t *tally) failed(at time.Duration, err error) {
	t.errors++
	t.last = max(t.last, at)
	if t.err == nil {
		t.err, t.errAt = err, at
	}
}

// judged counts what a ledger says of one document in an answer.
func (t *tally) judged(v Verdict) {
	if v.Checked {
		t.checked++
	}
	if !v.Stale {
		return
	}
	t.stale++
	if t.late == nil {
		t.late = newHistogram(digits)
	}
	record(t.late, v.Late)
}

// merge adds what another has seen.
func (t *tally) merge(o *tally) {
	t.latency.Merge(o.latency)
	for i, h := range o.slices {
		if i == len(t.slices) {
			t.slices = append(t.slices, nil)
		}
		t.slices[i] = merged(t.slices[i], h, sliceDigits)
	}
	t.last = max(t.last, o.last)
	t.requests += o.requests
	t.documents += o.documents
	t.errors += o.errors
	if o.err != nil && (t.err == nil || o.errAt < t.errAt) {
		t.err, t.errAt = o.err, o.errAt
	}
	t.checked += o.checked
	t.stale += o.stale
	t.late = merged(t.late, o.late, digits)
}

// merged adds b to a, either of which may be missing.
func merged(a, b *hdrhistogram.Histogram, digits int) *hdrhistogram.Histogram {
	if b == nil {
		return a
	}
	if a == nil {
		a = newHistogram(digits)
	}
	a.Merge(b)
	return a
}

// load puts everything into the words of a report.
func (t *tally) load(clients int, origin []sample) result.Load {
	l := result.Load{
		Clients:   clients,
		Took:      result.Seconds(t.last.Seconds()),
		Requests:  t.requests,
		Documents: t.documents,
		Errors:    t.errors,
		Latency:   spread(t.latency),
		Timeline:  t.timeline(origin),
		Staleness: result.Staleness{Checked: t.checked, Stale: t.stale},
	}
	if t.last > 0 {
		l.Rate = float64(t.requests) / t.last.Seconds()
	}
	if t.err != nil {
		l.Error = t.err.Error()
	}
	if t.late != nil {
		l.Staleness.Late = spread(t.late)
	}
	return l
}

// timeline returns the slices. What is left at the end, if it is less than half of one, belongs to the one before.
func (t *tally) timeline(origin []sample) []result.Moment {
	if t.requests == 0 {
		return nil
	}
	n := min(max(1, int(math.Round(t.last.Seconds()/t.slice.Seconds()))), maxSlices+1)
	moments := make([]result.Moment, n)
	start := time.Duration(0)
	for i := range moments {
		end := start + t.slice
		var h *hdrhistogram.Histogram
		if i < len(t.slices) {
			h = t.slices[i]
		}
		if i == n-1 {
			end = t.last
			for _, more := range t.slices[min(n, len(t.slices)):] {
				h = merged(h, more, sliceDigits)
			}
		}
		moments[i].At = result.Seconds(end.Seconds())
		if h != nil {
			moments[i].Rate = float64(h.TotalCount()) / (end - start).Seconds()
			moments[i].P99 = millis(h.ValueAtPercentile(99))
		}
		moments[i].Origin = rateAt(origin, (start+end)/2)
		start = end
	}
	return moments
}

// spread returns the distribution in a histogram, which may be empty.
func spread(h *hdrhistogram.Histogram) result.Spread {
	n := h.TotalCount()
	if n == 0 {
		return result.Spread{}
	}
	s := result.Spread{
		Count: n,
		Mean:  result.Millis(h.Mean() * unit.Seconds() * 1000),
		P50:   millis(h.ValueAtPercentile(50)),
		P90:   millis(h.ValueAtPercentile(90)),
		P99:   millis(h.ValueAtPercentile(99)),
		P999:  millis(h.ValueAtPercentile(99.9)),
		Max:   millis(h.Max()),
	}
	// 1/2, 1/5, 1/10, 1/20, ... of all are left above: as far as that is one at least.
	for left, i := 0.5, 0; left*float64(n) >= 1; i++ {
		s.Curve = append(s.Curve, result.Quantile{Share: 1 - left, At: millis(h.ValueAtPercentile(100 * (1 - left)))})
		left /= [...]float64{2.5, 2, 2}[i%3]
	}
	s.Curve = append(s.Curve, result.Quantile{Share: 1, At: s.Max})
	return s
}

func millis(units int64) result.Millis {
	return result.Millis(float64(units) * unit.Seconds() * 1000)
}

// sample is a counter at a time since a loop began.
type sample struct {
	at    time.Duration
	count int64
}

// rateAt returns how fast a counter rose between the samples around a time; 0 where there are none.
func rateAt(samples []sample, at time.Duration) float64 {
	for i := 1; i < len(samples); i++ {
		if a, b := samples[i-1], samples[i]; at <= b.at && a.at < b.at {
			return float64(b.count-a.count) / (b.at - a.at).Seconds()
		}
	}
	return 0
}
