package canal

import (
	"context"
	"fmt"
	"runtime"
	runtimemetrics "runtime/metrics"
	"sync"
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	largeRows   = 1_000_000 // of one transaction
	largeBytes  = 96 << 20  // of heap, more than before
	largeChange = 200_000   // documents changed while nobody reads, a hundred in each transaction
)

// BenchmarkLarge reads a transaction of a million rows, and then a backlog of many transactions that were committed
// while nobody read. It fails if that takes more memory than bounded buffers do, or if anything is vouched for before
// the transaction has been told of as a whole.
func BenchmarkLarge(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			_, d := ownServer(b, flavor, "vidmeta_large", "--sync-binlog=0", "--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=256M")
			c := &counter{}
			for i := 0; b.Loop(); i++ {
				first := (i + 1) * largeRows // ids that no video has: only the version table is read
				stop := d.count(b, c)
				d.largeTransaction(b, c, first)
				stop()
				d.largeBacklog(b, c, first)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func (d *database) largeTransaction(b *testing.B, c *counter, first int) {
	c.await(b, time.Now(), 0)
	peak, told := watchHeap(), c.now().told
	d.exec(b, fmt.Sprintf(`INSERT INTO video_versions (video_id, version)
		WITH RECURSIVE n AS (SELECT 0 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 999)
		SELECT %d + a.i * 1000 + b.i, 1 FROM n a JOIN n b`, first))
	committed := time.Now()
	now, err := askAnew(b.Context(), d.DB, d.server.Flavor)
	if err != nil {
		b.Fatal(err)
	}
	stacktest.WaitFor(b, time.Minute, func() error {
		at := c.now()
		if at.told-told >= largeRows {
			return nil
		}
		pos, err := parsePosition(d.server.Flavor, at.checkpoint)
		if err != nil {
			b.Fatal(err)
		}
		if at.watermark.After(committed) || pos.contains(now.set) {
			b.Fatalf("after %d rows the checkpoint is %s, the watermark %v", at.told-told, at.checkpoint, at.watermark)
		}
		return fmt.Errorf("told of %d rows", at.told-told)
	})
	c.await(b, committed, told+largeRows)
	b.ReportMetric(time.Since(committed).Seconds(), "transaction-s")
	b.ReportMetric(c.now().gap.Seconds()*1e3, "heartbeat-gap-ms")
	report(b, "transaction-MiB", peak())
}

func (d *database) largeBacklog(b *testing.B, c *counter, first int) {
	told := c.now().told
	for i := first; i < first+largeChange; i += 100 {
		d.exec(b, fmt.Sprintf("UPDATE video_versions SET version = version + 1 WHERE video_id >= %d AND video_id < %d", i, i+100))
	}
	peak, begun := watchHeap(), time.Now()
	stop := d.count(b, c)
	c.await(b, begun, told+largeChange)
	b.ReportMetric(time.Since(begun).Seconds(), "backlog-s")
	report(b, "backlog-MiB", peak())
	stop()
}

func report(b *testing.B, unit string, bytes uint64) {
	b.ReportMetric(float64(bytes)/(1<<20), unit)
	if bytes > largeBytes {
		b.Errorf("%s: %d bytes of heap, at most %d", unit, bytes, largeBytes)
	}
}

// watchHeap watches how much memory objects take, until peak is called: that returns the most, less what it was at first.
func watchHeap() (peak func() uint64) {
	read := func() uint64 {
		s := []runtimemetrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		runtimemetrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC()
	first := read()
	most, done := first, make(chan struct{})
	var g sync.WaitGroup
	g.Go(func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, read())
			case <-done:
				return
			}
		}
	})
	return func() uint64 {
		close(done)
		g.Wait()
		return most - first
	}
}

// counter is a shared tier and a feed that keep nothing but numbers.
type counter struct {
	mu sync.Mutex
	counts
	last time.Time
}

type counts struct {
	told              int
	epoch, checkpoint string
	watermark         time.Time
	gap               time.Duration // the longest time in which nothing was published
}

func (c *counter) now() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.counts
}

// await waits until so many changes have been told of and the watermark has passed a time.
func (c *counter) await(b *testing.B, at time.Time, told int) {
	b.Helper()
	stacktest.WaitFor(b, 2*time.Minute, func() error {
		if now := c.now(); now.told < told || !now.watermark.After(at) {
			return fmt.Errorf("told of %d changes until %v", now.told, now.watermark)
		}
		return nil
	})
	if n := c.now().told; n != told && told != 0 {
		b.Errorf("told of %d changes, want %d", n, told)
	}
}

// count runs a sidecar until stop is called.
func (d *database) count(b *testing.B, c *counter) (stop func()) {
	b.Helper()
	s, err := New(Config{Server: d.server, DB: d.DB, Origin: d.store, Shared: c, Feed: c})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	})
	b.Cleanup(stop)
	return stop
}

func (c *counter) Lead(context.Context) (epoch, checkpoint string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = time.Time{}
	return c.epoch, c.checkpoint, nil
}

func (c *counter) Publish(_ context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch = epoch; checkpoint != "" {
		c.checkpoint = checkpoint
	}
	if watermark.After(c.watermark) {
		c.watermark = watermark
	}
	now := time.Now()
	if !c.last.IsZero() && !c.watermark.IsZero() {
		c.gap = max(c.gap, now.Sub(c.last))
	}
	c.told, c.last = c.told+len(changes), now
	return nil
}

func (c *counter) SetEpoch(string) {}

func (c *counter) Raise(string) {}

func (c *counter) Replace(ctx context.Context, changes []schema.Change, _ []schema.Document, _ time.Time) (int, error) {
	stale, err := c.Mark(ctx, changes)
	return len(stale), err
}

func (c *counter) Ready(context.Context) error { return nil }

func (c *counter) Muster(context.Context, func(context.Context, []schema.Change) error) (string, error) {
	return "", nil
}

func (c *counter) Mark(context.Context, []schema.Change) ([]schema.Change, error) { return nil, nil }

func (c *counter) Put(context.Context, []schema.Document, time.Time) error { return nil }

func (c *counter) Drop(context.Context, []schema.ID) error { return nil }
