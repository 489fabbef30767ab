package report

import "vidmeta/bench/result"

// Of the many loads of an arm a chart draws one. Which one it is depends on figures alone that are kept for all of them.

// byNines is the load whose latencies are drawn: of the repeat with the median p99. nil if there is none.
func (v view) byNines(a *result.Arm) *result.Load {
	r := typical(a, v.latency(p99))
	if r == nil {
		return nil
	}
	return v.calm(r)
}

// latest is the load whose stale answers are drawn: the one with the most of them. nil if no answer was stale.
func (v view) latest(a *result.Arm) (with *result.Load) {
	for i := range a.Runs {
		for _, l := range []*result.Load{v.busy(&a.Runs[i]), v.calm(&a.Runs[i])} {
			if l != nil && l.Staleness.Stale > 0 && (with == nil || l.Staleness.Stale > with.Staleness.Stale) {
				with = l
			}
		}
	}
	return with
}

// overTime is the load that is drawn over time: of the repeat that did the median rate. nil if there is none.
func (v view) overTime(a *result.Arm) *result.Load {
	r := typical(a, v.rate)
	if r == nil {
		r = typical(a, v.latency(p99))
	}
	if r == nil {
		return nil
	}
	told := v.counted(r)
	if l := v.calm(r); l != nil && l.Took > 2*told.Took {
		told = l // where somebody let it run for long, that is what the scenario is about
	}
	return told
}

// trim takes out of a report the curves and timelines that no chart draws, which would be most of it.
func trim(r *result.Report) {
	for i := range r.Scenarios {
		v := viewOf(&r.Scenarios[i])
		for j := range v.Arms {
			a := &v.Arms[j]
			nines, late, time := v.byNines(a), v.latest(a), v.overTime(a)
			for _, l := range loads(a) {
				if l != nines {
					l.Latency.Curve = nil
				}
				if l != late {
					l.Staleness.Late.Curve = nil
				}
				if l != time || len(l.Timeline) < fewMoments {
					l.Timeline = nil
				}
			}
		}
	}
}

// loads are all of an arm.
func loads(a *result.Arm) (all []*result.Load) {
	for i := range a.Runs {
		r := &a.Runs[i]
		for _, l := range []*result.Load{r.Warm, r.Capacity, r.Paced} {
			if l != nil {
				all = append(all, l)
			}
		}
		for j := range r.Steps {
			all = append(all, &r.Steps[j])
		}
	}
	return all
}
