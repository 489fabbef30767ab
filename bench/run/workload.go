package run

import (
	"context"
	"fmt"
	"time"

	"vidmeta/bench/load"
	"vidmeta/bench/result"
	"vidmeta/bench/trace"
)

// measured warms an arm with keys, and then measures what it can do and how long it takes at half of that.
func (p *Plan) measured(ctx context.Context, t *turn, keys func() load.Keys, shape shape) (r result.Run, err error) {
	if err := p.beforehand(ctx, t, keys()); err != nil {
		return r, err
	}
	if _, err := t.closed(ctx, keys(), p.warm(shape), shape); err != nil {
		return r, err
	}
	t.measuring()
	if r.Capacity, err = t.closed(ctx, keys(), p.Measure, shape); err != nil {
		return r, err
	}
	r.Paced, err = t.open(ctx, keys(), r.Capacity.Rate/2, p.Measure, shape)
	return r, err
}

// steadyDraws is how many draws for each document leave in the process what steady traffic does. Something that is asked for r
// times a second and kept for 5 min, as vidmeta keeps it, is missing for 1/(1+300r) of its requests: in all for 3.8 % of 7,000 a
// second, Zipf 0.99, for 100,000 documents. So much is new to somebody who has drawn 700,000.
const steadyDraws = 7

// beforehand asks an arm whose documents end by being changed for what a while of traffic has asked for, by many at once, as no
// turn lasts for so long.
func (p *Plan) beforehand(ctx context.Context, t *turn, keys load.Keys) error {
	if !t.keeps {
		return nil
	}
	_, err := t.closed(ctx, load.Some(keys, steadyDraws*uint64(p.Videos)), longest, shape{batch: batchSize})
	return err
}

// warm is how long a load lasts before what is measured. Few documents are soon where they will be.
func (p *Plan) warm(s shape) time.Duration {
	if s.few {
		return p.Warm / 4
	}
	return p.Warm
}

func (p *Plan) oneDocument(ctx context.Context, t *turn) (result.Run, error) {
	return p.measured(ctx, t, func() load.Keys { return load.Single(1) }, shape{few: true})
}

func (p *Plan) zipf(writes float64) turnFunc {
	return func(ctx context.Context, t *turn) (result.Run, error) {
		keys := func() load.Keys { return load.Zipf(uint64(p.Videos), p.Skew) }
		return p.measured(ctx, t, keys, shape{writes: writes, written: keys()})
	}
}

func (p *Plan) shifting(ctx context.Context, t *turn) (result.Run, error) {
	keys := func() load.Keys { return load.Shifting(uint64(p.Videos), p.Skew, time.Second) }
	return p.measured(ctx, t, keys, shape{writes: p.Writes, written: keys()})
}

func (p *Plan) uniform(ctx context.Context, t *turn) (result.Run, error) {
	keys := func() load.Keys { return load.Uniform(uint64(p.Videos)) }
	return p.measured(ctx, t, keys, shape{writes: p.Writes, written: keys()})
}

func (p *Plan) hotKey(ctx context.Context, t *turn) (result.Run, error) {
	keys := func() load.Keys { return load.Single(1) }
	return p.measured(ctx, t, keys, shape{few: true, changes: 10, written: keys()})
}

// missingIDs are few enough to have been asked for before anything is measured.
const missingIDs = 1000

func (p *Plan) missing(ctx context.Context, t *turn) (result.Run, error) {
	return p.measured(ctx, t, func() load.Keys { return load.Missing(t.ground.last, missingIDs) }, shape{missing: true})
}

func (p *Plan) trace(ctx context.Context, t *turn) (result.Run, error) {
	recorded, err := trace.Open("web12")
	if err != nil {
		return result.Run{}, err
	}
	if recorded.Keys > p.Videos {
		return result.Run{}, fmt.Errorf("the trace has %d keys: as many videos are needed", recorded.Keys)
	}
	return p.measured(ctx, t, func() load.Keys { return load.Sequence(recorded.IDs) }, shape{})
}

// batchSize is how many documents one request of a batch asks for.
const batchSize = 100

func (p *Plan) batch(ctx context.Context, t *turn) (r result.Run, err error) {
	// Few enough documents to be in the local tier, all of them, before anything is measured.
	keys := func() load.Keys { return load.Uniform(uint64(min(p.Hot, 5000))) }
	if _, err := t.closed(ctx, keys(), p.warm(shape{few: true}), shape{batch: batchSize}); err != nil {
		return r, err
	}
	s := shape{}
	if t.arm == "batch" {
		s.batch = batchSize
	}
	t.measuring()
	r.Capacity, err = t.closed(ctx, keys(), p.Measure, s)
	return r, err
}

// cold asks for each document once. What filled the caches is what is looked for.
func (p *Plan) cold(ctx context.Context, t *turn) (r result.Run, err error) {
	t.measuring()
	r.Warm, err = t.closed(ctx, load.Once(uint64(p.Cold)), longest, shape{})
	return r, err
}

// longest is what one load may take that ends by itself.
const longest = 5 * time.Minute

// expiry asks for few documents until well after the end of what it loaded first.
func (p *Plan) expiry(ctx context.Context, t *turn) (r result.Run, err error) {
	n := p.expiring()
	if r.Warm, err = t.closed(ctx, load.Once(n), longest, shape{}); err != nil {
		return r, err
	}
	t.measuring()
	r.Paced, err = t.open(ctx, load.Uniform(n), expiryRate, max(p.Measure, 3*shortRedisTTL), shape{})
	return r, err
}

// Everything in Redis expires within a turn. Each document is then asked for again after a quarter of a second, much less
// than the tenth of its life, to either side, by which jitter moves its end.
const (
	shortRedisTTL = 4 * time.Second
	expiryRate    = 2000 // requests a second
)

// expiring is how many documents expire.
func (p *Plan) expiring() uint64 { return uint64(min(p.Hot, expiryRate/4)) }

// rampRates are each about 1.4 times the one before, as it is the share that matters.
var rampRates = []float64{500, 700, 1000, 1400, 2000, 2800, 4000, 5600, 8000, 11_000, 16_000, 22_000, 32_000}

// ramp offers more and more, until an arm cannot keep up.
func (p *Plan) ramp(ctx context.Context, t *turn) (r result.Run, err error) {
	keys := func() load.Keys { return load.Zipf(uint64(p.Videos), p.Skew) }
	if err := p.beforehand(ctx, t, keys()); err != nil {
		return r, err
	}
	if _, err := t.closed(ctx, keys(), p.Warm, shape{}); err != nil {
		return r, err
	}
	t.measuring()
	for _, rate := range rampRates {
		l, err := t.open(ctx, keys(), rate, p.Measure, shape{writes: p.Writes, written: keys()})
		if err != nil {
			return r, err
		}
		r.Steps = append(r.Steps, *l)
		if l.Rate < 0.95*rate {
			break
		}
	}
	return r, nil
}
