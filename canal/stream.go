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
	// eventBuffer bounds the events decoded ahead. They are of 8 KiB each, so 4 MiB.
	eventBuffer = 512
)

// stream is a connection on which a server sends its binlog.
type stream struct {
	srv     Server
	watcher *watcher
	syncer  *replication.BinlogSyncer
	events  *replication.BinlogStreamer
	queue   *queue
}

// openStream has a server send its binlog from the queue's position on. It returns when the server has named the file that
// it reads: should the binlog be begun anew after this, the server ends the stream, or the position's place no longer stands.
func openStream(ctx context.Context, srv Server, q *queue) (*stream, error) {
	w := newWatcher(srv.Database)
	syncer, err := srv.newSyncer(w)
	if err != nil {
		return nil, err
	}
	s := &stream{srv: srv, watcher: w, syncer: syncer, queue: q}
	s.events, err = syncer.StartSyncGTID(q.position().set)
	err = srv.explain(err)
	for named := false; err == nil && !named; {
		named, err = s.next(ctx)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

// run reads into the queue until ctx ends or something fails.
func (s *stream) run(ctx context.Context) error {
	for {
		if _, err := s.next(ctx); err != nil {
			return err
		}
	}
}

// next reads one event into the queue. It reports whether that names the file that is read from here on.
func (s *stream) next(ctx context.Context) (named bool, err error) {
	e, err := s.events.GetEvent(ctx)
	if err != nil {
		return false, s.srv.explain(err)
	}
	if err := consume(s.watcher, s.queue, e); err != nil {
		return false, fmt.Errorf("binlog of %s, event %s at %d: %w", s.srv.Addr, e.Header.EventType, e.Header.LogPos, err)
	}
	_, named = e.Event.(*replication.FormatDescriptionEvent)
	return named, nil
}

func (s *stream) close() { closeSyncer(s.syncer) }

// newSyncer returns a connection for the binlog that decodes what w wants to see.
func (s Server) newSyncer(w *watcher) (*replication.BinlogSyncer, error) {
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
		EventCacheCount:                eventBuffer,
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
