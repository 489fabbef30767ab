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

// Mark tells the tier that documents have reached versions, each change in one atomic step: loads under way can no
// longer fill, and a floor keeps what is older out of a cold key. It returns the changes of those documents which the
// tier holds in an older version, and which want a Put or a Bury. It is safe to repeat.
func (r *Redis) Mark(ctx context.Context, changes []schema.Change) (stale []schema.Change, err error) {
	err = r.inBatches(ctx, len(changes), func(i int) *op {
		key := r.Key(changes[i].ID)
		return &op{script: markScript, keys: []string{key, key + ":lease"},
			args: []any{r.floor(changes[i].Version), floorTTL.Milliseconds()}}
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
		d := docs[i]
		ttl := r.ttlOf(d)
		e := envelopeOf(d, loadedAt.UnixMicro(), time.Now().Add(ttl).UnixMicro())
		return r.put(d.ID, e, ttl)
	}, func(int, []byte) {})
	if err != nil {
		return fmt.Errorf("put %d documents: %w", len(docs), err)
	}
	return nil
}

// Bury drops documents that the tier holds in a version older than the given one, and leaves a floor.
func (r *Redis) Bury(ctx context.Context, changes []schema.Change) error {
	err := r.inBatches(ctx, len(changes), func(i int) *op {
		return r.put(changes[i].ID, Envelope{Kind: Floor, Version: changes[i].Version}, floorTTL)
	}, func(int, []byte) {})
	if err != nil {
		return fmt.Errorf("bury %d documents: %w", len(changes), err)
	}
	return nil
}

func (r *Redis) put(id schema.ID, e Envelope, ttl time.Duration) *op {
	return &op{script: putScript, keys: []string{r.Key(id)}, args: []any{
		e.Append(make([]byte, 0, headerLen+len(e.Body))), ttl.Milliseconds(), r.floor(e.Version), floorTTL.Milliseconds(),
	}}
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
