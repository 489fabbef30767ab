package api

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// lazyDeadline is a context with a deadline whose timer is made when somebody first waits for it. A read that is
// answered from memory never waits, and context.WithTimeout would cost it more than the whole rest of its request.
type lazyDeadline struct {
	context.Context // the request's
	deadline        time.Time

	once  sync.Once
	armed atomic.Pointer[armedDeadline]
}

type armedDeadline struct {
	ctx    context.Context
	cancel context.CancelFunc
}

func withLazyDeadline(parent context.Context, deadline time.Time) *lazyDeadline {
	return &lazyDeadline{Context: parent, deadline: deadline}
}

// Deadline is known without a timer.
func (c *lazyDeadline) Deadline() (time.Time, bool) {
	if d, ok := c.Context.Deadline(); ok && d.Before(c.deadline) {
		return d, true
	}
	return c.deadline, true
}

// Done arms the timer.
func (c *lazyDeadline) Done() <-chan struct{} { return c.arm().Done() }

// Err arms the timer only if the time is over, so that a loop that looks at Err alone ends too.
func (c *lazyDeadline) Err() error {
	if a := c.armed.Load(); a != nil {
		return a.ctx.Err()
	}
	if err := c.Context.Err(); err != nil {
		return err
	}
	if !time.Now().Before(c.deadline) {
		return c.arm().Err()
	}
	return nil
}

// Value hands on to the armed context, so that package context finds its own cancelable parent there and derives
// children without a goroutine each.
func (c *lazyDeadline) Value(key any) any {
	if a := c.armed.Load(); a != nil {
		return a.ctx.Value(key)
	}
	return c.Context.Value(key)
}

func (c *lazyDeadline) arm() context.Context {
	c.once.Do(func() {
		ctx, cancel := context.WithDeadline(c.Context, c.deadline)
		c.armed.Store(&armedDeadline{ctx: ctx, cancel: cancel})
	})
	return c.armed.Load().ctx
}

// release frees the timer, if there is one. Whoever still waits is let go.
func (c *lazyDeadline) release() {
	if a := c.armed.Load(); a != nil {
		a.cancel()
	}
}
