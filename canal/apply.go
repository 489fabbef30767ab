package canal

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"golang.org/x/sync/errgroup"

	"vidmeta/internal/seldom"
	"vidmeta/schema"
)

const (
	// lateWait is how long a row is waited for before its lock is asked for: the version may never come, since somebody has
	// lowered or deleted it. The worst time to visibility measured was 115 ms.
	lateWait = 200 * time.Millisecond
	// slowWait is how long a commit may take before the log says so. It is longer than the 10 s that a server waits by
	// default for the acknowledgement of a semi-synchronous replica.
	slowWait = 15 * time.Second
	// dropSettle is what passes at least between the two times that everything is dropped: a reader right after the first
	// might have loaded rows as they were before. The worst time to visibility measured was 115 ms. MySQL is asked besides.
	dropSettle = time.Second
	loadSize   = 256            // documents in one statement
	loadWidth  = 3              // such statements at once
	askSize    = schema.MaxLoad // versions in one statement
	// foreseeWait is for how long rows that are late are asked for by loading them, after pauses that double: most that are
	// not visible at once are so after a millisecond.
	foreseeWait  = 5 * time.Millisecond
	foreseePause = time.Millisecond / 4
)

// applier carries batches to Redis and to the feed.
type applier struct {
	origin  Origin
	shared  Shared
	feed    Feed
	metrics *metrics
	log     *slog.Logger
	epoch   string
	// settled returns the version of a document, and whether that is the last one written: see the function of that name.
	settled func(context.Context, schema.ID) (v schema.Version, ok bool, err error)
	// executed returns the transactions that new sessions see; nil for MariaDB, which does not tell.
	executed func(context.Context) (mysql.GTIDSet, error)
	sound    func(context.Context) error
	warm     bool       // Redis held most of the last batch
	beat     time.Time  // when the feed was last published to
	writing  sync.Mutex // of shared, while documents are loaded side by side
	slow     seldom.Failures
	fallen   seldom.Failures
}

// apply carries one batch out. When it returns without error, Redis holds nothing older than the batch's changes, and
// the feed has told of them and holds the checkpoint. After an error the batch may have been carried out in part.
//
// The order is what makes it true. The server sends an event before its row is visible to other sessions, so rows are
// waited for first. What is loaded from then on is new. What was loaded before, and is in Redis already, Mark finds;
// what was loaded before and is not, Mark keeps out, as it ends the lease. And nodes raise their fences only after that,
// so that what they load behind them is new as well.
func (a *applier) apply(ctx context.Context, b batch, watermark time.Time) error {
	begun := time.Now()
	docs, at := a.foresee(ctx, b)
	if docs == nil {
		if err := a.await(ctx, b.changes); err != nil {
			return err
		}
	}
	seen := time.Now()
	if b.drop != "" {
		if err := a.dropAll(ctx, b.drop, b.pos); err != nil {
			return fmt.Errorf("drop everything: %w", err)
		}
	}
	if err := a.muster(ctx); err != nil {
		return err
	}
	mustered := time.Now()
	var stale int
	var err error
	if docs != nil {
		stale, err = a.shared.Replace(ctx, b.changes, docs, at)
	} else {
		stale, err = a.bring(ctx, b.changes)
	}
	if err != nil {
		return err
	}
	if len(b.changes) > 0 { // a heartbeat says nothing of what Redis holds
		a.warm = stale > len(b.changes)/2
	}
	written := time.Now()
	if err := a.publish(ctx, b.pos.checkpoint(), watermark, b.changes); err != nil {
		return err
	}
	a.metrics.applied(len(b.changes), stale)
	if len(b.changes) > 0 && b.drop == "" {
		a.metrics.stepped(begun, seen, mustered, written, time.Now())
	}
	return nil
}

// foresee loads a batch's documents at once if Redis is likely to hold them, as it did those before: that they are
// new says that their rows can be seen, and one question to MySQL and one to Redis do for two each. Rows that are late by
// little are loaded when they are there. It returns nil if this is not such a batch, or not all of it can be seen soon.
func (a *applier) foresee(ctx context.Context, b batch) (docs []schema.Document, at time.Time) {
	if !a.warm || b.drop != "" || len(b.changes) == 0 || len(b.changes) > loadSize {
		return nil, at
	}
	at = time.Now()
	docs = make([]schema.Document, 0, len(b.changes))
	for pause := foreseePause; ; pause *= 2 {
		wanted := b.changes[len(docs):]
		some, err := a.origin.Load(ctx, ids(wanted))
		if err != nil {
			return nil, at // the usual way finds out why
		}
		for i, d := range some {
			if d.Version < wanted[i].Version {
				break
			}
			docs = append(docs, d)
		}
		if len(docs) == len(b.changes) {
			return docs, at
		}
		if time.Since(at)+pause > foreseeWait || sleep(ctx, pause) != nil {
			return nil, at
		}
	}
}

