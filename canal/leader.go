package canal

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

const (
	lockWait = 1 // seconds that one GET_LOCK waits
	lockIdle = 3 // seconds without a statement after which MySQL ends the connection, and the lock with it
	lockKeep = time.Second
)

var errLockLost = errors.New("the leader's lock is lost")

// lock is the right to lead. MySQL keeps it for one connection and frees it when that ends, however it ends.
type lock struct {
	name   string
	flavor Flavor

	mu    sync.Mutex // of the connection
	conn  *sql.Conn
	asked time.Time
	done  chan struct{} // closed when it is given up
	kept  sync.WaitGroup
}

// acquireLock waits until nobody else holds the lock of that name, or ctx ends. It calls refused each time that somebody
// else does.
func acquireLock(ctx context.Context, db *sql.DB, flavor Flavor, name string, refused func()) (*lock, error) {
	l := &lock{name: name, flavor: flavor, done: make(chan struct{})}
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
			l.kept.Go(l.keep)
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

// LockName names the lock in MySQL that the leader holds of the sidecars which keep the caches of a namespace true to a
// database. Names of locks belong to the whole server and have at most 64 characters, hence the digest. Spellings of the
// database's name that differ in case alone are one, as they are to some servers.
func LockName(database, namespace string) string {
	digest := sha256.Sum256([]byte(strings.ToLower(database) + "\x00" + namespace))
	return fmt.Sprintf("vidmeta:%x", digest[:20])
}

// ask asks the server that holds the lock how far it is, and makes sure that it still holds it. It has to be called more
// often than every lockIdle seconds. A question once sent is answered, or not within lockIdle: given up half-way it would
// cost the connection, and with it the lock.
func (l *lock) ask(ctx context.Context) (status, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockIdle*time.Second)
	defer cancel()
	l.asked = time.Now()
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

// keep asks while nobody else does, between sessions, until the lock is given up. Whoever asks next learns of a failure.
func (l *lock) keep() {
	tick := time.NewTicker(lockKeep)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-l.done:
			return
		}
		l.mu.Lock()
		quiet := time.Since(l.asked) > lockKeep
		l.mu.Unlock()
		if quiet {
			_, _ = l.ask(context.Background())
		}
	}
}

// release ends the connection, and with it the lock: it must not go back to the pool.
func (l *lock) release() {
	close(l.done)
	l.kept.Wait()
	_ = l.conn.Raw(func(any) error { return driver.ErrBadConn })
	_ = l.conn.Close()
}
