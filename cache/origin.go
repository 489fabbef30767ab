package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

// Store is the origin: what makes documents from rows. Load returns one document per id, in order, all from one
// snapshot, with Body nil where there is none. Resolve returns the ids of public ids, 0 where there is none.
type Store interface {
	Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error)
	Resolve(ctx context.Context, publicIDs []string) ([]schema.ID, error)
}

// OriginConfig limits what this node asks of the origin.
type OriginConfig struct {
	// Store is the origin. Required.
	Store Store
	// Width is how many statements may be under way at once; what comes meanwhile gathers into the next. 0 means 4.
	Width int
	// BatchSize is how many documents one statement loads at most. 0 means 256.
	BatchSize int
	// Queue is how many loads may wait; beyond it they are refused at once. 0 means 4096.
	Queue int
	// Timeout bounds one statement. 0 means 2 s.
	Timeout time.Duration
}

func (c *OriginConfig) validate() error {
	set := func(n *int, v int) {
		if *n == 0 {
			*n = v
		}
	}
	set(&c.Width, 4)
	set(&c.BatchSize, 256)
	set(&c.Queue, 4096)
	if c.Timeout == 0 {
		c.Timeout = 2 * time.Second
	}
	switch {
	case c.Store == nil:
		return errors.New("origin: no store")
	case c.Width < 1 || c.BatchSize < 1 || c.Queue < 1 || c.Timeout < 0:
		return errors.New("origin: a limit is below 1")
	case c.BatchSize > schema.MaxLoad:
		return fmt.Errorf("origin: BatchSize is %d, at most %d fit in a statement", c.BatchSize, schema.MaxLoad)
	}
	return nil
}

// origin is the database behind a limit and a breaker. Concurrent loads become one statement.
type origin struct {
	documents batcher[schema.ID, loaded]
	aliases   batcher[string, resolved]
	breaker   circuitbreaker.CircuitBreaker[any]
	log       *slog.Logger
	failing   seldom.Failures
}

// loaded is a document and when its statement began: it shows every commit that ended before.
type loaded struct {
	doc schema.Document
	at  int64
}

type resolved struct {
	id schema.ID
	at int64
}

func newOrigin(cfg OriginConfig, without Mechanisms, m *metrics, log *slog.Logger) (*origin, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	aliasWidth := 1
	if without.Batching {
		cfg.BatchSize, aliasWidth = 1, cfg.Width
	}
	o := &origin{log: log, breaker: circuitbreaker.NewBuilder[any]().
		WithFailureRateThreshold(0.5, 10, 5*time.Second).
		WithDelay(time.Second).WithJitter(200 * time.Millisecond).Build()}
	o.documents = batcher[schema.ID, loaded]{width: cfg.Width, size: cfg.BatchSize, queue: cfg.Queue, timeout: cfg.Timeout,
		send: func(ctx context.Context, ids []schema.ID) ([]loaded, error) {
			m.originStatements.Inc()
			m.originDocuments.Add(float64(len(ids)))
			at := time.Now().UnixMicro()
			docs, err := guarded(o, func() ([]schema.Document, error) { return cfg.Store.Load(ctx, ids) })
			if err != nil {
				m.originErrors.Inc()
				return nil, fmt.Errorf("load %d documents: %w", len(ids), err)
			}
			return each(docs, func(d schema.Document) loaded { return loaded{doc: d, at: at} }), nil
		}}
	o.aliases = batcher[string, resolved]{width: aliasWidth, size: cfg.BatchSize, queue: cfg.Queue, timeout: cfg.Timeout,
		send: func(ctx context.Context, publicIDs []string) ([]resolved, error) {
			m.originStatements.Inc()
			at := time.Now().UnixMicro()
			ids, err := guarded(o, func() ([]schema.ID, error) { return cfg.Store.Resolve(ctx, publicIDs) })
			if err != nil {
				m.originErrors.Inc()
				return nil, fmt.Errorf("resolve %d public ids: %w", len(publicIDs), err)
			}
			return each(ids, func(id schema.ID) resolved { return resolved{id: id, at: at} }), nil
		}}
	return o, nil
}

// guarded calls the database through the breaker.
func guarded[V any](o *origin, call func() (V, error)) (V, error) {
	if !o.breaker.TryAcquirePermit() {
		var zero V
		return zero, fmt.Errorf("%w: %w", schema.ErrUnavailable, circuitbreaker.ErrOpen)
	}
	v, err := call()
	if err != nil {
		o.breaker.RecordFailure()
		if n, ok := o.failing.Now(); ok {
			o.log.Warn("origin", "error", err, "failures", n)
		}
		return v, fmt.Errorf("%w: %w", schema.ErrUnavailable, err)
	}
	o.breaker.RecordSuccess()
	return v, nil
}

func each[A, B any](in []A, f func(A) B) []B {
	out := make([]B, len(in))
	for i, v := range in {
		out[i] = f(v)
	}
	return out
}

// close waits for the statements under way.
func (o *origin) close() {
	o.documents.wait()
	o.aliases.wait()
}
