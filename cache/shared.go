package cache

import (
	"context"
	"fmt"
	"time"

	"vidmeta/schema"
)

// sharedBatch is how many changes go to Redis in one pipeline: enough to make round trips cheap, few enough that a
// pipeline takes milliseconds.
const sharedBatch = 512

// Mark tells the tier that documents have reached versions which every load from now on will see: loads under way can no
// longer fill. It returns the changes of those documents which the tier holds in an older version, and which want a Put.
// It is safe to repeat.
func (r *Redis) Mark(ctx context.Context, changes []schema.Change) (stale []schema.Change, err error) {
	err = r.inBatches(ctx, len(changes), func(i int) *op {
		key := r.key(r.standing.Load().epoch, changes[i].ID)
		return &op{script: markScript, keys: []string{key, key + ":lease"}, args: []any{appendDigits(nil, uint64(changes[i].Version))}}
	}, func(i int, text []byte) {
		if text[0] == 'S' {
			stale = append(stale, changes[i])
		}
	})
	if err != nil {
		return nil, fmt.Errorf("mark %d changes: %w", len(changes), err)
	}
	return stale, nil
}

// Put replaces documents that the tier holds in an older version, with a fresh TTL. What is newer stays, and what has
// become cold stays cold. loadedAt is when the load of the documents began.
func (r *Redis) Put(ctx context.Context, docs []schema.Document, loadedAt time.Time) error {
	err := r.inBatches(ctx, len(docs), func(i int) *op {
		ttl := r.ttlOf(docs[i])
		e := envelopeOf(docs[i], loadedAt.UnixMicro(), time.Now().Add(ttl).UnixMicro())
		return &op{script: putScript, keys: []string{r.key(r.standing.Load().epoch, docs[i].ID)},
			args: []any{e.Append(make([]byte, 0, headerLen+len(e.Body))), ttl.Milliseconds()}}
	}, func(int, []byte) {})
	if err != nil {
		return fmt.Errorf("put %d documents: %w", len(docs), err)
	}
	return nil
}

// inBatches sends n ops in pipelines. The first failure ends it: some ops may have been done then.
func (r *Redis) inBatches(ctx context.Context, n int, make func(i int) *op, done func(i int, text []byte)) error {
	var ops []*op
	for from := 0; from < n; from += sharedBatch {
		ops = ops[:0]
		for i := from; i < min(from+sharedBatch, n); i++ {
			ops = append(ops, make(i))
		}
		for i, rep := range pipeline(ctx, r.cfg.Client, ops) {
			if rep.err != nil {
				return rep.err
			}
			done(from+i, rep.text)
		}
	}
	return nil
}

// Drop takes documents out of the tier, whatever it holds of them.
func (r *Redis) Drop(ctx context.Context, ids []schema.ID) error {
	err := r.inBatches(ctx, len(ids), func(i int) *op {
		key := r.key(r.standing.Load().epoch, ids[i])
		return &op{script: dropScript, keys: []string{key, key + ":lease"}}
	}, func(int, []byte) {})
	if err != nil {
		return fmt.Errorf("drop %d documents: %w", len(ids), err)
	}
	return nil
}
