package canal

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

const (
	probePeriod = 100 * time.Millisecond
	lookPeriod  = 5 * time.Second // between two looks where new connections lead
	// probeCount bounds the probes that wait for the binlog to reach them. When more come, every second one is let go:
	// the watermark then moves in larger steps.
	probeCount = 32
)

// watermark finds the time before which every commit has been applied, without writing to MySQL and without its clock:
// what the server had logged at our time t is what had been committed before t, and once all of that has been applied
// the watermark is t.
type watermark struct {
	mu     sync.Mutex
	probes []probe // in order of time
}

type probe struct {
	at  time.Time
	set mysql.GTIDSet
}

// run asks the server that holds the lock every probePeriod, until ctx ends or it fails. Since the session began with
// the first status, it also fails when that no longer stands: when the server has lost its history, or when a new
// connection leads to another server, while the old ones still lead to one where nobody writes any more. That is looked
// for now and then, and before every probe of a server that is read-only.
func (w *watermark) run(ctx context.Context, l *lock, first status, anew func(context.Context) (status, error)) error {
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	last, looked := first, time.Now()
	for {
		at := time.Now()
		now, err := l.ask(ctx)
		if err != nil {
			return err
		}
		if err := now.follows(last); err != nil {
			return err
		}
		if now.readOnly || at.Sub(looked) > lookPeriod {
			other, err := anew(ctx)
			if err != nil {
				return err
			}
			if other.server != first.server {
				return fmt.Errorf("%w: new connections lead to %s", errMoved, other.server)
			}
			looked = at
		}
		last = now
		w.add(probe{at: at, set: now.set})
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (w *watermark) add(p probe) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.probes) == probeCount {
		for i := range probeCount / 2 {
			w.probes[i] = w.probes[2*i]
		}
		w.probes = w.probes[:probeCount/2]
	}
	w.probes = append(w.probes, p)
}

// reached returns the time of the newest probe that pos contains, the zero time if there is no new one.
func (w *watermark) reached(pos *position) (at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := 0
	for n < len(w.probes) && pos.contains(w.probes[n].set) {
		at = w.probes[n].at
		n++
	}
	w.probes = append(w.probes[:0], w.probes[n:]...)
	return at
}

// stallTimeout is how long a probe may stay unreached though the server sends nothing more of what was logged before it.
const stallTimeout = 5 * time.Second

var errStalled = errors.New("the server has logged transactions that it does not send")

// stalled returns an error if the server does not send what it had logged long ago: since heard it has sent nothing, or what
// it sends was logged later. A set that an administrator has added to gtid_purged is never sent; what it means is for the next
// session to find out.
func (w *watermark) stalled(pos *position, heard time.Time) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.probes) == 0 || time.Since(w.probes[0].at) < stallTimeout {
		return nil
	}
	oldest := w.probes[0].set
	if time.Since(heard) < stallTimeout && oldest.Contain(pos.set) { // a backlog
		return nil
	}
	return fmt.Errorf("%w: it was at %s, and has sent %s", errStalled, oldest, pos.set)
}
