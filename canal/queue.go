package canal

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-mysql-org/go-mysql/replication"

	"vidmeta/schema"
)

// queueSize is how many documents may be waiting to be applied; then the binlog is read more slowly. One batch of them
// keeps Redis busy for some hundred milliseconds.
const queueSize = 8192

// queue gathers changes, the largest version per document, until the applier has time for them. Its writer blocks while
// it is full; nothing is ever dropped from it. A version that falls counts as one more than the largest there was: so it is
// newer than whatever a cache may hold of the document.
type queue struct {
	mu      sync.Mutex
	changed *sync.Cond // something was put in or taken out, or the queue was closed
	closed  error

	versions map[schema.ID]schema.Version
	drop     string
	pos      *position
	heard    time.Time // when the server last sent anything but a heartbeat
	full     bool      // somebody waits to put more
}

// batch is what one take got: everything up to pos is in it, or was in an earlier one.
type batch struct {
	changes []schema.Change
	drop    string // why everything has to go first, or ""
	pos     *position
	heard   time.Time // when the server last sent anything but a heartbeat
}

func newQueue(pos *position) *queue {
	q := &queue{versions: make(map[schema.ID]schema.Version), pos: pos, heard: time.Now()}
	q.changed = sync.NewCond(&q.mu)
	return q
}

// position returns a copy of how far the binlog has been read.
func (q *queue) position() *position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.pos.clone()
}

// close makes put and take return err.
func (q *queue) close(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed = err
	}
	q.changed.Broadcast()
}

// put adds what an event means, or something that no event says: e is nil then.
func (q *queue) put(m meaning, e *replication.BinlogEvent) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range m.changes {
		for len(q.versions) >= queueSize && q.closed == nil {
			q.full = true
			q.changed.Wait()
		}
		q.full = false
		if q.closed != nil {
			return q.closed
		}
		v := c.Version
		if largest := q.versions[c.ID]; v < largest {
			v = largest + 1
		}
		if v > schema.MaxVersion { // caches may hold one as large
			v, q.drop = schema.MaxVersion, fmt.Sprintf("the version of video %d was beyond the largest, or comes down from it", c.ID)
		}
		q.versions[c.ID] = v
	}
	if m.drop != "" {
		q.drop = m.drop
	}
	if m.begins {
		if err := q.pos.begin(e.Event); err != nil {
			return err
		}
	}
	if m.ends {
		if err := q.pos.commit(); err != nil {
			return err
		}
	}
	if e != nil {
		q.pos.locate(e)
		if _, quiet := e.Event.(*replication.HeartbeatEvent); !quiet {
			q.heard = time.Now()
		}
	}
	if len(m.changes) > 0 || m.drop != "" || m.ends {
		q.changed.Broadcast()
	}
	return q.closed
}

// take returns what has gathered, as soon as there is anything or when wait is over, then perhaps without changes.
func (q *queue) take(ctx context.Context, wait time.Duration) (batch, error) {
	due := false
	wake := func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		due = true
		q.changed.Broadcast()
	}
	timer := time.AfterFunc(wait, wake)
	defer timer.Stop()
	defer context.AfterFunc(ctx, wake)()

	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.versions) == 0 && q.drop == "" && !due && q.closed == nil {
		q.changed.Wait()
	}
	if q.closed != nil {
		return batch{}, q.closed
	}
	if err := ctx.Err(); err != nil {
		return batch{}, context.Cause(ctx)
	}
	if q.full { // it is we who do not hear
		q.heard = time.Now()
	}
	b := batch{drop: q.drop, pos: q.pos.clone(), heard: q.heard, changes: make([]schema.Change, 0, len(q.versions))}
	for id, v := range q.versions {
		b.changes = append(b.changes, schema.Change{ID: id, Version: v})
	}
	clear(q.versions)
	q.drop = ""
	q.changed.Broadcast()
	return b, nil
}
