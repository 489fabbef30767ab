package canal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	"vidmeta/schema"
)

const (
	// visibleWait is how long a batch waits for its rows to be visible. Usually they are at once; the worst measured took
	// 115 ms, and a server that waits for the acknowledgement of a semi-synchronous replica takes up to 10 s by default.
	visibleWait = 15 * time.Second
	// dropSettle is what passes between the two times that everything is dropped: a reader right after the first might
	// have loaded rows as they were before.
	dropSettle = 500 * time.Millisecond
	loadSize   = 256            // documents in one statement
	askSize    = schema.MaxLoad // versions in one statement
)

// applier carries batches to Redis and to the feed.
type applier struct {
	origin  Origin
	shared  Shared
	feed    Feed
	metrics *metrics
	log     *slog.Logger
	epoch   string
}

// apply carries one batch out. When it returns without error, Redis holds nothing older than the batch's changes, and
// the feed has told of them and holds the checkpoint. After an error the batch may have been carried out in part.
//
// The order is what makes it true. The server sends an event before its row is visible to other sessions, so rows are
// waited for first. What is loaded from then on is new. What was loaded before, and is in Redis already, Mark finds;
// what was loaded before and is not, Mark keeps out, as it ends the lease. And nodes raise their fences only after that,
// so that what they load behind them is new as well.
func (a *applier) apply(ctx context.Context, b batch, watermark time.Time) error {
	if b.drop == "" {
		missing, err := a.await(ctx, b.changes)
		if err != nil {
			return err
		}
		if missing > 0 {
			b.drop = fmt.Sprintf("%d rows have not become visible within %v", missing, visibleWait)
		}
	}
	if b.drop != "" {
		if err := a.dropAll(ctx, b.drop); err != nil {
			return fmt.Errorf("drop everything: %w", err)
		}
	}
	stale, err := a.shared.Mark(ctx, b.changes)
	if err != nil {
		return err
	}
	if err := a.refresh(ctx, stale); err != nil {
		return err
	}
	if err := a.feed.Publish(ctx, a.epoch, b.pos.checkpoint(), watermark, b.changes); err != nil {
		return err
	}
	a.metrics.applied(len(b.changes), len(stale))
	return nil
}

// await waits until new sessions see every row in the version of its change, or a later one, and returns how many they
// do not see when visibleWait is over. Commits become visible in the order of the binlog, so nothing is held up that
// could go ahead. The feed's heartbeat goes on meanwhile.
func (a *applier) await(ctx context.Context, changes []schema.Change) (missing int, err error) {
	begun, beat := time.Now(), time.Now()
	for pause := time.Millisecond; ; pause = min(2*pause, 20*time.Millisecond) {
		if changes, err = a.unseen(ctx, changes); err != nil || len(changes) == 0 {
			return 0, err
		}
		a.metrics.late.Inc()
		if time.Since(begun) > visibleWait {
			return len(changes), nil
		}
		if time.Since(beat) > heartbeat {
			if err := a.feed.Publish(ctx, a.epoch, "", time.Time{}, nil); err != nil {
				return 0, err
			}
			beat = time.Now()
		}
		if err := sleep(ctx, pause); err != nil {
			return 0, err
		}
	}
}

// unseen returns the changes whose rows a new session does not see yet.
func (a *applier) unseen(ctx context.Context, changes []schema.Change) (rest []schema.Change, err error) {
	for some := range slices.Chunk(changes, askSize) {
		versions, err := a.origin.Versions(ctx, ids(some))
		if err != nil {
			return nil, err
		}
		for i, v := range versions {
			if v < some[i].Version {
				rest = append(rest, some[i])
			}
		}
	}
	return rest, nil
}

// refresh brings documents that Redis holds up to date.
func (a *applier) refresh(ctx context.Context, stale []schema.Change) error {
	for some := range slices.Chunk(stale, loadSize) {
		at := time.Now()
		docs, err := a.origin.Load(ctx, ids(some))
		if err != nil {
			return err
		}
		if err := a.shared.Put(ctx, docs, at); err != nil {
			return err
		}
	}
	return nil
}

func ids(changes []schema.Change) []schema.ID {
	ids := make([]schema.ID, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	return ids
}

// dropAll makes everything that the caches hold unreachable, twice.
func (a *applier) dropAll(ctx context.Context, reason string) error {
	a.log.Warn("everything is dropped from the caches", "reason", reason)
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
