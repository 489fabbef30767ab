package cache

import (
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// breaker keeps round trips from a server that does not answer. It opens when four of the last eight have failed. They are
// counted, not timed: a server that hangs fails a few in each time-out, after the thousands of a second ago that did not.
// After a second one is let through, and that one decides.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
}

func newBreaker() breaker {
	return breaker{circuitbreaker.NewBuilder[any]().
		WithFailureThresholdRatio(4, 8).WithSuccessThreshold(1).
		WithDelay(time.Second).WithJitter(200 * time.Millisecond).Build()}
}

// shut reports whether a round trip would not be made now, without taking the place of the one that is let through. The
// breaker is half open while that one is under way, and then only: who half-opens it takes its only permit.
func (b breaker) shut() bool { return b.IsHalfOpen() || b.RemainingDelay() > 0 }

// try makes a round trip, which says whether the server did its part; if it panics, it did not. The error is
// circuitbreaker.ErrOpen if no round trip may be made.
func (b breaker) try(trip func() (ok bool)) error {
	if !b.TryAcquirePermit() {
		return circuitbreaker.ErrOpen
	}
	ok := false
	defer func() { // a permit that is not given back would be the last one
		if ok {
			b.RecordSuccess()
		} else {
			b.RecordFailure()
		}
	}()
	ok = trip()
	return nil
}
