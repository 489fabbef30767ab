package load

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gonum.org/v1/gonum/stat/distuv"
)

func source() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// TestZipfIsExact compares draws with the probabilities that they should have, by Pearson's test. Ranks that are too
// rare for it are taken together.
func TestZipfIsExact(t *testing.T) {
	t.Parallel()
	const draws = 400_000
	for _, n := range []uint64{1, 2, 3, 10, 1000, 10_000_000} {
		for _, skew := range []float64{0, 0.5, 0.99, 1, 1 + 1e-9, 1.2, 3, MaxSkew} {
			if n > 1000 && skew != 0.99 {
				continue // the sums take their time
			}
			z, r := newZipf(n, skew), source()
			sum := 0.0
			for k := n; k >= 1; k-- { // the small ones first, for the sake of the sum
				sum += math.Pow(float64(k), -skew)
			}
			// Bins of one rank each as long as that is drawn some 20 times, then of ever more ranks.
			var ends []uint64
			var want []float64
			inBin := 0.0
			for k := uint64(1); k <= n; k++ {
				if inBin += draws * math.Pow(float64(k), -skew) / sum; inBin >= 20 {
					ends, want, inBin = append(ends, k), append(want, inBin), 0
				}
			}
			if inBin > 0 {
				ends, want = append(ends, n), append(want, inBin)
			}
			got := make([]float64, len(ends))
			for range draws {
				k := z.rank(r)
				if k < 1 || k > n {
					t.Fatalf("n %d, skew %v: rank %d", n, skew, k)
				}
				got[binOf(ends, k)]++
			}
			chi := 0.0
			for i := range ends {
				chi += (got[i] - want[i]) * (got[i] - want[i]) / want[i]
			}
			if len(ends) == 1 {
				continue // all draws are in one bin
			}
			p := distuv.ChiSquared{K: float64(len(ends) - 1)}.Survival(chi)
			if p < 1e-4 {
				t.Errorf("n %d, skew %v: chi-squared %.0f with %d bins, probability %v", n, skew, chi, len(ends), p)
			}
		}
	}
}

// binOf returns the first bin whose end is not before k.
func binOf(ends []uint64, k uint64) int {
	low, high := 0, len(ends)-1
	for low < high {
		if mid := (low + high) / 2; ends[mid] < k {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low
}

func TestScatterIsOneToOneAndFar(t *testing.T) {
	t.Parallel()
	for _, n := range []uint64{1, 2, 3, 4, 6, 10, 89, 1000, 65536, 100_000} {
		s := newScatter(n)
		seen := make([]bool, n+1)
		for rank := range n {
			id := s.id(rank)
			if id < 1 || id > n || seen[id] {
				t.Fatalf("n %d: rank %d is id %d, which is out of bounds or of another rank", n, rank, id)
			}
			seen[id] = true
		}
		for rank := range n - 1 {
			gap := (s.id(rank+1) + n - s.id(rank)) % n
			if n >= 10 && min(gap, n-gap) < n/3 {
				t.Fatalf("n %d: the ids of ranks %d and %d are %d apart", n, rank, rank+1, gap)
			}
		}
	}
	if s := newScatter(maxKeys); s.id(maxKeys-1) < 1 || s.id(maxKeys-1) > maxKeys || s.id(1) != 1+s.step {
		t.Errorf("at the largest size: rank 1 is %d, the last %d", s.id(1), s.id(maxKeys-1))
	}
}

// counts draws many times.
func counts(k Keys, draws int) map[uint64]int {
	r, n := source(), map[uint64]int{}
	for range draws {
		n[k.Next(r)]++
	}
	return n
}

func TestZipfPopularity(t *testing.T) {
	t.Parallel()
	const n, draws = 1000, 100_000
	c, s := counts(Zipf(n, 1), draws), newScatter(n)
	harmonic := 0.0
	for k := range n {
		harmonic += 1 / float64(k+1)
	}
	for _, rank := range []uint64{0, 1, 4} {
		want := draws / harmonic / float64(rank+1)
		if got := float64(c[s.id(rank)]); math.Abs(got-want) > 5*math.Sqrt(want) {
			t.Errorf("rank %d, id %d: %v draws, want %.0f", rank+1, s.id(rank), got, want)
		}
	}
	if len(c) < n*9/10 {
		t.Errorf("%d of %d ids were drawn", len(c), n)
	}
}

func TestUniformMissingSingle(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		keys     Keys
		low, hig uint64
	}{{"uniform", Uniform(50), 1, 50}, {"missing", Missing(80, 50), 81, 130}, {"single", Single(7), 7, 7}} {
		const draws = 20_000
		n := counts(c.keys, draws)
		ids := c.hig - c.low + 1
		if uint64(len(n)) != ids {
			t.Errorf("%s: %d ids, want %d", c.name, len(n), ids)
		}
		for id, got := range n {
			want := float64(draws) / float64(ids)
			if id < c.low || id > c.hig || math.Abs(float64(got)-want) > 6*math.Sqrt(want) {
				t.Errorf("%s: id %d was drawn %d times, want about %v", c.name, id, got, want)
			}
		}
	}
}

func TestShiftingMovesOnWithTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 800
		keys := Shifting(n, 1.2, time.Second)
		hottest := func() (top uint64) {
			c := counts(keys, 5000)
			for id := range c {
				if id < 1 || id > n {
					t.Fatalf("id %d", id)
				}
				if c[id] > c[top] {
					top = id
				}
			}
			return top
		}
		first := hottest()
		<-time.After(999 * time.Millisecond) // of the bubble's time
		if again := hottest(); again != first {
			t.Errorf("before its time the hottest has become %d, was %d", again, first)
		}
		seen := map[uint64]bool{first: true}
		for range 20 {
			<-time.After(time.Second)
			seen[hottest()] = true
		}
		if len(seen) != 21 {
			t.Errorf("%d ids were the hottest in 21 s, want another each second", len(seen))
		}
	})
}

func TestSequenceGoesAround(t *testing.T) {
	t.Parallel()
	keys, r := Sequence([]uint32{5, 3, 5, 9}), source()
	for i, want := range []uint64{5, 3, 5, 9, 5, 3, 5, 9, 5} {
		if got := keys.Next(r); got != want {
			t.Errorf("the id at %d is %d, want %d", i, got, want)
		}
	}
}

func TestOnceGivesEachIDOnceToAllClients(t *testing.T) {
	t.Parallel()
	const n, clients = 10_000, 8
	keys := Once(n)
	var mu sync.Mutex
	seen := map[uint64]int{}
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			r := source()
			for id := keys.Next(r); id != 0; id = keys.Next(r) {
				mu.Lock()
				seen[id]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id := uint64(1); id <= n; id++ {
		if seen[id] != 1 {
			t.Fatalf("id %d was given %d times", id, seen[id])
		}
	}
	if len(seen) != n {
		t.Errorf("%d ids, want %d", len(seen), n)
	}
}

func BenchmarkZipf(b *testing.B) {
	for _, skew := range []float64{0.6, 0.99} {
		b.Run(fmt.Sprint(skew), func(b *testing.B) {
			keys, r := Zipf(1_000_000, skew), source()
			for b.Loop() {
				keys.Next(r)
			}
		})
	}
}

func TestSomeEnds(t *testing.T) {
	keys, r := Some(Single(7), 3), rand.New(rand.NewPCG(1, 2))
	for i, want := range []uint64{7, 7, 7, 0, 0} {
		if got := keys.Next(r); got != want {
			t.Errorf("key %d is %d, want %d", i, got, want)
		}
	}
}
