package load

import (
	"math"
	"math/rand/v2"
)

// Zipf asks for the ids 1 to n, the k-th most popular of them with a probability proportional to 1/k^skew, exactly, for any
// skew from 0, which is Uniform, to MaxSkew. Which id is the k-th follows from n alone, and popular ids are not neighbours.
// n must be from 1 to 2^32. (Measurements of caches find skews from 0.6 to 1; rand.Zipf wants more than 1.) It panics when
// n or skew is out of bounds.
func Zipf(n uint64, skew float64) Keys {
	return &scattered{zipf: newZipf(n, skew), scatter: newScatter(n)}
}

// MaxSkew is the largest skew: 999 of 1,000 requests are for one id then. With much more, rounding lets no draw end.
const MaxSkew = 10

type scattered struct {
	zipf    *zipf
	scatter scatter
}

func (s *scattered) Next(r *rand.Rand) uint64 { return s.scatter.id(s.zipf.rank(r) - 1) }

// zipf draws ranks from 1 to n by rejection-inversion: W. Hörmann and G. Derflinger, "Rejection-inversion to generate
// variates from monotone discrete distributions", ACM TOMACS 6 (1996), pp. 169-184. It needs no table, and hardly ever
// draws twice.
//
// The idea: under the curve h(x) = x^-skew, rank k owns the strip from k-1/2 to k+1/2. A point of the area under the
// curve, drawn by inverting the integral of h, falls into the strip of some k. As h is convex, the strip's area is at
// least h(k), which is what k should have, so the point is accepted if it lies in the part of the strip of area h(k)
// that ends at k+1/2.
type zipf struct {
	n    float64
	skew float64
	// The integral of h at the two ends of what is drawn. The first strip is cut to the area h(1) = 1 that it should have.
	low, high float64
	// sure is how far left of k a point may lie to be accepted without a look at the areas. Taken at k = 2, where the
	// margin is the smallest, it holds for all.
	sure float64
}

func newZipf(n uint64, skew float64) *zipf {
	if n == 0 || n > maxKeys || !(skew >= 0 && skew <= MaxSkew) {
		panic("load: Zipf takes from 1 to 2^32 ids, and a skew from 0 to 10")
	}
	z := &zipf{n: float64(n), skew: skew}
	z.low = z.integral(1.5) - 1
	z.high = z.integral(z.n + 0.5)
	z.sure = 2 - z.inverse(z.integral(2.5)-z.h(2))
	return z
}

// rank returns a number from 1 to n.
func (z *zipf) rank(r *rand.Rand) uint64 {
	for {
		area := z.low + r.Float64()*(z.high-z.low)
		x := z.inverse(area)
		k := min(max(math.Floor(x+0.5), 1), z.n) // rounding may lead a little out
		if k-x <= z.sure || area >= z.integral(k+0.5)-z.h(k) {
			return uint64(k)
		}
	}
}

func (z *zipf) h(x float64) float64 { return math.Exp(-z.skew * math.Log(x)) }

// integral is that of h from 1 to x: (x^(1-skew) - 1) / (1-skew), or the logarithm of x where skew is 1. Written with
// expm1 it is exact near 1, too, and with its limit at 1 itself.
func (z *zipf) integral(x float64) float64 {
	log := math.Log(x)
	p := (1 - z.skew) * log
	if math.Abs(p) < tiny {
		return log * (1 + p/2)
	}
	return log * math.Expm1(p) / p
}

// inverse returns the x at which integral is area.
func (z *zipf) inverse(area float64) float64 {
	p := max((1-z.skew)*area, -1) // below -1 only by rounding
	if math.Abs(p) < tiny {
		return math.Exp(area * (1 - p/2))
	}
	return math.Exp(area * math.Log1p(p) / p)
}

// tiny is where the first two terms of a series are as exact as a float64.
const tiny = 1e-8
