package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"vidmeta/bench/result"
)

// Settings are what is asked of whom, in a loop of either kind.
type Settings struct {
	Target Target
	Keys   Keys // what to ask for; required
	// Clients is how many requests may be under way at once, each over a connection of its own. In a closed loop so many
	// always are. Required.
	Clients int
	// Duration is for how long requests are sent. Required.
	Duration time.Duration
	// Seed makes clients ask for other ids than with another seed, and for the same as with the same.
	Seed uint64
	// Ledger judges the answers; nil leaves Staleness empty.
	Ledger *Ledger
	// Answered counts the requests that have been answered as expected while the loop goes on; nil counts them in the end
	// alone.
	Answered *atomic.Int64
	// Origin returns a counter of statements in MySQL, for the timeline; nil leaves it empty there. It is asked four times
	// a second.
	Origin func(context.Context) (int64, error)
}

func (s *Settings) validate() (addr string, err error) {
	switch {
	case s.Keys == nil:
		return "", errors.New("settings: Keys: there are none")
	case s.Clients < 1:
		return "", fmt.Errorf("settings: Clients: %d is less than 1", s.Clients)
	case s.Duration <= 0:
		return "", fmt.Errorf("settings: Duration: %v is not above 0", s.Duration)
	}
	return s.Target.addr()
}

// Closed has each client send its next request when it has the answer to the one before: as much as the server can do
// for so many clients, but a server that stops for a while is asked the less for it, which flatters its latencies. It
// ends after s.Duration, or when the keys are over, or with ctx, and waits for the answers that are still to come, at most
// Timeout. Answers that were not expected, and those that did not come, are in Errors alone and have no latency.
//
// When ctx has ended it returns what was seen until then, with ctx's cause.
func Closed(ctx context.Context, s Settings) (result.Load, error) {
	run := func(ctx context.Context, c *client) error {
		for time.Since(c.began) < c.until && ctx.Err() == nil && c.next() {
			c.ask(time.Time{})
		}
		return context.Cause(ctx)
	}
	t, origin, err := loop(ctx, &s, run)
	if err != nil {
		err = fmt.Errorf("closed loop: %w", err)
	}
	return t.load(s.Clients, origin), err
}

// Open sends requests at a rate a second, at times that are fixed beforehand: the n-th is to be sent n/rate seconds after
// the loop began, whatever has become of those before it. Latency counts from then, so a server that stops for a while
// has that held against it by every request that was to be sent meanwhile, as by users who do not know of each other.
// A request is sent late when all s.Clients wait for answers, and not at all, as an error, when that made it later than
// Timeout. It returns at the latest two Timeouts after s.Duration, or one after ctx has ended, with ctx's cause.
//
// (The library vegeta, v12.13.0, has such a loop, too. With 10,000 requests a second to be sent to a bare net/http server
// beside it on two cores, it was measured to get out 4,300 to 8,700, each for 63 to 102 us of its own processor time; this
// loop got out 9,900 and more, for 38 to 55 us.)
func Open(ctx context.Context, s Settings, rate float64) (result.Load, error) {
	if !(rate > 0) {
		return result.Load{}, fmt.Errorf("open loop: the rate %v is not above 0", rate)
	}
	interval := float64(time.Second) / rate
	total := int64(math.Ceil(rate * s.Duration.Seconds()))
	var arrivals atomic.Int64
	run := func(ctx context.Context, c *client) error {
		timer, err := newTimer(ctx)
		if err != nil {
			return err
		}
		defer timer.close()
		for {
			// Whoever is free takes the next arrival, and sleeps until it is due. When nobody is free it has to wait.
			n := arrivals.Add(1) - 1
			if n >= total {
				return nil
			}
			due := c.began.Add(time.Duration(float64(n) * interval))
			if err := timer.wait(ctx, time.Until(due)); err != nil {
				return err
			}
			if late := time.Since(due); late > Timeout {
				c.tally.failed(time.Since(c.began), fmt.Errorf(
					"not sent: all %d clients were busy until %v after it was due", s.Clients, late.Round(time.Millisecond)))
				continue
			}
			if !c.next() {
				return nil
			}
			c.ask(due)
		}
	}
	t, origin, err := loop(ctx, &s, run)
	if err != nil {
		err = fmt.Errorf("open loop of %v a second: %w", rate, err)
	}
	l := t.load(s.Clients, origin)
	l.Offered = rate
	return l, err
}

// loop runs the clients and merges what they have seen. The tally is never nil.
func loop(ctx context.Context, s *Settings, run func(context.Context, *client) error) (*tally, []sample, error) {
	all := newTally(s.Duration)
	addr, err := s.validate()
	if err != nil {
		return all, nil, err
	}
	shared := &fasthttp.HostClient{
		Addr: addr, MaxConns: s.Clients, DialDualStack: true,
		MaxIdemponentCallAttempts: 1, // a request that fails is an error, not another try
		NoDefaultUserAgentHeader:  true,
		DisablePathNormalizing:    true,
	}
	defer shared.CloseIdleConnections()

	began := time.Now()
	clients := make([]*client, s.Clients)
	errs := make([]error, s.Clients)
	var wg sync.WaitGroup
	for i := range clients {
		c := newClient(s, addr, shared, i, began)
		clients[i] = c
		wg.Go(func() { errs[i] = run(ctx, c) })
	}
	done := make(chan struct{})
	var origin []sample
	var originErr error
	var watching sync.WaitGroup
	if s.Origin != nil {
		watching.Go(func() { origin, originErr = watchOrigin(ctx, s, began, all.slice, done) })
	}
	wg.Wait()
	close(done)
	watching.Wait()
	for _, c := range clients {
		all.merge(c.tally)
		c.close()
	}
	return all, origin, errors.Join(firstOf(errs), originErr)
}

// firstOf returns the first error: those of all clients have one reason.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// watchOrigin reads the counter once for each slice, and once more when all is done.
func watchOrigin(ctx context.Context, s *Settings, began time.Time, slice time.Duration, done <-chan struct{},
) (all []sample, err error) {
	tick := time.NewTicker(slice)
	defer tick.Stop()
	for last := false; ; {
		n, err := s.Origin(ctx)
		if err != nil {
			return all, fmt.Errorf("count what MySQL does: %w", err)
		}
		if all = append(all, sample{time.Since(began), n}); last {
			return all, nil
		}
		select {
		case <-tick.C:
		case <-done:
			last = true
		}
	}
}
