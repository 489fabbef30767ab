package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"vidmeta/schema"
)

// batcher sends requests together: what arrives while its round trips are under way gathers and leaves in the next one.
// When nothing is under way a request leaves at once.
type batcher[Q, A any] struct {
	// send makes one round trip. Its answers are in the order of the requests; an error is every request's.
	send func(ctx context.Context, batch []Q) ([]A, error)
	// refuse is asked of each request before it leaves: an error answers it at once. nil refuses none.
	refuse func(Q) error
	// width is how many round trips may be under way at once, size how many requests fit in one, and queue how many may
	// wait: beyond it they are refused with schema.ErrOverloaded.
	width, size, queue int
	timeout            time.Duration // of one round trip
	// patience is how long what waits waits for the round trips under way before it leaves in another one beside them: the
	// longer, the more gathers. Where a whole batch waits it leaves at once, as it does where nothing is under way.
	patience time.Duration

	mu      sync.Mutex
	waiting []*request[Q, A]
	running int
	latest  time.Time // when the last round trip began
	watched bool      // hurry will be called
	wg      sync.WaitGroup
}

type request[Q, A any] struct {
	ask    Q
	answer A
	err    error
	// Told when answer or err is there; nil if nobody waits in that way.
	done  chan struct{}
	group *sync.WaitGroup
}

func (r *request[Q, A]) finish(answer A, err error) {
	r.answer, r.err = answer, err
	if r.done != nil {
		close(r.done)
	}
	if r.group != nil {
		r.group.Done()
	}
}

// do returns the answer to ask. A caller that leaves early leaves its request behind; ask must stay untouched. One that
// finds no round trip under way makes it itself, to its end, unless ctx has a deadline that may come before: this saves
// waking two goroutines.
func (b *batcher[Q, A]) do(ctx context.Context, ask Q) (A, error) {
	var zero A
	r := &request[Q, A]{ask: ask, done: make(chan struct{})}
	begin, ok := b.enqueue(r)
	switch {
	case !ok:
		return zero, schema.ErrOverloaded
	case begin && leaves(ctx, b.timeout):
		b.once() // with r in it, unless somebody else was quicker to take it along
	case begin:
		go b.run()
	}
	select {
	case <-r.done:
		return r.answer, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	}
}

// post sends ask without waiting for an answer. It returns false if the queue is full.
func (b *batcher[Q, A]) post(ask Q) bool {
	begin, ok := b.enqueue(&request[Q, A]{ask: ask})
	if begin {
		go b.run()
	}
	return ok
}

// leaves reports whether ctx leaves time for something that takes d at most.
func leaves(ctx context.Context, d time.Duration) bool {
	end, ok := ctx.Deadline()
	return !ok || time.Until(end) > d
}

// enqueue has requests wait for the next round trip. If ok is false there is no room for them. If begin is true the caller
// has to have run or once called.
func (b *batcher[Q, A]) enqueue(rs ...*request[Q, A]) (begin, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting)+len(rs) > b.queue {
		return false, false
	}
	b.waiting = append(b.waiting, rs...)
	return b.due(), true
}

// due reports whether another round trip is to begin now, and counts it. If that is a matter of time, hurry will look again.
func (b *batcher[Q, A]) due() bool {
	if len(b.waiting) == 0 || b.running >= b.width {
		return false
	}
	if left := b.patience - time.Since(b.latest); b.running > 0 && len(b.waiting) < b.size && left > 0 {
		if !b.watched {
			b.watched = true
			time.AfterFunc(left, b.hurry)
		}
		return false
	}
	b.running++
	b.wg.Add(1)
	b.latest = time.Now()
	return true
}

// hurry begins another round trip if what waits has waited for long enough.
func (b *batcher[Q, A]) hurry() {
	b.mu.Lock()
	b.watched = false
	begin := b.due()
	b.mu.Unlock()
	if begin {
		b.run()
	}
}

// once makes one round trip, and leaves what has come meanwhile to another goroutine.
func (b *batcher[Q, A]) once() {
	if batch := b.take(); batch != nil {
		b.trip(batch)
		if batch = b.take(); batch != nil {
			go func() {
				b.trip(batch)
				b.run()
			}()
		}
	}
}

// run makes round trips until nothing waits.
func (b *batcher[Q, A]) run() {
	for batch := b.take(); batch != nil; batch = b.take() {
		b.trip(batch)
	}
}

// trip makes one round trip, for those that are not refused.
func (b *batcher[Q, A]) trip(batch []*request[Q, A]) {
	if b.refuse != nil {
		batch = slices.DeleteFunc(batch, func(r *request[Q, A]) bool {
			err := b.refuse(r.ask)
			if err != nil {
				var none A
				r.finish(none, err)
			}
			return err != nil
		})
	}
	if len(batch) == 0 {
		return
	}
	asks := make([]Q, len(batch))
	for i, r := range batch {
		asks[i] = r.ask
	}
	ctx, cancel := context.WithTimeout(context.Background(), b.timeout)
	answers, err := guard(ctx, func(ctx context.Context) ([]A, error) {
		answers, err := b.send(ctx, asks)
		if err == nil && len(answers) != len(asks) {
			err = fmt.Errorf("%d answers to %d questions", len(answers), len(asks))
		}
		return answers, err
	})
	cancel()
	for i, r := range batch {
		var answer A
		if err == nil {
			answer = answers[i]
		}
		r.finish(answer, err)
	}
}

// take returns the next batch, or nil after it has counted its caller out.
func (b *batcher[Q, A]) take() []*request[Q, A] {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.waiting) == 0 {
		b.running--
		b.wg.Done()
		return nil
	}
	b.latest = time.Now()
	n := min(len(b.waiting), b.size)
	batch := b.waiting[:n:n]
	if n == len(b.waiting) {
		b.waiting = nil
	} else {
		b.waiting = b.waiting[n:]
		if b.due() { // more than fits came at once
			go b.run()
		}
	}
	return batch
}

// idle reports whether nothing has been sent for so long.
func (b *batcher[Q, A]) idle(d time.Duration) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.running == 0 && len(b.waiting) == 0 && time.Since(b.latest) > d
}

// wait returns when no round trip is under way any more.
func (b *batcher[Q, A]) wait() { b.wg.Wait() }
