package canal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) {
	runProcess()
	stacktest.Main(m)
}

// caches is what a sidecar writes to, in memory: a shared tier and a feed, which can be made to fail.
type caches struct {
	mu         sync.Mutex
	epochs     []string
	held       map[schema.ID]schema.Version // warm documents
	marked     map[schema.ID]schema.Version // cold documents
	told       map[schema.ID]schema.Version // by the feed
	term       int
	checkpoint string
	epoch      string
	watermark  time.Time
	failMark   error
	missed     []schema.Change // by a promoted master, until the next muster
	stranger   string          // that the next muster finds
}

func newCaches() *caches {
	return &caches{held: map[schema.ID]schema.Version{}, marked: map[schema.ID]schema.Version{}, told: map[schema.ID]schema.Version{}}
}

func (c *caches) SetEpoch(epoch string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epochs = append(c.epochs, epoch)
}

func (c *caches) Raise(epoch string) { c.SetEpoch(epoch) }

func (c *caches) Ready(context.Context) error { return nil }

func (c *caches) Muster(ctx context.Context, again func(context.Context, []schema.Change) error) (string, error) {
	c.mu.Lock()
	missed, stranger := c.missed, c.stranger
	c.missed, c.stranger = nil, ""
	c.mu.Unlock()
	if len(missed) == 0 {
		return stranger, nil
	}
	return stranger, again(ctx, missed)
}

func (c *caches) Mark(_ context.Context, changes []schema.Change) (stale []schema.Change, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, ch := range changes {
		if v, warm := c.held[ch.ID]; !warm {
			c.marked[ch.ID] = max(c.marked[ch.ID], ch.Version)
		} else if v < ch.Version {
			stale = append(stale, ch)
		}
	}
	return stale, c.failMark
}

func (c *caches) Replace(ctx context.Context, changes []schema.Change, docs []schema.Document, at time.Time) (int, error) {
	stale, err := c.Mark(ctx, changes)
	if err != nil {
		return 0, err
	}
	return len(stale), c.Put(ctx, slices.DeleteFunc(docs, func(d schema.Document) bool {
		return !slices.ContainsFunc(stale, func(s schema.Change) bool { return s.ID == d.ID })
	}), at)
}

func (c *caches) Put(_ context.Context, docs []schema.Document, _ time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range docs {
		c.held[d.ID] = max(c.held[d.ID], d.Version)
	}
	return nil
}

func (c *caches) Drop(_ context.Context, ids []schema.ID) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range ids {
		delete(c.held, id)
		c.marked[id] = schema.MaxVersion
	}
	return nil
}

// feed is one sidecar's way to publish.
type feed struct {
	*caches
	term int
}

func (f *feed) Lead(context.Context) (epoch, checkpoint string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.caches.term++
	f.term = f.caches.term
	return f.epoch, f.checkpoint, nil
}

func (f *feed) Publish(_ context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.term != f.caches.term {
		return schema.ErrDeposed
	}
	f.epoch = epoch
	if checkpoint != "" {
		f.checkpoint = checkpoint
	}
	if watermark.After(f.watermark) {
		f.watermark = watermark
	}
	for _, c := range changes {
		if c.Version > f.held[c.ID] && c.Version > f.marked[c.ID] {
			return fmt.Errorf("%d v%d is told before Redis knows", c.ID, c.Version)
		}
		f.told[c.ID] = max(f.told[c.ID], c.Version)
	}
	return nil
}

// database is a migrated database on a real server.
type database struct {
	*sql.DB
	root   *sql.DB
	server Server
	store  *schema.Store
}

func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// openDatabase migrates a database that is there.
func openDatabase(t testing.TB, server *stack.Server, dsn string) *database {
	t.Helper()
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	db := open(t, dsn)
	if _, err := migrate.Run(t.Context(), db); err != nil {
		t.Fatal(err)
	}
	return &database{DB: db, root: open(t, server.RootDSN(cfg.DBName)), store: schema.NewStore(db), server: Server{
		Addr: cfg.Addr, User: cfg.User, Password: cfg.Passwd, Database: cfg.DBName, Flavor: Flavor(server.Flavor()),
	}}
}

