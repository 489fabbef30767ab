package canal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"
)

const (
	lockWait = 1 // seconds that one GET_LOCK waits
	lockIdle = 3 // seconds without a ping after which MySQL ends the connection, and the lock with it
	lockPing = 500 * time.Millisecond
)

var errLockLost = errors.New("the leader's lock is lost")

// lock is the right to lead. MySQL keeps it for one connection and frees it when that ends, however it ends.
type lock struct {
	conn *sql.Conn
	name string
}

// acquireLock waits until nobody else leads the sidecars of the database, or ctx ends. It calls refused each time that
// somebody else does.
func acquireLock(ctx context.Context, db *sql.DB, database string, refused func()) (*lock, error) {
	l := &lock{name: lockName(database)}
	var err error
	if l.conn, err = db.Conn(ctx); err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	setup, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := l.conn.ExecContext(setup, fmt.Sprintf("SET SESSION wait_timeout = %d", lockIdle)); err != nil {
		l.release()
		return nil, fmt.Errorf("lock: %w", err)
	}
	for {
		got, err := l.try(ctx)
		if err != nil {
			l.release()
			return nil, fmt.Errorf("lock: %w", err)
		}
		if got {
			return l, nil
		}
		refused()
	}
}

// try asks for the lock once. A server that does not answer ends it, as one that refuses does.
func (l *lock) try(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*lockWait*time.Second)
	defer cancel()
	var got sql.NullBool
	err := l.conn.QueryRowContext(ctx, "SELECT GET_LOCK(?, ?)", l.name, lockWait).Scan(&got)
	return got.Bool, err
}

// lockName fits the 64 characters that a lock's name may have.
func lockName(database string) string {
	name := "vidmeta:" + database
	return name[:min(len(name), 64)]
}

// hold pings until ctx ends or the lock is lost.
func (l *lock) hold(ctx context.Context) error {
	tick := time.NewTicker(lockPing)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		ping, cancel := context.WithTimeout(ctx, lockIdle*time.Second)
		var mine sql.NullBool
		err := l.conn.QueryRowContext(ping, "SELECT IS_USED_LOCK(?) = CONNECTION_ID()", l.name).Scan(&mine)
		cancel()
		if err != nil {
			return fmt.Errorf("%w: %w", errLockLost, err)
		}
		if !mine.Bool {
			return errLockLost
		}
	}
}

// release ends the connection, and with it the lock: it must not go back to the pool.
func (l *lock) release() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = l.conn.Close()
}
