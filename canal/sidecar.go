package canal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"vidmeta/schema"
)

// Origin is where documents are made. Both answer for each id, in order, as a new session of the server sees it.
type Origin interface {
	// Load returns documents, with Body nil where there is none.
	Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error)
	// Versions returns the versions alone.
	Versions(ctx context.Context, ids []schema.ID) ([]schema.Version, error)
}

// Shared is the tier that all nodes read.
type Shared interface {
	// SetEpoch names the epoch that the feed has been left in.
	SetEpoch(epoch string)
	// Raise goes on in an epoch that has never been used, in which the tier holds nothing; the feed tells the nodes.
	Raise(epoch string)
	// Ready returns nil if all its servers answer.
	Ready(ctx context.Context) error
	// Muster makes sure that the tier holds what has been published, after a failover of its servers as well. What may
	// be missing it hands to again, for a Mark and a Put. If that cannot be told, it returns where: then everything has to
	// go. It asks only so often that it may be called for every batch.
	Muster(ctx context.Context, again func(context.Context, []schema.Change) error) (stranger string, err error)
	// Mark tells it that documents have reached versions which all loads see, and returns the changes of those that it
	// holds older.
	Mark(ctx context.Context, changes []schema.Change) (stale []schema.Change, err error)
	// Replace is Mark and, of what is stale, Put, of documents in the order of their changes; it returns how many were stale.
	Replace(ctx context.Context, changes []schema.Change, docs []schema.Document, loadedAt time.Time) (stale int, err error)
	// Put replaces what it holds older.
	Put(ctx context.Context, docs []schema.Document, loadedAt time.Time) error
	// Drop takes out what it holds.
	Drop(ctx context.Context, ids []schema.ID) error
}

