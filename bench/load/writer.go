package load

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

const (
	writerWidth  = 8               // transactions that may be under way at once
	writeTimeout = 5 * time.Second // of one
)

// Written is what writers have done.
type Written struct {
	Transactions int64  // that were committed
	Statements   int64  // that the server had from them: what its counters have too much when the readers' are wanted
	Errors       int64  // transactions that failed
	Error        string // the first
}

// Write changes videos until ctx ends or the keys are over, as any program would: with plain SQL, and nothing that knows
// of a cache. Each transaction changes one video, which must exist, and notes its commit in ledger, which may be nil. They
// are begun as pace has it, at most eight at once; what cannot be begun in time is begun as soon as it can. When ctx ends,
// transactions that have begun are brought to their end, within 5 s each.
//
// That ctx has ended is no error, and neither is it that a few transactions failed; that all did is one.
//
// Statements leaves out those by which db prepares a new connection: it may open eight.
func Write(ctx context.Context, db *sql.DB, keys Keys, pace Pace, ledger *Ledger) (Written, error) {
	if keys == nil || pace == nil {
		return Written{}, errors.New("write: it takes keys, and a pace above 0")
	}
	w := &writers{db: db, keys: keys, pace: pace, ledger: ledger, began: time.Now()}
	seed := rand.Uint64()
	errs := make([]error, writerWidth)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = w.run(ctx, rand.New(rand.NewPCG(seed, uint64(i)))) })
	}
	wg.Wait()
	written := Written{Transactions: w.transactions.Load(), Statements: w.statements.Load(), Errors: w.errors.Load()}
	if w.first != nil {
		written.Error = w.first.Error()
	}
	err := firstOf(errs)
	if ctx.Err() != nil {
		err = nil
	}
	if written.Transactions == 0 {
		err = errors.Join(err, w.first)
	}
	return written, err
}

// writers are the eight of one Write.
type writers struct {
	db     *sql.DB
	keys   Keys
	pace   Pace
	ledger *Ledger
	began  time.Time

	arrivals, transactions, statements, errors atomic.Int64

	mu    sync.Mutex
	first error // guarded by mu
}

// run makes one transaction after another, of those that all share.
func (w *writers) run(ctx context.Context, random *rand.Rand) error {
	timer, err := newTimer(ctx)
	if err != nil {
		return err
	}
	defer timer.close()
	for {
		n := w.arrivals.Add(1) - 1
		for wait := w.pace(n, time.Since(w.began)); ; wait = w.pace(n, time.Since(w.began)) {
			if err := timer.wait(ctx, wait); err != nil {
				return err
			}
			if wait <= 0 {
				break
			}
		}
		id := w.keys.Next(random)
		if id == 0 {
			return nil
		}
		if err := w.write(context.WithoutCancel(ctx), n, id); err != nil {
			w.failed(fmt.Errorf("write video %d: %w", id, err))
		}
	}
}

func (w *writers) failed(err error) {
	w.errors.Add(1)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.first == nil {
		w.first = err
	}
}

// write is the n-th transaction. The version is read under the lock that the trigger has taken on its row, so it is the
// one that the commit makes visible.
func (w *writers) write(ctx context.Context, n int64, id uint64) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	tx, err := w.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	w.statements.Add(1)
	var version uint64
	if err := w.change(ctx, tx, n, id, &version); err != nil {
		w.statements.Add(1)
		return errors.Join(err, tx.Rollback())
	}
	w.statements.Add(1)
	if err := tx.Commit(); err != nil {
		return err // nobody knows whether it was committed; a ledger without it accuses no one
	}
	ended := time.Now()
	w.transactions.Add(1)
	if w.ledger != nil {
		w.ledger.Committed(id, version, ended)
	}
	return nil
}

func (w *writers) change(ctx context.Context, tx *sql.Tx, n int64, id uint64, version *uint64) error {
	w.statements.Add(1)
	language := fmt.Sprintf("x-%d", n) // another than before
	if _, err := tx.ExecContext(ctx, "UPDATE videos SET language = ? WHERE id = ?", language, id); err != nil {
		return err
	}
	w.statements.Add(1)
	return tx.QueryRowContext(ctx, "SELECT version FROM video_versions WHERE video_id = ?", id).Scan(version)
}