// session runs statements one after another as root, on one connection that nobody uses after it.
func (d *database) session(t testing.TB, statements string) {
	t.Helper()
	conn, err := d.root.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for s := range strings.SplitSeq(statements, ";") {
		if _, err := conn.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
}

func (d *database) exec(t testing.TB, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := d.ExecContext(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// versions returns what the version table says.
func (d *database) versions(t testing.TB) map[schema.ID]schema.Version {
	t.Helper()
	rows, err := d.QueryContext(t.Context(), "SELECT video_id, version FROM video_versions")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	m := map[schema.ID]schema.Version{}
	for rows.Next() {
		var id schema.ID
		var v schema.Version
		if err := rows.Scan(&id, &v); err != nil {
			t.Fatal(err)
		}
		m[id] = v
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return m
}

// start runs a sidecar until the test ends or stop is called.
func (d *database) start(t *testing.T, c *caches) (s *Sidecar, stop func()) {
	t.Helper()
	return d.startIn(t, c, "")
}

// startIn is start in a namespace.
func (d *database) startIn(t *testing.T, c *caches, namespace string) (s *Sidecar, stop func()) {
	t.Helper()
	s, err := New(Config{Server: d.server, Namespace: namespace, DB: d.DB, Origin: d.store, Shared: c, Feed: &feed{caches: c}, Renew: func() {
		d.SetMaxIdleConns(-1)
		d.SetMaxIdleConns(8)
	}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return s, stop
}

// caughtUp waits until the watermark has passed the present.
func caughtUp(t *testing.T, c *caches) {
	t.Helper()
	now := time.Now()
	stacktest.WaitFor(t, 30*time.Second, func() error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if !c.watermark.After(now) {
			return fmt.Errorf("the watermark is %v behind", now.Sub(c.watermark))
		}
		return nil
	})
}

// drops returns how often everything was dropped; it is done twice each time.
func (c *caches) drops() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	distinct := map[string]bool{}
	for _, e := range c.epochs {
		if e != "" {
			distinct[e] = true
		}
	}
	return len(distinct) / 2
}

// tells fails the test unless the feed has told of exactly the latest versions of everything.
func (c *caches) tells(t *testing.T, want map[schema.ID]schema.Version) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !maps.Equal(c.told, want) {
		for id, v := range want {
			if c.told[id] != v {
				t.Errorf("%d: told of %d, the table says %d", id, c.told[id], v)
			}
		}
		t.Fatalf("told of %d documents, the table has %d", len(c.told), len(want))
	}
}

// eachFlavor runs a test on a database of its own on each kind of server, side by side.
func eachFlavor(t *testing.T, f func(t *testing.T, d *database)) {
	t.Helper()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			f(t, openDatabase(t, stacktest.Server(t, flavor), stacktest.Database(t, flavor)))
		})
	}
}

// eachServer runs a test on each kind of server, side by side, each a server of its own.
func eachServer(t *testing.T, f func(t *testing.T, s *stack.Server, d *database)) {
	t.Helper()
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			s, d := ownServer(t, flavor, "vidmeta_own")
			f(t, s, d)
		})
	}
}

// ownServer starts a server with a database for this test alone.
func ownServer(t testing.TB, flavor stack.Flavor, name string, args ...string) (*stack.Server, *database) {
	t.Helper()
	config := stacktest.Config(flavor)
	config.MySQLArgs = args
	s := stacktest.Start(t, config).MySQL
	if _, err := open(t, s.RootDSN("")).Exec("CREATE DATABASE " + name); err != nil {
		t.Fatal(err)
	}
	return s, openDatabase(t, s, s.DSN(name))
}
