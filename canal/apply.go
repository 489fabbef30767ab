package canal

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"vidmeta/schema"
)

const (
	// visibleWait is how long a batch waits for a committed row to become visible before it drops the document from
	// Redis instead. Most are visible at once; the worst measured took 115 ms.
	visibleWait = 20 * time.Millisecond
	// dropSettle is what passes between the two times that everything is dropped: a reader right after the first might
	// have loaded rows as they were before.
	dropSettle = 500 * time.Millisecond
	loadSize   = 256 // documents in one statement
)

// applier carries batches to Redis and to the feed.
type applier struct {
	origin  Origin
	shared  Shared
	feed    Feed
	metrics *metrics
	epoch   string
}

// apply carries one batch out. When it returns without error, Redis holds nothing older than the batch's changes, and
// the feed has told of them and holds the checkpoint. After an error the batch may have been carried out in part.
func (a *applier) apply(ctx context.Context, b batch, watermark time.Time) error {
	if b.drop != "" {
		if err := a.dropAll(ctx); err != nil {
			return fmt.Errorf("drop everything: %w", err)
		}
	}
	stale, err := a.shared.Mark(ctx, b.changes)
	if err != nil {
		return err
	}
	if err := a.reload(ctx, stale); err != nil {
		return err
	}
	if err := a.feed.Publish(ctx, a.epoch, b.pos.checkpoint(), watermark, b.changes); err != nil {
		return err
	}
	a.metrics.applied(len(b.changes), len(stale))
	return nil
}

// reload brings documents that Redis holds up to the versions of their changes. Those whose rows do not become visible
// in time, or cannot be loaded at all, are buried under a floor instead, for the next reader to load.
func (a *applier) reload(ctx context.Context, stale []schema.Change) error {
	deadline := time.Now().Add(visibleWait)
	pause := time.Millisecond
	for len(stale) > 0 {
		behind, err := a.refresh(ctx, stale)
		if err != nil {
			return err
		}
		if stale = behind; len(stale) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			a.metrics.buried.Add(float64(len(stale)))
			return a.shared.Bury(ctx, stale)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		pause *= 2
	}
	return nil
}

// refresh loads documents and puts those that have reached their versions. It returns the changes that have not.
func (a *applier) refresh(ctx context.Context, stale []schema.Change) (behind []schema.Change, err error) {
	for len(stale) > 0 {
		some := stale[:min(len(stale), loadSize)]
		stale = stale[len(some):]
		ids := make([]schema.ID, len(some))
		for i, c := range some {
			ids[i] = c.ID
		}
		at := time.Now()
		docs, err := a.origin.Load(ctx, ids)
		if err != nil {
			if ctx.Err() != nil {
				return nil, context.Cause(ctx)
			}
			a.metrics.loadErrors.Inc()
			behind = append(behind, some...)
			continue
		}
		visible := docs[:0]
		for i, d := range docs {
			if d.Version >= some[i].Version {
				visible = append(visible, d)
			} else {
				behind = append(behind, some[i])
			}
		}
		if err := a.shared.Put(ctx, visible, at); err != nil {
			return nil, err
		}
	}
	return behind, nil
}

// dropAll makes everything that the caches hold unreachable, twice.
func (a *applier) dropAll(ctx context.Context) error {
	for i := range 2 {
		if i > 0 {
			if err := sleep(ctx, dropSettle); err != nil {
				return err
			}
		}
		// Epochs are never used twice, even if Redis has lost all memory of the last one.
		a.epoch = strconv.FormatInt(time.Now().UnixMicro(), 36)
		a.shared.SetEpoch(a.epoch)
		if err := a.feed.Publish(ctx, a.epoch, "", time.Time{}, nil); err != nil {
			return err
		}
	}
	a.metrics.drops.Inc()
	return nil
}

// sleep waits for d, or returns why ctx ended before.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
