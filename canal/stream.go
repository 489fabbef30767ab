package canal

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// Server says where the binlog is read. The user needs REPLICATION SLAVE, on MySQL also REPLICATION CLIENT, on MariaDB
// also BINLOG MONITOR.
type Server struct {
	Addr           string // host:port
	User, Password string
	Database       string
	Flavor         Flavor
	TLS            *tls.Config // nil: without
	// ServerID is what the server knows this reader by, and must be nobody else's. 0 means a random one.
	ServerID uint32
}

// errPurged means that the server cannot send the binlog from the checkpoint on.
var errPurged = errors.New("the binlog after the checkpoint is gone")

const (
	heartbeatPeriod = time.Second // of the server, when it logs nothing
	// readTimeout is how long the connection may be silent: five heartbeats. By default a connection cut off without a
	// word would never be noticed.
	readTimeout  = 5 * time.Second
	closeTimeout = 5 * time.Second
	// eventBuffer bounds the events decoded ahead. They are of 8 KiB each, so 4 MiB.
	eventBuffer = 512
)

// stream reads the binlog from the queue's position into the queue, until ctx ends or something fails.
func stream(ctx context.Context, srv Server, q *queue, log *slog.Logger) error {
	host, portText, err := net.SplitHostPort(srv.Addr)
	if err != nil {
		return fmt.Errorf("binlog of %q: %w", srv.Addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return fmt.Errorf("binlog of %q: %w", srv.Addr, err)
	}
	id := srv.ServerID
	if id == 0 {
		id = 1<<16 + rand.Uint32N(1<<32-1<<17) // out of the range that people number servers from
	}
	w := newWatcher(srv.Database)
	dialer := net.Dialer{Timeout: readTimeout}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: id, Flavor: string(srv.Flavor), Host: host, Port: uint16(port),
		User: srv.User, Password: srv.Password, TLSConfig: srv.TLS,
		HeartbeatPeriod: heartbeatPeriod, ReadTimeout: readTimeout,
		// The library would resume from what it has read; we resume from what has been applied.
		DisableRetrySync: true, DiscardGTIDSet: true,
		RowsEventDecodeFunc:     w.decodeRows,
		EventCacheCount:         eventBuffer,
		TimestampStringLocation: time.UTC, PayloadDecoderConcurrency: 1, FillZeroLogPos: srv.Flavor == MariaDB,
		Dialer: dialer.DialContext, Logger: slog.New(warnings{log.Handler()}),
	})
	defer closeSyncer(syncer)
	events, err := syncer.StartSyncGTID(q.position().set)
	if err != nil {
		return fmt.Errorf("binlog of %s: %w", srv.Addr, purged(err))
	}
	for {
		e, err := events.GetEvent(ctx)
		if err != nil {
			return fmt.Errorf("binlog of %s: %w", srv.Addr, purged(err))
		}
		if err := consume(w, q, e); err != nil {
			return fmt.Errorf("binlog of %s, event %s at %d: %w", srv.Addr, e.Header.EventType, e.Header.LogPos, err)
		}
	}
}

// warnings passes over what the library tells of its own accord, such as all its settings at each start.
type warnings struct{ slog.Handler }

func (w warnings) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= slog.LevelWarn && w.Handler.Enabled(ctx, level)
}

// consume puts what an event means into the queue. It blocks while the queue is full.
func consume(w *watcher, q *queue, e *replication.BinlogEvent) error {
	if payload, ok := e.Event.(*replication.TransactionPayloadEvent); ok {
		for _, inner := range payload.Events {
			if err := consume(w, q, inner); err != nil {
				return err
			}
		}
		return nil
	}
	m, err := w.meaningOf(e)
	if err != nil {
		return err
	}
	return q.put(m, func(p *position) error { return p.begin(e.Event) })
}

// purged tells the error apart after which no retry from the same position can help.
func purged(err error) error {
	var my *mysql.MyError
	if errors.As(err, &my) && my.Code == mysql.ER_MASTER_FATAL_ERROR_READING_BINLOG {
		return fmt.Errorf("%w: %w", errPurged, err)
	}
	return err
}

// closeSyncer does not wait for ever: the library closes by a second connection, which may hang like the first.
func closeSyncer(s *replication.BinlogSyncer) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Close()
	}()
	select {
	case <-done:
	case <-time.After(closeTimeout):
	}
}
