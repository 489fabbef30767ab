package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

// Store is the origin: what makes documents from rows. Load returns one document per id, in order, all from one snapshot,
// with Body nil where there is none; a *schema.VersionError names one that keeps it from making the others. Resolve returns
// the ids of public ids, 0 where there is none.
type Store interface {
	Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error)
	Resolve(ctx context.Context, publicIDs []string) ([]schema.ID, error)
}

// OriginConfig limits what this node asks of the origin.
type OriginConfig struct {
	// Store is the origin. Required.
	Store Store
	// Width is how many statements may be under way at once; what comes meanwhile gathers into the next. A second one begins
	// only where the first takes long, or as much waits as fits in one. 0 means 4.
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
	store     Store
	metrics   *metrics
	documents batcher[schema.ID, loaded]
	aliases   batcher[string, resolved]
	breaker   breaker
	log       *slog.Logger
	failing   seldom.Failures
	unfit     seldom.Failures
}

// originPatience is how long what waits for MySQL waits for the statement under way before another one is begun beside it.
// A statement takes one to a few milliseconds, and less for each document the more there are in it: of 64 clients that ask
// for what is nowhere cached, one loads 3 documents if none waits, 9 with 5 ms, 13 with 10 ms, and they are answered sooner.
const originPatience = 10 * time.Millisecond

// unfitLimit is how many documents that cannot be loaded one batch leaves out, each for the price of a statement. Where
// there are more the whole table is in disorder, and the batch fails.
const unfitLimit = 8

// loaded is a document and when its statement began: it shows every commit that ended before.
type loaded struct {
	doc schema.Document
	at  int64
	err error // why this one cannot be loaded, though others can
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
	o := &origin{store: cfg.Store, metrics: m, log: log, breaker: newBreaker()}
	o.documents = batcher[schema.ID, loaded]{width: cfg.Width, size: cfg.BatchSize, queue: cfg.Queue, timeout: cfg.Timeout,
		patience: originPatience, send: o.load}
	o.aliases = batcher[string, resolved]{width: aliasWidth, size: cfg.BatchSize, queue: cfg.Queue, timeout: cfg.Timeout,
		send: o.resolve}
	return o, nil
}

// document loads one document, together with whatever others are wanted at the time.
func (o *origin) document(ctx context.Context, id schema.ID) (loaded, error) {
	got, err := o.documents.do(ctx, id)
	if err == nil {
		err = got.err
	}
	return got, err
}

// load loads a batch: with one statement, and one more for each document that turns out to have an impossible version,
// since its neighbours can be loaded without it.
func (o *origin) load(ctx context.Context, ids []schema.ID) ([]loaded, error) {
	o.metrics.originDocuments.Add(float64(len(ids)))
	var unfit map[schema.ID]error
	for some := ids; ; {
		at := time.Now().UnixMicro()
		docs, err := o.statement(ctx, some)
		if err == nil {
			return assign(ids, unfit, docs, at), nil
		}
		bad, ok := errors.AsType[*schema.VersionError](err)
		if !ok || unfit[bad.ID] != nil || len(unfit) == unfitLimit {
			return nil, err
		}
		if unfit == nil {
			unfit = make(map[schema.ID]error, 1)
		}
		unfit[bad.ID] = err
		some = slices.DeleteFunc(slices.Clone(some), func(id schema.ID) bool { return id == bad.ID })
		if len(some) == 0 {
			return assign(ids, unfit, nil, at), nil
		}
	}
}

func (o *origin) statement(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	docs, err := guarded(o, func() ([]schema.Document, error) { return o.store.Load(ctx, ids) })
	if err != nil {
		return nil, fmt.Errorf("load %d documents: %w", len(ids), err)
	}
	return docs, nil
}

// assign gives each id what came of it: why it cannot be loaded, or the next document.
func assign(ids []schema.ID, unfit map[schema.ID]error, docs []schema.Document, at int64) []loaded {
	all := make([]loaded, len(ids))
	for i, id := range ids {
		if err := unfit[id]; err != nil {
			all[i].err = err
			continue
		}
		all[i], docs = loaded{doc: docs[0], at: at}, docs[1:]
	}
	return all
}

func (o *origin) resolve(ctx context.Context, publicIDs []string) ([]resolved, error) {
	at := time.Now().UnixMicro()
	ids, err := guarded(o, func() ([]schema.ID, error) { return o.store.Resolve(ctx, publicIDs) })
	if err != nil {
		return nil, fmt.Errorf("resolve %d public ids: %w", len(publicIDs), err)
	}
	return each(ids, func(id schema.ID) resolved { return resolved{id: id, at: at} }), nil
}

// guarded makes a statement through the breaker, which hears only of what the database could not do: that a document
// cannot be loaded is an answer.
func guarded[V any](o *origin, call func() (V, error)) (v V, err error) {
	failures, what := &o.failing, "origin"
	open := o.breaker.try(func() bool {
		o.metrics.originStatements.Inc()
		v, err = call()
		if _, unfit := errors.AsType[*schema.VersionError](err); unfit {
			failures, what = &o.unfit, "a document cannot be loaded"
			return true
		}
		return err == nil
	})
	switch {
	case open != nil:
		return v, fmt.Errorf("%w: %w", schema.ErrUnavailable, open)
	case err == nil:
		return v, nil
	}
	o.metrics.originErrors.Inc()
	if n, ok := failures.Now(); ok {
		o.log.Warn(what, "error", err, "failures", n)
	}
	return v, fmt.Errorf("%w: %w", schema.ErrUnavailable, err)
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
