package load

import (
	"sync/atomic"
	"time"
)

// Pace says for how long the n-th transaction, from 0, has to wait when writers have been at it for so long; 0 or less
// means that it is due. It is asked again after that wait, since what it depends on may have gone another way.
type Pace func(n int64, since time.Duration) time.Duration

// PerSecond has so many transactions begun in a second, at times that are fixed beforehand. It returns nil, which Write
// refuses, unless the rate is above 0.
func PerSecond(rate float64) Pace {
	if !(rate > 0) {
		return nil
	}
	interval := float64(time.Second) / rate
	return func(n int64, since time.Duration) time.Duration { return time.Duration(float64(n)*interval) - since }
}

// The bounds between which PerAnswer looks again: nothing is late by much, and nobody looks all the time.
const (
	soonest = time.Millisecond
	latest  = 20 * time.Millisecond
)

// PerAnswer has a share of a transaction begun for each answer that a loop has counted (Settings.Answered): whatever the
// writes cost an arm, it bears them in proportion to what it does. It returns nil, which Write refuses, unless the share is
// above 0.
func PerAnswer(share float64, answered *atomic.Int64) Pace {
	if !(share > 0) {
		return nil
	}
	return func(n int64, since time.Duration) time.Duration {
		now := float64(answered.Load())
		missing := float64(n+1)/share - now
		if missing <= 0 {
			return 0
		}
		if now == 0 {
			return latest
		}
		return min(max(time.Duration(missing/now*float64(since)), soonest), latest)
	}
}
