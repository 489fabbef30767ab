package load

import (
	"context"
	"fmt"
	"time"

	"vidmeta/bench/result"
)

// Rates are those of a ramp: From, then more and more by Step, at most Peak; requests a second, all required.
type Rates struct {
	From, Step, Peak float64
	// Bound is the largest 99th percentile of the latencies that counts as kept. 0 means none.
	Bound time.Duration
}

func (r Rates) validate() error {
	if !(r.From > 0) || !(r.Step > 0) || r.Peak < r.From {
		return fmt.Errorf("ramp: From (%v) and Step (%v) must be above 0, Peak (%v) at least From", r.From, r.Step, r.Peak)
	}
	return nil
}

// keptShare is the part of the offered requests that must be answered in time for a rate to count as kept.
const keptShare = 0.95

// Ramp runs open loops at rates that rise, each for s.Duration, and stops after the first that could not be kept: when
// fewer than 95 % of its requests were answered as expected before its time was over, or its 99th percentile was above
// the bound. That one is the last of the loads. When ctx ends, the loads until then are returned with its cause.
func Ramp(ctx context.Context, s Settings, r Rates) (loads []result.Load, err error) {
	if err := r.validate(); err != nil {
		return nil, err
	}
	for i := 0; ; i++ {
		rate := r.From + float64(i)*r.Step
		if rate > r.Peak {
			return loads, nil
		}
		l, inTime, err := open(ctx, s, rate)
		if err != nil {
			return loads, err
		}
		loads = append(loads, l)
		if !kept(l, inTime, s.Duration, r.Bound) {
			return loads, nil
		}
	}
}

func kept(l result.Load, inTime int64, took, bound time.Duration) bool {
	if float64(inTime) < keptShare*l.Offered*took.Seconds() {
		return false
	}
	return bound == 0 || float64(l.Latency.P99) <= bound.Seconds()*1000
}