// Feed tells all nodes what has changed, and keeps the checkpoint.
type Feed interface {
	// Lead begins a term and returns what the last one left, "" where there is nothing.
	Lead(ctx context.Context) (epoch, checkpoint string, err error)
	// Publish appends to the feed and moves the checkpoint unless it is "". It fails with schema.ErrDeposed if somebody
	// else has begun a term.
	Publish(ctx context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error
}

// Config is what a Sidecar is made of. Server, DB, Origin, Shared and Feed are required.
type Config struct {
	Server Server
	// Namespace tells the caches of one deployment from those of others that are made of the same database: in each of
	// them one sidecar leads.
	Namespace string
	DB        *sql.DB // of the same server; for the lock and for asking how far the binlog is
	Origin    Origin
	Shared    Shared
	Feed      Feed
	// Sound says why the database cannot be relied upon to tell of its changes, such as a trigger that is missing; nil
	// means that it can. It is asked before a session begins and after DDL; while it returns an error the sidecar vouches
	// for nothing.
	Sound func(context.Context) error
	// Renew closes the idle connections of DB and of the origin's pool, since after a switch-over they may lead to a
	// server where nobody writes any more. nil means that they all end with their server. It is called before a session.
	Renew      func()
	Registerer prometheus.Registerer // nil: metrics are kept to itself
	Logger     *slog.Logger          // nil: nothing is logged
}

// Sidecar follows the binlog and keeps the caches true. Several may run; one leads, the others wait for its lock.
type Sidecar struct {
	cfg     Config
	metrics *metrics
	log     *slog.Logger
	lock    *lock     // nil while it is not held
	good    time.Time // when something was published under it last
	from    string    // the checkpoint that the session began at
	useless string    // a checkpoint that the server has no binlog for any more
	leading atomic.Bool
	waiting atomic.Bool           // somebody else leads
	heard   atomic.Bool           // a batch of this session has been published
	vouched atomic.Int64          // when a watermark was published last, or the lead was taken, in nanoseconds since 1970
	failure atomic.Pointer[error] // what the last session ended with, nil if there was none
}

// New returns a sidecar. It dials nothing.
func New(cfg Config) (*Sidecar, error) {
	switch {
	case cfg.DB == nil || cfg.Origin == nil || cfg.Shared == nil || cfg.Feed == nil:
		return nil, errors.New("sidecar: DB, Origin, Shared and Feed are required")
	case cfg.Server.Addr == "" || cfg.Server.Database == "":
		return nil, errors.New("sidecar: the server's address and database are required")
	case cfg.Server.Flavor != MySQL && cfg.Server.Flavor != MariaDB:
		return nil, fmt.Errorf("sidecar: %q is no flavour of server", cfg.Server.Flavor)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Sidecar{cfg: cfg, metrics: newMetrics(cfg.Registerer), log: cfg.Logger}, nil
}

const (
	heartbeat    = 100 * time.Millisecond // of the feed, when nothing changes
	shortPause   = 100 * time.Millisecond // before a session after one that failed
	longestPause = time.Second
	setupTimeout = 10 * time.Second // of what a session asks before it begins
	// patience is how long a leader that can publish nothing any more keeps the lead: a failover of Redis takes less with
	// the usual cluster-node-timeout of 15 s, but another sidecar may reach what this one cannot.
	patience = 30 * time.Second
)

// VouchLimit is how long a leader may vouch for nothing new before that is a failure. It is longer than the 10 s that a
// server waits by default for the acknowledgement of a semi-synchronous replica.
const VouchLimit = 15 * time.Second

// Run leads, or waits to lead, until ctx ends. Whatever fails ends the session, and the next begins at the checkpoint.
// It keeps the lead meanwhile, for patience: who has led knows best what a new master of Redis may lack.
// It returns nil.
func (s *Sidecar) Run(ctx context.Context) error {
	pause := shortPause
	for {
		begun := time.Now()
		err := s.session(ctx)
		s.leads(false)
		s.waiting.Store(false)
		if s.lock != nil && (ctx.Err() != nil || yields(err, time.Since(s.good))) {
			s.lock.release()
			s.lock = nil
		}
		if ctx.Err() != nil {
			return nil
		}
		s.metrics.sessionEnded(err)
		s.failure.Store(&err)
		if errors.Is(err, errPurged) {
			s.useless = s.from
		}
		if time.Since(begun) > 2*longestPause {
			pause = shortPause
		}
		s.log.Warn("session ended", "error", err, "next_in", pause)
		if sleep(ctx, pause/2+rand.N(pause)) != nil {
			return nil
		}
		pause = min(2*pause, longestPause)
	}
}

// yields reports whether a leader gives up the lead when a session has ended with err, having published last so long ago.
func yields(err error, silent time.Duration) bool {
	astray := errors.Is(err, errLockLost) || errors.Is(err, errMoved) // the lock is that of a server left behind
	return astray || silent > patience
}

func (s *Sidecar) leads(now bool) {
	s.leading.Store(now)
	s.metrics.leads(now)
}

// Leading reports whether this sidecar is the one that leads.
func (s *Sidecar) Leading() bool { return s.leading.Load() }

// Healthy returns an error unless this sidecar leads, publishes and vouches for something new within VouchLimit, or waits
// while another one leads.
func (s *Sidecar) Healthy(context.Context) error {
	silent := time.Since(time.Unix(0, s.vouched.Load()))
	switch {
	case s.waiting.Load():
		return nil
	case s.Leading() && !s.heard.Load():
		return errors.New("nothing has been published yet")
	case s.Leading() && silent > VouchLimit:
		return fmt.Errorf("leading, but what is committed has not been vouched for in the last %v: it reads a backlog, or the log says why",
			silent.Round(time.Second))
	case s.Leading():
		return nil
	}
	if err := s.failure.Load(); err != nil {
		return fmt.Errorf("neither leading nor waiting to lead: %w", *err)
	}
	return errors.New("neither leading nor waiting to lead")
}

// session leads to the first failure, from the lock on if it is not held yet.
func (s *Sidecar) session(ctx context.Context) (err error) {
	if err := s.sound(ctx); err != nil {
		return err
	}
	if s.lock == nil {
		s.lock, err = acquireLock(ctx, s.cfg.DB, s.cfg.Server.Flavor, LockName(s.cfg.Server.Database, s.cfg.Namespace), func() { s.waiting.Store(true) })
		if err != nil {
			return err
		}
		s.good = time.Time{}
		s.vouched.Store(time.Now().UnixNano())
	}
	s.waiting.Store(false)
	l := s.lock
	// Until the lock is asked after, nothing else notices a server that has fallen silent.
	setup, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := l.ask(setup); err != nil { // it may be that of the session before
		return err
	}
	// Before the lead is taken: what another one knows must not be lost to somebody who can do nothing.
	if err := s.cfg.Shared.Ready(setup); err != nil {
		return err
	}
	server, first, err := s.meet(setup, l)
	if err != nil {
		return err
	}
	epoch, checkpoint, err := s.cfg.Feed.Lead(setup)
	if err != nil {
		return err
	}
	s.cfg.Shared.SetEpoch(epoch)
	s.from = checkpoint
	in, lost, err := s.resume(setup, server, first, epoch, checkpoint)
	if err != nil {
		return err
	}
	defer in.close()
	q := in.queue
	a := &applier{
		origin: s.cfg.Origin, shared: s.cfg.Shared, feed: s.cfg.Feed, metrics: s.metrics, log: s.log,
		epoch: epoch, sound: s.sound,
		settled: func(ctx context.Context, id schema.ID) (schema.Version, bool, error) {
			return settled(ctx, s.cfg.DB, id)
		},
	}
	if server.Flavor == MySQL {
		a.executed = func(ctx context.Context) (mysql.GTIDSet, error) {
			now, err := l.ask(ctx)
			return now.set, err
		}
	}
	s.log.Info("leading", "from", q.position().checkpoint(), "epoch", epoch, "lost", lost)
	s.heard.Store(false)
	s.leads(true)
	if lost != "" {
		if err := q.put(meaning{drop: lost}, nil); err != nil {
			return err
		}
	}
	var mark watermark
	g, ctx := errgroup.WithContext(ctx)
	stop := context.AfterFunc(ctx, func() { q.close(context.Cause(ctx)) })
	defer stop()
	anew := func(ctx context.Context) (status, error) { return askAnew(ctx, s.cfg.DB, server.Flavor) }
	g.Go(func() error { return mark.run(ctx, l, first, anew) })
	g.Go(func() error { return in.run(ctx) })
	g.Go(func() error { return s.carry(ctx, q, a, &mark) })
	return g.Wait()
}

func (s *Sidecar) sound(ctx context.Context) error {
	if s.cfg.Sound == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	return s.cfg.Sound(ctx)
}

// meet returns the server and what it says, having made sure that new connections lead to the one that holds the lock.
func (s *Sidecar) meet(ctx context.Context, l *lock) (server Server, now status, err error) {
	if s.cfg.Renew != nil {
		s.cfg.Renew()
	}
	if server, err = s.whoIs(ctx); err != nil {
		return server, now, err
	}
	if now, err = l.ask(ctx); err != nil {
		return server, now, err
	}
	server.identity = now.server
	anew, err := askAnew(ctx, s.cfg.DB, server.Flavor)
	if err == nil {
		err = anew.follows(now)
	}
	return server, now, err
}

// whoIs returns the server with its database's name as the server itself writes it, which is what the binlog has.
func (s *Sidecar) whoIs(ctx context.Context) (Server, error) {
	server := s.cfg.Server
	err := s.cfg.DB.QueryRowContext(ctx, "SELECT TABLE_SCHEMA FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = ?",
		schema.VersionTable).Scan(&server.Database)
	if errors.Is(err, sql.ErrNoRows) {
		return server, fmt.Errorf("database %s has no table %s: run vidmeta migrate", server.Database, schema.VersionTable)
	}
	if err != nil {
		return server, fmt.Errorf("look for %s: %w", schema.VersionTable, err)
	}
	return server, nil
}

// resume has the server send its binlog from the checkpoint on. If that cannot be, it does from the first status on, and
// returns why everything that the caches hold has to go. It looks once the stream is open: before, the server could begin
// another binlog unseen.
func (s *Sidecar) resume(ctx context.Context, server Server, first status, epoch, checkpoint string) (in *stream, lost string, err error) {
	pos, lost := s.recall(server.Flavor, epoch, checkpoint)
	// A MySQL server that took over before it had all that was told of the last one would never send the rest: it takes it for
	// known. The same one may be behind what it has sent, for as long as a commit waits for its acknowledgement. MariaDB refuses.
	if lost == "" && server.Flavor == MySQL && pos.place.server != server.identity && !first.set.Contain(pos.set) {
		lost = "the server that answers now has not all that was told of the one before"
	}
	if lost == "" {
		place := pos.place
		pos.server = server.identity
		if in, err = openStream(ctx, server, newQueue(pos)); err != nil {
			return nil, "", err
		}
		stands, err := place.stands(ctx, server)
		if stands {
			return in, "", nil
		}
		in.close()
		if err != nil {
			return nil, "", err
		}
		lost = "the server has begun another binlog since the checkpoint, or has lost the end of the one it had"
	}
	in, err = openStream(ctx, server, newQueue(&position{flavor: server.Flavor, set: first.set.Clone(), server: server.identity}))
	return in, lost, err
}

// recall returns the position of a checkpoint, or why there is none.
func (s *Sidecar) recall(flavor Flavor, epoch, checkpoint string) (pos *position, lost string) {
	switch {
	case epoch == "" || checkpoint == "":
		return nil, "there is no checkpoint"
	case checkpoint == dropping:
		return nil, "the leader before has not dropped everything to the end"
	case checkpoint == s.useless:
		return nil, errPurged.Error()
	}
	pos, err := parsePosition(flavor, checkpoint)
	if err != nil {
		return nil, err.Error()
	}
	return pos, ""
}

// carry applies batch after batch; each is what has gathered while the one before was under way.
func (s *Sidecar) carry(ctx context.Context, q *queue, a *applier, mark *watermark) error {
	for {
		b, err := q.take(ctx, heartbeat)
		if err != nil {
			return err
		}
		at := mark.reached(b.pos)
		stalled := mark.stalled(b.pos, b.heard)
		if err := a.apply(ctx, b, at); err != nil {
			return err
		}
		s.good = time.Now()
		if !at.IsZero() {
			s.vouched.Store(s.good.UnixNano())
		}
		s.heard.Store(true)
		if stalled != nil { // what has come has been told
			return stalled
		}
	}
}
