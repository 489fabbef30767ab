package cache

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// Inspection is what each tier holds of one document, as one node sees it.
type Inspection struct {
	ID        schema.ID `json:"id"`
	Epoch     string    `json:"epoch"`     // that this node reads Redis in
	Watermark time.Time `json:"watermark"` // every commit before it has been told to this node
	Local     Held      `json:"local"`
	Redis     Held      `json:"redis"`
	Origin    Held      `json:"origin"`
}

// States of Held.
const (
	StateLive    = "live"
	StateAbsent  = "absent"  // the knowledge that there is no document
	StateNothing = "nothing" // which does not say that there is no document
	StateFailed  = "failed"  // it could not be asked
)

// Held is what one tier holds.
type Held struct {
	State     string         `json:"state"`
	Why       string         `json:"why,omitempty"`   // why it would not be served, or what failed
	Key       string         `json:"key,omitempty"`   // in Redis
	Lease     bool           `json:"lease,omitempty"` // somebody is loading it
	Version   schema.Version `json:"version"`
	AsOf      *time.Time     `json:"as_of,omitempty"`
	ExpiresAt *time.Time     `json:"expires_at,omitempty"`
	Bytes     int            `json:"bytes"`
	Digest    string         `json:"digest,omitempty"` // of the body: the same body, the same digest
}

// whyUnvouched is why a tier would not serve what has not been vouched for within the bound on ages.
const whyUnvouched = "nothing vouches for it later than its as-of"

// Inspect looks into every tier at once, is not counted as a read, and stores nothing. What a tier could not say stands
// in its part of the answer.
func (c *Chain) Inspect(ctx context.Context, id schema.ID) Inspection {
	told := c.redis.standing.Load()
	in := Inspection{ID: id, Epoch: told.epoch, Watermark: time.UnixMicro(told.watermark).UTC()}
	in.Local = c.inspectLocal(id, told)
	in.Redis = c.inspectRedis(ctx, id, told)
	if got, err := c.origin.document(ctx, id); err != nil {
		in.Origin = Held{State: StateFailed, Why: err.Error()}
	} else {
		in.Origin = holding(got.doc, got.at, 0)
	}
	return in
}

func (c *Chain) inspectLocal(id schema.ID, told *standing) Held {
	now := time.Now()
	e, valid := c.local.peek(id, now.UnixMicro())
	if e == nil {
		return Held{State: StateNothing}
	}
	h := holding(e.document(), e.asOf, e.expiresAt())
	switch {
	case e.stamp != c.fence.Stamp(id):
		h.Why = "it was loaded before its last invalidation"
	case !valid:
		h.Why = "its time is over"
	default:
		asOf := time.UnixMicro(max(e.asOf, told.until(&c.cfg.Freshness))).UTC()
		h.AsOf = &asOf
		if now.Sub(asOf) > c.cfg.Freshness.MaxAge {
			h.Why = whyUnvouched
		}
	}
	return h
}

func (c *Chain) inspectRedis(ctx context.Context, id schema.ID, told *standing) Held {
	key := c.redis.key(told.epoch, id)
	h := Held{State: StateNothing}
	e, from, ok, err := c.redis.get(ctx, told.epoch, id)
	switch {
	case err != nil:
		h = Held{State: StateFailed, Why: err.Error()}
	case ok:
		asOf, vouched := told.asOf(id, e.LoadedAt, from, &c.cfg.Freshness)
		h = holding(schema.Document{ID: id, Version: e.Version, Body: e.Body}, asOf, e.ExpiresAt)
		switch {
		case !vouched:
			h.Why = "the master that holds it is not known to have heard of all changes"
		case time.Since(*h.AsOf) > c.cfg.Freshness.MaxAge:
			h.Why = whyUnvouched
		}
	}
	h.Key = key
	if rep := c.redis.do(ctx, getOp(key+leaseSuffix)); rep.err == nil {
		h.Lease = true
	} else if !errors.Is(rep.err, redis.Nil) && h.Why == "" {
		h.Why = rep.err.Error()
	}
	return h
}

func holding(d schema.Document, asOf, expiresAt int64) Held {
	h := Held{State: StateAbsent, Version: d.Version, Bytes: len(d.Body), Digest: Digest(d.Body)}
	if d.Exists() {
		h.State = StateLive
	}
	t := time.UnixMicro(asOf).UTC()
	h.AsOf = &t
	if expiresAt != 0 {
		t := time.UnixMicro(expiresAt).UTC()
		h.ExpiresAt = &t
	}
	return h
}
