package cache

import (
	"context"
	"fmt"
	"runtime/debug"
	"sync"
)

// flight lets concurrent callers that want the same thing share one piece of work. The work belongs to none of them: it
// runs on a context of its own, so a caller that leaves does not end it for the others.
type flight[K comparable, V any] struct {
	mu    sync.Mutex
	calls map[K]*call[V]
	wg    sync.WaitGroup
}

type call[V any] struct {
	done chan struct{} // closed when val and err are there
	gone chan struct{} // closed when the call is forgotten, and another may begin
	val  V
	err  error
}

// join returns the call for key, begun by this caller if there was none. What work returns is given to all callers at
// once; after is run with it before the call is forgotten, so that a caller who comes too late for the call finds what
// after has stored.
func (f *flight[K, V]) join(ctx context.Context, key K, work func(context.Context) (V, error), after func(V)) (c *call[V], joined bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if c, ok := f.calls[key]; ok {
		return c, true
	}
	if f.calls == nil {
		f.calls = make(map[K]*call[V])
	}
	c = &call[V]{done: make(chan struct{}), gone: make(chan struct{})}
	f.calls[key] = c
	ctx = context.WithoutCancel(ctx)
	f.wg.Go(func() {
		c.val, c.err = guard(ctx, work)
		close(c.done)
		if c.err == nil {
			after(c.val)
		}
		f.mu.Lock()
		delete(f.calls, key)
		f.mu.Unlock()
		close(c.gone)
	})
	return c, false
}

// wait returns what the call ended with, or why ctx ended before.
func (c *call[V]) wait(ctx context.Context) (V, error) {
	select {
	case <-c.done:
		return c.val, c.err
	case <-ctx.Done():
		var zero V
		return zero, context.Cause(ctx)
	}
}

// guard turns a panic into an error: it would end the process, since no caller's recover is on this goroutine.
func guard[V any](ctx context.Context, work func(context.Context) (V, error)) (v V, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return work(ctx)
}
