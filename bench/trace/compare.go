package trace

import (
	"context"
	"fmt"
	"runtime"

	"vidmeta/bench/result"
)

// Rooms are shares of a trace's keys that are worth comparing: from far too little to plenty.
var Rooms = []float64{0.01, 0.05, 0.10, 0.25}

// LocalTier is the name under which the service's own tier is compared.
const LocalTier = "local tier"

// Compare replays a trace through empty tiers with room for each of the shares of its keys: a plain LRU, Ristretto, Otter,
// and, if local is not nil, the service's own. Every request counts, also the first one for a key, which none can answer. It
// takes some microseconds for each request that a tier does not answer, and ends early with ctx.
func Compare(ctx context.Context, t *Trace, rooms []float64, local Maker) (result.Trace, error) {
	out := result.Trace{Name: t.Name, Source: t.Source, Requests: int64(len(t.IDs)), Keys: int64(t.Keys)}
	policies := yardsticks
	if local != nil {
		policies = append([]policy{{LocalTier, local}}, policies...)
	}
	for _, p := range policies {
		for _, room := range rooms {
			tier, err := p.make(max(int(room*float64(t.Keys)), 1))
			if err != nil {
				return result.Trace{}, fmt.Errorf("replay %s: %w", p.name, err)
			}
			hits, err := replay(ctx, t, tier)
			tier.Close()
			if err != nil {
				return result.Trace{}, fmt.Errorf("replay %s: %w", p.name, err)
			}
			share := float64(hits) / float64(max(len(t.IDs), 1))
			out.Policies = append(out.Policies, result.Policy{Name: p.name, Room: room, Hits: share})
		}
	}
	return out, nil
}

// pause is after how many requests a replay lets others run, as a service does at each. Ristretto counts reads in a
// goroutine of its own and forgets those that come while that is busy: of web12 replayed without a pause it forgets 67 %,
// with one 7 %, and answers 5 points more with room for 5 % of the keys (its own metrics, v2.4.2, 2 cores).
const pause = 8

func replay(ctx context.Context, t *Trace, tier Tier) (hits int64, err error) {
	for i, id := range t.IDs {
		if i%(1<<14) == 0 && ctx.Err() != nil {
			return 0, context.Cause(ctx)
		}
		if i%pause == 0 {
			runtime.Gosched()
		}
		if tier.Get(uint64(id)) {
			hits++
		} else {
			tier.Put(uint64(id))
		}
	}
	return hits, nil
}
