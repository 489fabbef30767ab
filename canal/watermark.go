package canal

import (
	"context"
	"database/sql"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

const (
	probePeriod = 100 * time.Millisecond
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

// run asks the server for its position every probePeriod until ctx ends or it fails.
func (w *watermark) run(ctx context.Context, db *sql.DB, flavor Flavor) error {
	tick := time.NewTicker(probePeriod)
	defer tick.Stop()
	for {
		at := time.Now()
		set, err := currentSet(ctx, db, flavor)
		if err != nil {
			return err
		}
		w.add(probe{at: at, set: set})
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
