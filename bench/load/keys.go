package load

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// Keys says which id to ask for next. Next may be called by many goroutines at once, each with a source of its own; 0
// means that there is nothing left to ask for.
type Keys interface {
	Next(r *rand.Rand) uint64
}

// Single asks for one id all the time.
func Single(id uint64) Keys { return single(id) }

type single uint64

func (s single) Next(*rand.Rand) uint64 { return uint64(s) }

// Uniform asks for the ids 1 to n, each as often as any other. n must not be 0.
func Uniform(n uint64) Keys { return span{first: 1, n: n} }

// Missing asks for the n ids above last, each as often as any other: none of them exists if last is the last one.
// n must not be 0.
func Missing(last, n uint64) Keys { return span{first: last + 1, n: n} }

type span struct{ first, n uint64 }

func (s span) Next(r *rand.Rand) uint64 { return s.first + r.Uint64N(s.n) }

// Shifting asks like Zipf, but each time that a while has passed since it was made, popularity moves on by an eighth of
// the ids: what was asked for most is now among what is asked for least, and ids that hardly anybody asked for take its
// place. every must be above 0.
func Shifting(n uint64, skew float64, every time.Duration) Keys {
	return &shifting{zipf: newZipf(n, skew), scatter: newScatter(n), step: n/8 | 1, every: every, began: time.Now()}
}

type shifting struct {
	zipf    *zipf
	scatter scatter
	step    uint64 // ranks that everything moves by
	every   time.Duration
	began   time.Time
}

func (s *shifting) Next(r *rand.Rand) uint64 {
	shifts := uint64(time.Since(s.began) / s.every)
	n := s.scatter.n
	return s.scatter.id((s.zipf.rank(r) - 1 + shifts%n*s.step) % n)
}

// Sequence asks for ids as they were recorded, one after another over all clients, and begins again at the end. It reads
// ids, which must not be empty, as long as it is used.
func Sequence[T ~uint32 | ~uint64](ids []T) Keys { return &sequence[T]{ids: ids} }

type sequence[T ~uint32 | ~uint64] struct {
	ids  []T
	next atomic.Uint64
}

func (s *sequence[T]) Next(*rand.Rand) uint64 {
	return uint64(s.ids[(s.next.Add(1)-1)%uint64(len(s.ids))])
}

// Some asks for what keys asks for, n times in all, and then is over.
func Some(keys Keys, n uint64) Keys {
	s := &some{keys: keys}
	s.left.Store(int64(n))
	return s
}

type some struct {
	keys Keys
	left atomic.Int64
}

func (s *some) Next(r *rand.Rand) uint64 {
	if s.left.Add(-1) < 0 {
		return 0
	}
	return s.keys.Next(r)
}

// Once asks for each of the ids 1 to n once, in an order that is not theirs, and then is over. n must not be 0.
func Once(n uint64) Keys { return &once{scatter: newScatter(n)} }

type once struct {
	scatter scatter
	next    atomic.Uint64
}

func (o *once) Next(*rand.Rand) uint64 {
	rank := o.next.Add(1) - 1
	if rank >= o.scatter.n {
		return 0
	}
	return o.scatter.id(rank)
}

// scatter maps the ranks 0 to n-1 to the ids 1 to n, one to one, so that ranks which follow each other are not
// neighbours in any table: each is a golden section of n, or nearly, away from the one before.
type scatter struct{ n, step uint64 }

// maxKeys is how many ids there may be: products of two of them must fit in 64 bits.
const maxKeys = 1 << 32

func newScatter(n uint64) scatter {
	const golden = 0.6180339887498949 // (sqrt(5)-1) / 2
	if n == 0 || n > maxKeys {
		panic("load: the number of ids must be from 1 to 2^32")
	}
	step := max(1, uint64(float64(n)*golden))
	for !coprime(step, n) { // a step that shares a divisor with n would come back too early
		step++
	}
	return scatter{n: n, step: step}
}

func (s scatter) id(rank uint64) uint64 { return 1 + rank*s.step%s.n }

// coprime reports whether a and b have no divisor in common, by Euclid's algorithm.
func coprime(a, b uint64) bool {
	for b != 0 {
		a, b = b, a%b
	}
	return a == 1
}
