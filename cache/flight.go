package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// flight lets concurrent callers that want the same thing share one piece of work: a call. It belongs to none of them, so a
// caller that leaves does not end it for the others.
type flight[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[K, V]
	wg    sync.WaitGroup // of the calls that have not been forgotten
}

// call is a piece of work under way. Whoever began it has to end and to forget it.
type call[K comparable, V any] struct {
	flight *flight[K, V]
	key    K

	// Under the flight's mutex. The channels are made for those who wait, which on most calls is nobody.
	ended, forgotten bool
	end, gone        chan struct{}
	val              V
	err              error
}

// join returns the call for key. If joined is false there was none: it is the caller's to carry out.
func (f *flight[K, V]) join(key K) (c *call[K, V], joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		return c, true
	}
	if f.calls == nil {
		f.calls = make(map[K]*call[K, V])
	}
	c = &call[K, V]{flight: f, key: key}
	f.calls[key] = c
	f.wg.Add(1)
	return c, false
}

// settle gives all callers what the work came to.
func (c *call[K, V]) settle(val V, err error) {
	c.flight.mu.Lock()
	defer c.flight.mu.Unlock()
	c.val, c.err, c.ended = val, err, true
	if c.end != nil {
		close(c.end)
	}
}

// forget lets another call begin for the key. Until then whoever comes joins this one, ended or not.
func (c *call[K, V]) forget() {
	c.flight.mu.Lock()
	defer c.flight.mu.Unlock()
	delete(c.flight.calls, c.key)
	c.forgotten = true
	if c.gone != nil {
		close(c.gone)
	}
	c.flight.wg.Done()
}

// wait returns what the call has ended with, or why ctx ended before.
func (c *call[K, V]) wait(ctx context.Context) (V, error) {
	if ch := c.waiting(&c.ended, &c.end); ch != nil {
		select {
		case <-ch:
		case <-ctx.Done():
			var zero V
			return zero, context.Cause(ctx)
		}
	}
	return c.val, c.err
}

// waitGone returns when the call has been forgotten, or ctx has ended.
func (c *call[K, V]) waitGone(ctx context.Context) {
	if ch := c.waiting(&c.forgotten, &c.gone); ch != nil {
		select {
		case <-ch:
		case <-ctx.Done():
		}
	}
}

// waiting returns a channel that is closed when over becomes true, nil if it is.
func (c *call[K, V]) waiting(over *bool, ch *chan struct{}) <-chan struct{} {
	c.flight.mu.Lock()
	defer c.flight.mu.Unlock()
	if *over {
		return nil
	}
	if *ch == nil {
		*ch = make(chan struct{})
	}
	return *ch
}

// guard turns a panic into an error: it would end the process where no caller's recover is on this goroutine, and leave
// others waiting where one is.
func guard[V any](ctx context.Context, work func(context.Context) (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work(ctx)
}
