package result

import "slices"

// Range is the median of several figures, and the smallest and the largest.
type Range struct{ Median, Min, Max float64 }

// RangeOf returns the range of figures; of none it is zero.
func RangeOf(figures []float64) Range {
	if len(figures) == 0 {
		return Range{}
	}
	f := slices.Sorted(slices.Values(figures))
	mid := f[len(f)/2]
	if len(f)%2 == 0 {
		mid = (f[len(f)/2-1] + mid) / 2
	}
	return Range{Median: mid, Min: f[0], Max: f[len(f)-1]}
}

// Over returns the range of a figure over the arm's runs, without the runs that have none.
func (a *Arm) Over(figure func(*Run) (float64, bool)) Range {
	var all []float64
	for i := range a.Runs {
		if f, ok := figure(&a.Runs[i]); ok {
			all = append(all, f)
		}
	}
	return RangeOf(all)
}
