package canal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	gtids "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"vidmeta/schema"
)

// newCarrier returns a sidecar that leads, as a session has it, without a server.
func newCarrier(t *testing.T, origin Origin) (s *Sidecar, q *queue, a *applier, c *caches) {
	t.Helper()
	a, c = newApplier(t, origin)
	s = &Sidecar{metrics: a.metrics, log: a.log}
	s.leading.Store(true)
	s.vouched.Store(time.Now().UnixNano())
	return s, newQueue(newPosition(t, "mariadb:0-1-5")), a, c
}

// What has come is told before a server that sends nothing more is given up.
func TestCarryAppliesBeforeItStalls(t *testing.T) {
	for _, m := range []meaning{
		{changes: []schema.Change{{ID: 1, Version: 6}}},
		{drop: "somebody altered a table"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s, q, a, c := newCarrier(t, rows{1: 6})
			var mark watermark
			mark.add(probe{time.Now(), newPosition(t, "mariadb:0-1-9").set})
			<-time.After(2 * stallTimeout)
			if err := q.put(m, nil); err != nil {
				t.Fatal(err)
			}
			if err := s.carry(t.Context(), q, a, &mark); !errors.Is(err, errStalled) {
				t.Errorf("ended with %v, want %v", err, errStalled)
			}
			if len(m.changes) > 0 && c.told[1] != 6 || m.drop != "" && c.drops() != 1 {
				t.Errorf("told %v, dropped %d times", c.told, c.drops())
			}
			if !c.watermark.IsZero() {
				t.Errorf("vouched for %v", c.watermark)
			}
		})
	}
}

// A backlog is no stall, however long it takes: neither where the server sends one transaction after another, nor where it
// would if there were room for more.
func TestCarryReadsABacklog(t *testing.T) {
	for _, full := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			s, q, a, c := newCarrier(t, slowRows{rows{1: 6}, 8 * time.Second})
			var mark watermark
			mark.add(probe{time.Now(), newPosition(t, "mariadb:0-1-100").set})
			ctx, cancel := context.WithCancel(t.Context())
			stop := context.AfterFunc(ctx, func() { q.close(context.Cause(ctx)) })
			var both sync.WaitGroup
			defer func() { cancel(); both.Wait(); stop() }()
			both.Go(func() {
				if err := s.carry(ctx, q, a, &mark); ctx.Err() == nil {
					t.Errorf("full %v: ended with %v", full, err)
				}
			})
			both.Go(func() {
				for n := range uint64(99) {
					m := meaning{begins: true, changes: []schema.Change{{ID: 1, Version: 6}}}
					if full {
						m.changes = make([]schema.Change, queueSize+1)
						for i := range m.changes {
							m.changes[i] = schema.Change{ID: schema.ID(i + 1)} // of no version that is waited for
						}
					}
					<-time.After(time.Second)
					gtid := gtids.MariadbGTID{ServerID: 1, SequenceNumber: n + 6}
					if q.put(m, &replication.BinlogEvent{Header: &replication.EventHeader{}, Event: &replication.MariadbGTIDEvent{GTID: gtid}}) != nil {
						return
					}
				}
			})
			<-time.After(5 * time.Minute)
			if c.mu.Lock(); !full && c.told[1] != 6 {
				t.Errorf("told %v", c.told)
			}
			c.mu.Unlock()
		})
	}
}

// A leader that vouches for nothing new is not well, though it publishes; once it does it is.
func TestHealthyVouches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		origin := &lateRows{rows: rows{1: 6}}
		s, q, a, c := newCarrier(t, origin)
		if err := s.Healthy(t.Context()); err == nil {
			t.Error("well before anything has been published")
		}
		var mark watermark
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		stop := context.AfterFunc(ctx, func() { q.close(context.Cause(ctx)) })
		defer stop()
		go func() { ended <- s.carry(ctx, q, a, &mark) }()
		live := func(d time.Duration) (sick error) {
			for range d / time.Second {
				mark.add(probe{time.Now(), newPosition(t, "mariadb:0-1-5").set})
				<-time.After(time.Second)
				synctest.Wait()
				sick = s.Healthy(ctx)
			}
			return sick
		}
		if err := live(time.Minute); err != nil {
			t.Errorf("in health: %v", err)
		}
		if err := q.put(meaning{changes: []schema.Change{{ID: 1, Version: 6}}}, nil); err != nil {
			t.Fatal(err)
		}
		if err := live(VouchLimit - 2*time.Second); err != nil {
			t.Errorf("while a commit takes long: %v", err)
		}
		if err := live(3 * time.Second); err == nil || !strings.Contains(err.Error(), "vouched") {
			t.Errorf("when it takes too long: %v", err)
		}
		if since := time.Since(a.beat); since > 2*heartbeat {
			t.Errorf("no heartbeat for %v", since)
		}
		origin.visible.Store(true)
		if err := live(2 * time.Second); err != nil || c.told[1] != 6 {
			t.Errorf("afterwards: %v, told %v", err, c.told)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// A leader keeps the lead over failures of Redis, for a while; not when the lock is that of a server left behind.
func TestYields(t *testing.T) {
	for _, tc := range []struct {
		err    error
		silent time.Duration
		want   bool
	}{
		{schema.ErrDeposed, time.Second, false},
		{errPurged, patience, false},
		{errors.New("redis is away"), patience + 1, true},
		{fmt.Errorf("ask: %w", errLockLost), time.Second, true},
		{fmt.Errorf("ask: %w", errMoved), time.Second, true},
	} {
		if got := yields(tc.err, tc.silent); got != tc.want {
			t.Errorf("%v after %v: %v, want %v", tc.err, tc.silent, got, tc.want)
		}
	}
}
