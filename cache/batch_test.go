package cache

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"vidmeta/schema"
)

// gated is a batcher whose round trips wait for the test, which sees what each was asked.
func gated(t *testing.T, width, size, queue int) (b *batcher[int, int], trips chan []int, release chan error) {
	trips, release = make(chan []int), make(chan error)
	b = &batcher[int, int]{width: width, size: size, queue: queue, timeout: time.Minute,
		send: func(_ context.Context, asks []int) ([]int, error) {
			trips <- asks
			err := <-release
			return each(asks, func(n int) int { return 10 * n }), err
		}}
	t.Cleanup(b.wait)
	return b, trips, release
}

// ask sends numbers and returns a function that waits for all their answers.
func ask(t *testing.T, b *batcher[int, int], numbers ...int) (answers func() error) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed error
	for _, n := range numbers {
		r := &request[int, int]{ask: n, done: make(chan struct{})}
		begin, ok := b.enqueue(r)
		if !ok {
			t.Fatalf("%d was refused", n)
		}
		if begin {
			go b.run()
		}
		wg.Go(func() {
			<-r.done
			mu.Lock()
			defer mu.Unlock()
			if r.err != nil {
				failed = r.err
			} else if r.answer != 10*n {
				t.Errorf("asked %d, answered %d", n, r.answer)
			}
		})
	}
	return func() error { wg.Wait(); return failed }
}

func TestBatcherGathers(t *testing.T) {
	b, trips, release := gated(t, 1, 3, 100)
	first := ask(t, b, 1)
	if got := <-trips; len(got) != 1 {
		t.Fatalf("the first request waited for others: %v", got)
	}
	rest := ask(t, b, 2, 3, 4, 5) // while the first is under way
	release <- nil
	if err := first(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{3, 1} {
		if got := <-trips; len(got) != want {
			t.Errorf("a round trip of %v, want %d requests", got, want)
		}
		release <- nil
	}
	if err := rest(); err != nil {
		t.Fatal(err)
	}
}

// With room for two round trips at once: what comes while the first is young waits for it, what has waited for long does not.
func TestBatcherPatience(t *testing.T) {
	b, trips, release := gated(t, 2, 3, 100)
	b.patience = time.Hour
	first := ask(t, b, 1)
	<-trips
	rest := ask(t, b, 2, 3)
	full := ask(t, b, 4)
	if got := <-trips; len(got) != 3 {
		t.Errorf("a round trip of %v beside the first, want the whole batch", got)
	}
	late := ask(t, b, 5)
	release <- nil
	release <- nil
	if got := <-trips; len(got) != 1 {
		t.Errorf("a round trip of %v, want what had waited", got)
	}
	release <- nil
	for _, wait := range []func() error{first, rest, full, late} {
		if err := wait(); err != nil {
			t.Error(err)
		}
	}

	b, trips, release = gated(t, 2, 3, 100)
	b.patience = time.Millisecond
	first = ask(t, b, 6)
	<-trips
	rest = ask(t, b, 7)
	<-trips // though the first has not ended
	release <- nil
	release <- nil
	if err := errors.Join(first(), rest()); err != nil {
		t.Error(err)
	}
}

// More at once than fits in one round trip leaves in as many as there may be, and the rest when it has waited.
func TestBatcherTakesCrowds(t *testing.T) {
	b, trips, release := gated(t, 3, 2, 100)
	b.patience = time.Millisecond
	crowd := make([]*request[int, int], 5)
	for i := range crowd {
		crowd[i] = &request[int, int]{ask: i, done: make(chan struct{})}
	}
	if begin, ok := b.enqueue(crowd...); !begin || !ok {
		t.Fatal(begin, ok)
	}
	go b.run()
	for _, want := range []int{2, 2, 1} { // none of which has ended
		if got := <-trips; len(got) != want {
			t.Errorf("a round trip of %v, want %d requests", got, want)
		}
	}
	for range 3 {
		release <- nil
	}
	for i, r := range crowd {
		if <-r.done; r.answer != 10*i || r.err != nil {
			t.Errorf("asked %d, answered %d, %v", i, r.answer, r.err)
		}
	}
}

func TestBatcherWantsAnAnswerEach(t *testing.T) {
	b := &batcher[int, int]{width: 1, size: 2, queue: 2, timeout: time.Minute, send: func(context.Context, []int) ([]int, error) { return nil, nil }}
	if _, err := b.do(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "0 answers to 1") {
		t.Errorf("got %v", err)
	}
}

// Who is refused has the answer before anybody's round trip begins, whatever leaves beside.
func TestBatcherRefuses(t *testing.T) {
	b, trips, release := gated(t, 1, 10, 100)
	refused := errors.New("refused")
	b.refuse = func(n int) error {
		if n%2 == 0 {
			return refused
		}
		return nil
	}
	first := ask(t, b, 1)
	<-trips
	even, odd := ask(t, b, 2, 4), ask(t, b, 3, 5)
	release <- nil
	if got := <-trips; !slices.Equal(got, []int{3, 5}) {
		t.Errorf("a round trip of %v, want that of those who are not refused", got)
	}
	if err := even(); !errors.Is(err, refused) { // while it is under way
		t.Errorf("got %v", err)
	}
	release <- nil
	if err := errors.Join(first(), odd()); err != nil {
		t.Error(err)
	}
	none := ask(t, b, 6)
	if err := none(); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
}

func TestBatcherSharesErrors(t *testing.T) {
	b, trips, release := gated(t, 1, 8, 100)
	wait := ask(t, b, 1)
	<-trips
	more := ask(t, b, 2, 3)
	release <- nil
	<-trips
	release <- errBroken
	if err := errors.Join(wait(), more()); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the error of the round trip", err)
	}
}

