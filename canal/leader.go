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
	lockIdle = 3 // seconds without a statement after which MySQL ends the connection, and the lock with it
)

var errLockLost = errors.New("the leader's lock is lost")

// lock is the right to lead. MySQL keeps it for one connection and frees it when that ends, however it ends.
type lock struct {
	conn   *sql.Conn
	name   string
	flavor Flavor
}

// acquireLock waits until nobody else leads the sidecars of the database, or ctx ends. It calls refused each time that
// somebody else does.
func acquireLock(ctx context.Context, db *sql.DB, flavor Flavor, database string, refused func()) (*lock, error) {
	l := &lock{name: LockName(database), flavor: flavor}
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

// LockName names the lock that the leader of a database holds in MySQL, within the 64 characters that a name may have.
func LockName(database string) string {
	name := "vidmeta:" + database
	return name[:min(len(name), 64)]
}

// ask asks the server that holds the lock how far it is, and makes sure that it still holds it. It has to be called more
// often than every lockIdle seconds.
func (l *lock) ask(ctx context.Context) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, lockIdle*time.Second)
	defer cancel()
	var mine sql.NullBool
	row := l.conn.QueryRowContext(ctx, "SELECT IS_USED_LOCK(?) = CONNECTION_ID(), "+statusColumns(l.flavor), l.name)
	s, err := scanStatus(row, l.flavor, &mine)
	if err != nil {
		return s, fmt.Errorf("%w: %w", errLockLost, err)
	}
	if !mine.Bool {
		return s, errLockLost
	}
	return s, nil
}

// release ends the connection, and with it the lock: it must not go back to the pool.
func (l *lock) release() {
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = l.conn.Close()
}
