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
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
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

	identity string // which server the session is about
}

var (
	// errPurged means that the server cannot send the binlog from the checkpoint on: no retry can help.
	errPurged = errors.New("the binlog after the checkpoint is gone")
	errTwin   = errors.New("another reader of the binlog goes by the same server id (see --server-id)")
)

const (
	heartbeatPeriod = time.Second // of the server, when it logs nothing
	// readTimeout is how long the connection may be silent: five heartbeats. By default a connection cut off without a
	// word would never be noticed.
	readTimeout  = 5 * time.Second
	closeTimeout = 5 * time.Second
)

// stream is a connection on which a server sends its binlog. Events go into the queue one by one, as they are read, and
// none is read ahead: where the binlog is compressed one event is a transaction.
type stream struct {
	srv     Server
	watcher *watcher
	queue   *queue
	syncer  *replication.BinlogSyncer
	events  *replication.BinlogStreamer // only its error
	named   func()
}

// openStream has a server send its binlog from the queue's position on. It returns when the server has named the file that
// it reads: should the binlog be begun anew after this, the server ends the stream, or the position's place no longer stands.
func openStream(ctx context.Context, srv Server, q *queue) (*stream, error) {
	s := &stream{srv: srv, watcher: newWatcher(srv.Database), queue: q}
	opening, named := context.WithCancel(ctx)
	defer named()
	s.named = named
	var err error
	if s.syncer, err = srv.newSyncer(s.watcher, s); err != nil {
		return nil, err
	}
	if s.events, err = s.syncer.StartSyncGTID(q.position().set); err != nil {
		err = srv.explain(err)
	} else if err = s.run(opening); errors.Is(err, context.Canceled) {
		err = context.Cause(ctx) // nil if it was named
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// HandleEvent puts what an event means into the queue.
func (s *stream) HandleEvent(e *replication.BinlogEvent) error {
	if err := consume(s.watcher, s.queue, e); err != nil {
		return fmt.Errorf("event %s at %d: %w", e.Header.EventType, e.Header.LogPos, err)
	}
	if _, ok := e.Event.(*replication.FormatDescriptionEvent); ok {
		s.named()
	}
	return nil
}

// run returns when ctx ends or something has failed.
func (s *stream) run(ctx context.Context) error {
	_, err := s.events.GetEvent(ctx)
	return s.srv.explain(err)
}

func (s *stream) close() {
	s.queue.close(replication.ErrSyncClosed) // or it may be waited for
	closeSyncer(s.syncer)
}

// newSyncer returns a connection for the binlog that decodes what w wants to see, for h to handle; nil: for GetEvent.
func (s Server) newSyncer(w *watcher, h replication.EventHandler) (*replication.BinlogSyncer, error) {
	host, portText, err := net.SplitHostPort(s.Addr)
	if err != nil {
		return nil, fmt.Errorf("binlog of %q: %w", s.Addr, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("binlog of %q: %w", s.Addr, err)
	}
	id := s.ServerID
	if id == 0 {
		id = 1<<16 + rand.Uint32N(1<<32-1<<17) // out of the range that people number servers from
	}
	dialer := net.Dialer{Timeout: readTimeout}
	return replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: id, Flavor: string(s.Flavor), Host: host, Port: uint16(port),
		User: s.User, Password: s.Password, TLSConfig: s.TLS,
		HeartbeatPeriod: heartbeatPeriod, ReadTimeout: readTimeout,
		// The library would resume from what it has read; we resume from what has been applied.
		DisableRetrySync: true, DiscardGTIDSet: true,
		Option:              s.recognise,
		RowsEventDecodeFunc: w.decodeRows,
		// The columns' names and charsets come with every transaction, and nobody asks for them.
		TableMapOptionalMetaDecodeFunc: func([]byte) error { return nil },
		SynchronousEventHandler:        h,
		EventCacheCount:                1, // read ahead without a handler
		TimestampStringLocation:        time.UTC, PayloadDecoderConcurrency: 1,
		Dialer: dialer.DialContext, Logger: slog.New(slog.DiscardHandler), // what it cannot mend it returns
	}), nil
}

// recognise makes sure that a connection leads to the server that the session is about.
func (s Server) recognise(c *client.Conn) error {
	r, err := c.Execute("SELECT " + identity(s.Flavor))
	if err != nil {
		return err
	}
	defer r.Close()
	switch who, err := r.GetString(0, 0); {
	case err != nil:
		return err
	case who != s.identity:
		return fmt.Errorf("%w: the binlog is that of %s", errMoved, who)
	}
	return nil
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
	return q.put(m, e)
}

// explain tells apart the errors that mean more than to try again. nil stays nil.
func (s Server) explain(err error) error {
	var my *mysql.MyError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &my):
	case strings.Contains(my.Message, "with the same server_uuid/server_id"): // of several codes
		err = fmt.Errorf("%w: %w", errTwin, err)
	case my.Code == mysql.ER_MASTER_FATAL_ERROR_READING_BINLOG:
		err = fmt.Errorf("%w: %w", errPurged, err)
	}
	return fmt.Errorf("binlog of %s: %w", s.Addr, err)
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