func TestBatcherRefusesBeyondQueue(t *testing.T) {
	b, trips, release := gated(t, 1, 1, 2)
	wait := ask(t, b, 1)
	<-trips
	more := ask(t, b, 2, 3)
	if _, err := b.do(t.Context(), 4); !errors.Is(err, schema.ErrOverloaded) {
		t.Errorf("got %v, want ErrOverloaded", err)
	}
	release <- nil
	for range 2 {
		<-trips
		release <- nil
	}
	if err := errors.Join(wait(), more()); err != nil {
		t.Fatal(err)
	}
}

// Whoever waits for others may leave, and so may whoever is in a hurry; who has all the time makes the round trip itself.
func TestBatcherCallerLeaves(t *testing.T) {
	b, trips, release := gated(t, 1, 1, 10)
	left := func(ctx context.Context, n int) (err chan error) {
		err = make(chan error)
		go func() {
			_, e := b.do(ctx, n)
			err <- e
		}()
		return err
	}
	hurry, stop := context.WithTimeout(t.Context(), b.timeout/2)
	first := left(hurry, 1)
	<-trips
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errBroken)
	if err := <-left(ctx, 2); !errors.Is(err, errBroken) {
		t.Errorf("who waited got %v, want the cause", err)
	}
	stop()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("who was in a hurry got %v", err)
	}
	release <- nil
	<-trips
	release <- nil
	b.wait()

	answer := make(chan int)
	go func() {
		n, err := b.do(t.Context(), 3)
		if err != nil {
			t.Error(err)
		}
		answer <- n
	}()
	<-trips
	more := ask(t, b, 4) // for another goroutine to take along
	release <- nil
	if n := <-answer; n != 30 {
		t.Errorf("got %d, want 30", n)
	}
	<-trips
	release <- nil
	if err := more(); err != nil {
		t.Fatal(err)
	}
}

func TestBatcherSurvivesPanic(t *testing.T) {
	b := &batcher[int, int]{width: 1, size: 1, queue: 1, timeout: time.Minute, send: func(context.Context, []int) ([]int, error) { panic("ouch") }}
	for range 2 {
		if _, err := b.do(t.Context(), 1); err == nil {
			t.Fatal("no error")
		}
	}
}
