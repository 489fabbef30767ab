package cache

import (
	"testing"
	"time"

	"vidmeta/schema"
)

// What may be done with an answer of each age, for each thing that a request can ask.
func TestNeed(t *testing.T) {
	const s, never = time.Second, -1 * time.Nanosecond
	standard := Freshness{MaxAge: 2 * s, StaleWhileRevalidate: 30 * s, StaleIfError: time.Hour}
	strict := Freshness{MaxAge: 2 * s, StaleWhileRevalidate: 1, StaleIfError: 1} // as good as none
	lenient := Freshness{MaxAge: 2 * s, StaleWhileRevalidate: 30 * s, StaleIfError: 1}
	for _, c := range []struct {
		name                    string
		service                 Freshness
		asks                    schema.ReadOptions
		fresh, graceful, lastly time.Duration // the oldest that is so
	}{
		{"nothing", standard, schema.ReadOptions{}, 2 * s, 30 * s, time.Hour},
		{"max-age", standard, schema.ReadOptions{MaxAge: s}, s, s, time.Hour},
		{"no-cache", standard, schema.ReadOptions{NoCache: true}, 0, 0, 0},
		{"no-cache and max-stale", standard, schema.ReadOptions{NoCache: true, MaxStale: time.Minute}, 0, 0, 0},
		{"max-stale", standard, schema.ReadOptions{MaxStale: time.Minute}, 2 * s, 62 * s, time.Hour},
		{"max-stale below stale-while-revalidate", standard, schema.ReadOptions{MaxStale: 5 * s}, 2 * s, 7 * s, time.Hour},
		{"max-age and max-stale", standard, schema.ReadOptions{MaxAge: s, MaxStale: 5 * s}, s, 6 * s, time.Hour},
		{"any staleness", standard, schema.ReadOptions{MaxStale: 1 << 31 * s}, 2 * s, time.Hour, time.Hour},
		{"max-age and any staleness", standard, schema.ReadOptions{MaxAge: s, MaxStale: 1 << 31 * s}, s, time.Hour, time.Hour},
		{"any staleness, of a service that gives none", strict, schema.ReadOptions{MaxStale: 1 << 31 * s}, 2 * s, 2 * s, 2 * s},
		{"any staleness, of a service that gives some", lenient, schema.ReadOptions{MaxStale: 1 << 31 * s}, 2 * s, 30 * s, 30 * s},
		{"max-age, of a service that gives none on errors", lenient, schema.ReadOptions{MaxAge: s}, s, s, s},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.asks.Now, c.asks.MinVersion = time.Now(), 7
			n := c.service.need(&c.asks)
			judge := func(version schema.Version, age time.Duration) verdict {
				return n.judge(version, n.now-age.Microseconds())
			}
			for _, step := range []struct {
				upTo         time.Duration
				is, thenLess verdict
			}{{c.fresh, fresh, graceful}, {c.graceful, graceful, lastResort}, {c.lastly, lastResort, useless}} {
				if got := judge(7, step.upTo); got < step.is {
					t.Errorf("%v old: verdict %d, want %d or better", step.upTo, got, step.is)
				}
				if got := judge(7, step.upTo+time.Microsecond); got > step.thenLess {
					t.Errorf("more than %v old: verdict %d, want %d or worse", step.upTo, got, step.thenLess)
				}
			}
			if got := judge(6, never); got != useless {
				t.Errorf("a version below the least: verdict %d", got)
			}
		})
	}
}