// bring makes Redis hold nothing older than the changes, and returns how many documents it had to put for that.
func (a *applier) bring(ctx context.Context, changes []schema.Change) (stale int, err error) {
	old, err := a.shared.Mark(ctx, changes)
	if err != nil {
		return 0, err
	}
	return len(old), a.refresh(ctx, old)
}

// muster sees to it that whatever serves as Redis now holds all that has been told already.
func (a *applier) muster(ctx context.Context) error {
	again := func(ctx context.Context, lacking []schema.Change) error {
		stale, err := a.bring(ctx, lacking)
		if err == nil {
			a.metrics.again.Add(float64(len(lacking)))
			a.log.Warn("a master of Redis may have missed changes", "changes", len(lacking), "stale", stale)
		}
		return err
	}
	stranger, err := a.shared.Muster(ctx, again)
	if err != nil || stranger == "" {
		return err
	}
	if err := a.dropAll(ctx, "what the master of Redis at "+stranger+" holds may be of any age", nil); err != nil {
		return err
	}
	_, err = a.shared.Muster(ctx, again)
	return err
}

// await waits until new sessions see what wrote the changes: every row in the version of its change or a later one, or
// unlocked. Commits become visible in the order of the binlog, so nothing is held up that could go ahead; the feed's
// heartbeat goes on, the watermark does not. It waits for as long as it takes, as going on without would vouch for what is
// not true.
func (a *applier) await(ctx context.Context, changes []schema.Change) error {
	begun, held := time.Now(), false
	late := changes
	for pause := time.Millisecond / 4; ; pause = min(2*pause, 20*time.Millisecond) {
		var err error
		if late, err = a.unseen(ctx, late); err != nil || len(late) == 0 {
			return err
		}
		if !held {
			held = true
			a.metrics.late.Inc()
		}
		waited := time.Since(begun)
		if waited > lateWait {
			if late, err = a.unsettled(ctx, late); err != nil || len(late) == 0 {
				return err
			}
		}
		if waited > slowWait {
			if n, ok := a.slow.Now(); ok {
				a.log.Warn("a commit takes long: its rows are in the binlog, and cannot be seen yet",
					"rows", len(late), "video", late[0].ID, "version", late[0].Version, "waited", waited, "times", n)
			}
		}
		if time.Since(a.beat) > heartbeat {
			if err := a.publish(ctx, "", time.Time{}, nil); err != nil {
				return err
			}
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// unsettled returns those of late changes that may still become visible. Of the others nobody holds the row any more, and
// who had written what the binlog tells held it until that could be seen: what is not there now has been lowered or deleted,
// and will not come. That Redis holds them is found out by Mark all the same, and they are taken out when they are loaded
// in a lower version. It stops at the first that is locked, and, having judged one, when the feed's heartbeat is due.
func (a *applier) unsettled(ctx context.Context, late []schema.Change) ([]schema.Change, error) {
	for i, c := range late {
		v, ok, err := a.settled(ctx, c.ID)
		if err != nil || !ok || i > 0 && time.Since(a.beat) > heartbeat {
			return late[i:], err
		}
		if v >= c.Version {
			continue
		}
		a.metrics.lowered.Inc()
		if n, ok := a.fallen.Now(); ok {
			a.log.Warn("a version was lowered or deleted by other hands than the triggers'; the document is taken out of the caches",
				"video", c.ID, "version", v, "from", c.Version, "times", n)
		}
	}
	return nil, nil
}

func (a *applier) publish(ctx context.Context, checkpoint string, watermark time.Time, changes []schema.Change) error {
	err := a.feed.Publish(ctx, a.epoch, checkpoint, watermark, changes)
	if err == nil {
		a.beat = time.Now()
		a.metrics.published(watermark)
	}
	return err
}

// unseen returns the changes that a new session does not see yet.
func (a *applier) unseen(ctx context.Context, changes []schema.Change) (late []schema.Change, err error) {
	for some := range slices.Chunk(changes, askSize) {
		versions, err := a.origin.Versions(ctx, ids(some))
		if err != nil {
			return nil, err
		}
		for i, v := range versions {
			if v < some[i].Version {
				late = append(late, some[i])
			}
		}
	}
	return late, nil
}

// refresh brings documents that Redis holds up to date.
func (a *applier) refresh(ctx context.Context, stale []schema.Change) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadWidth)
	for some := range slices.Chunk(stale, loadSize) {
		g.Go(func() error { return a.reload(ctx, some) })
	}
	return g.Wait()
}

// reload puts documents as the origin has them now. Should it be unable to make one of them, the others must not suffer:
// it is found by halves and taken out of Redis, for the next reader to ask the origin itself.
func (a *applier) reload(ctx context.Context, some []schema.Change) error {
	at := time.Now()
	docs, err := a.origin.Load(ctx, ids(some))
	if err == nil {
		return a.put(ctx, some, docs, at)
	}
	if _, down := a.origin.Versions(ctx, ids(some[:1])); down != nil {
		return err // the origin is away, which is nobody's document's fault
	}
	if len(some) == 1 {
		a.log.Error("a document cannot be loaded and is dropped from Redis", "video", some[0].ID, "error", err)
		return a.drop(ctx, some)
	}
	half := len(some) / 2
	if err := a.reload(ctx, some[:half]); err != nil {
		return err
	}
	return a.reload(ctx, some[half:])
}

// put puts documents, and takes out those that are older than their change: their versions were lowered, or this is the
// answer of another server.
func (a *applier) put(ctx context.Context, some []schema.Change, docs []schema.Document, at time.Time) error {
	fine, behind := make([]schema.Document, 0, len(docs)), []schema.Change(nil)
	for i, d := range docs {
		if d.Version < some[i].Version {
			behind = append(behind, some[i])
		} else {
			fine = append(fine, d)
		}
	}
	a.writing.Lock()
	defer a.writing.Unlock()
	if err := a.shared.Put(ctx, fine, at); err != nil || len(behind) == 0 {
		return err
	}
	return a.shared.Drop(ctx, ids(behind))
}

func (a *applier) drop(ctx context.Context, some []schema.Change) error {
	a.writing.Lock()
	defer a.writing.Unlock()
	return a.shared.Drop(ctx, ids(some))
}

func ids(changes []schema.Change) []schema.ID {
	ids := make([]schema.ID, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	return ids
}

// dropping stands in the place of a checkpoint while everything is dropped. Whoever has to begin there drops everything as
// well: the reason may be gone by then.
const dropping = "dropping"

// dropAll makes everything that the caches hold unreachable, twice: what a reader had loaded before the first time may come
// after it. Where that is for something in the binlog, pos is where it ends, and the second time is when it can be seen. If that
// takes longer than patience it is an error, since it may never be: who begins anew begins with what can be seen.
func (a *applier) dropAll(ctx context.Context, reason string, pos *position) error {
	if err := a.sound(ctx); err != nil {
		return err // the checkpoint stays, so this comes again once it is mended
	}
	a.log.Warn("everything is dropped from the caches", "reason", reason)
	if err := a.raise(ctx, dropping); err != nil {
		return err
	}
	begun := time.Now()
	if err := sleep(ctx, dropSettle); err != nil {
		return err
	}
	for pos != nil && a.executed != nil {
		set, err := a.executed(ctx)
		if err != nil {
			return err
		}
		if set.Contain(pos.set) {
			break
		}
		if time.Since(begun) > patience {
			return fmt.Errorf("%s: the server does not show it yet", reason)
		}
		if err := a.publish(ctx, "", time.Time{}, nil); err != nil { // the feed's heartbeat
			return err
		}
		if err := sleep(ctx, heartbeat); err != nil {
			return err
		}
	}
	if err := a.raise(ctx, ""); err != nil {
		return err
	}
	a.metrics.drops.Inc()
	return nil
}

// raise goes on in an epoch that has never been used, even if Redis has lost all memory of the last one.
func (a *applier) raise(ctx context.Context, checkpoint string) error {
	a.epoch = strconv.FormatInt(time.Now().UnixMicro(), 36)
	a.shared.Raise(a.epoch)
	return a.publish(ctx, checkpoint, time.Time{}, nil)
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
