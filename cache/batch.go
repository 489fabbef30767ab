package cache

import (
	"context"
	"sync"
	"time"

	"vidmeta/schema"
)

// batcher sends requests together without making any of them wait for others: what arrives while its round trips are
// under way gathers and leaves in the next one. When nothing is under way a request leaves at once.
type batcher[Q, A any] struct {
	// send makes one round trip. Its answers are in the order of the requests; an error is every request's.
	send func(ctx context.Context, batch []Q) ([]A, error)
	// width is how many round trips may be under way at once, size how many requests fit in one, and queue how many may
	// wait: beyond it they are refused with schema.ErrOverloaded.
	width, size, queue int
	timeout            time.Duration // of one round trip

	mu      sync.Mutex
	waiting []*request[Q, A]
	running int
	wg      sync.WaitGroup
}

type request[Q, A any] struct {
	ask    Q
	answer A
	err    error
	done   chan struct{}
}

// do returns the answer to ask. A caller that leaves early leaves its request behind; ask must stay untouched.
func (b *batcher[Q, A]) do(ctx context.Context, ask Q) (A, error) {
	r := &request[Q, A]{ask: ask, done: make(chan struct{})}
	var zero A
	if !b.enqueue(r) {
		return zero, schema.ErrOverloaded
	}
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

func (b *batcher[Q, A]) enqueue(r *request[Q, A]) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) >= b.queue {
		return false
	}
	b.waiting = append(b.waiting, r)
	if b.running < b.width {
		b.running++
		b.wg.Go(b.run)
	}
	return true
}

// run makes round trips until nothing waits.
func (b *batcher[Q, A]) run() {
	for {
		batch := b.take()
		if batch == nil {
			return
		}
		asks := make([]Q, len(batch))
		for i, r := range batch {
			asks[i] = r.ask
		}
		ctx, cancel := context.WithTimeout(context.Background(), b.timeout)
		answers, err := guard(ctx, func(ctx context.Context) ([]A, error) { return b.send(ctx, asks) })
		cancel()
		for i, r := range batch {
			if err != nil {
				r.err = err
			} else {
				r.answer = answers[i]
			}
			close(r.done)
		}
	}
}

// take returns the next batch, or nil after it has counted its caller out.
func (b *batcher[Q, A]) take() []*request[Q, A] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.running--
		return nil
	}
	n := min(len(b.waiting), b.size)
	batch := b.waiting[:n:n]
	if n == len(b.waiting) {
		b.waiting = nil
	} else {
		b.waiting = b.waiting[n:]
	}
	return batch
}

// wait returns when no round trip is under way any more.
func (b *batcher[Q, A]) wait() { b.wg.Wait() }
