package cache

import (
	"time"

	"vidmeta/schema"
)

// Freshness is the bound on the age of answers, and what may be done beyond it.
type Freshness struct {
	// MaxAge is how far the as-of of an answer may lie in the past. 0 means 2 s.
	MaxAge time.Duration
	// StaleWhileRevalidate is how old an answer may be that is given at once while it is renewed in the background,
	// where the request named no bound of its own. 0 means 30 s; below MaxAge it has no effect.
	StaleWhileRevalidate time.Duration
	// StaleIfError is how old an answer may be that is given because none better could be had. No request is given
	// anything older than this and StaleWhileRevalidate, however much staleness it accepts. 0 means 1 h.
	StaleIfError time.Duration
	// ClockSkew is how far the clocks of nodes and sidecars may differ. It is taken off every time that another
	// program noted. 0 means 50 ms.
	ClockSkew time.Duration
}

func (f *Freshness) setDefaults() {
	set := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	set(&f.MaxAge, 2*time.Second)
	set(&f.StaleWhileRevalidate, 30*time.Second)
	set(&f.StaleIfError, time.Hour)
	set(&f.ClockSkew, 50*time.Millisecond)
}

// need is what one read asks of an answer, in points of time.
type need struct {
	now          int64
	fresh        int64 // an answer as of this or later is what was asked for
	grace        int64 // one as of this or later may be given at once, if it is renewed in the background
	lastResort   int64 // one as of this or later may be given if nothing better can be had
	version      schema.Version
	seen         schema.Version // of the local entry that was turned down: Redis must not be behind it
	noCache      bool
	onlyIfCached bool
}

// need turns the options of a request into points of time.
func (f *Freshness) need(o *schema.ReadOptions) need {
	var n need
	f.ask(&n, o)
	return n
}

// ask is need without copying it, for the hot path.
func (f *Freshness) ask(n *need, o *schema.ReadOptions) {
	now := o.Now
	if now.IsZero() {
		now = time.Now()
	}
	n.now, n.version, n.onlyIfCached = now.UnixMicro(), o.MinVersion, o.OnlyIfCached
	if o.NoCache {
		n.noCache = true
		n.fresh, n.grace, n.lastResort = n.now, n.now, n.now
		return
	}
	fresh, grace := f.MaxAge, max(f.MaxAge, f.StaleWhileRevalidate)
	if o.MaxAge > 0 {
		fresh, grace = o.MaxAge, o.MaxAge
	}
	if o.MaxStale > 0 {
		grace = max(fresh, min(fresh+o.MaxStale, max(f.StaleWhileRevalidate, f.StaleIfError)))
	}
	n.fresh = n.now - fresh.Microseconds()
	n.grace = n.now - grace.Microseconds()
	n.lastResort = n.now - max(grace, f.StaleIfError).Microseconds()
}

// verdict is what may be done with an answer.
type verdict int

const (
	useless    verdict = iota
	lastResort         // if nothing better can be had
	graceful           // at once, if it is renewed in the background
	fresh              // as it is
)

// judge is the one rule by which answers are served, whatever tier they come from and whatever has failed.
func (n *need) judge(version schema.Version, asOf int64) verdict {
	switch {
	case version < n.version || asOf < n.lastResort:
		return useless
	case asOf >= n.fresh:
		return fresh
	case asOf >= n.grace:
		return graceful
	}
	return lastResort
}
