package audit

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"vidmeta/cache"
	"vidmeta/canal"
	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silence{})
	stacktest.Main(m)
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

const (
	patience = 30 * time.Second
	videos   = 40 // 1 to 40 are there
)

// world is a fleet of two nodes and a sidecar on real servers.
type world struct {
	t         *testing.T
	db        *sql.DB
	store     *schema.Store
	client    *redis.ClusterClient
	namespace string
	nodes     []*cache.Chain
	urls      []string // of the nodes' admin listeners
	cfg       Config   // of an auditor
}

func openDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func newWorld(t *testing.T, flavor stack.Flavor) *world {
	t.Helper()
	dsn := stacktest.Database(t, flavor)
	w := &world{t: t, db: openDB(t, dsn), namespace: "audit-" + strings.ToLower(rand.Text())}
	if _, err := migrate.Run(t.Context(), w.db); err != nil {
		t.Fatal(err)
	}
	if err := seed.Seed(t.Context(), w.db, videos, func(int, int) {}); err != nil {
		t.Fatal(err)
	}
	w.store = schema.NewStore(w.db)
	w.client = w.open()
	ctx, cancel := context.WithCancel(context.Background())
	g, ctx := errgroup.WithContext(ctx)
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
	})

	at, err := mysql.ParseDSN(dsn)
	if err != nil {
		t.Fatal(err)
	}
	shared := cache.NewShared(w.tier())
	sidecar, err := canal.New(canal.Config{
		Server: canal.Server{Addr: at.Addr, User: at.User, Password: at.Passwd, Database: at.DBName, Flavor: canal.Flavor(flavor)},
		DB:     w.db, Origin: w.store, Shared: shared, Feed: cache.NewFeed(shared),
	})
	if err != nil {
		t.Fatal(err)
	}
	g.Go(func() error { return sidecar.Run(ctx) })
	for range 2 {
		node, _ := w.chain(ctx, g)
		w.nodes = append(w.nodes, node)
		w.urls = append(w.urls, w.serve(LocalHandler(node)))
	}
	chain, tier := w.chain(ctx, g)
	w.cfg = Config{DB: w.db, Origin: w.store, Chain: chain, Redis: tier, Nodes: w.urls}
	return w
}

func (w *world) open() *redis.ClusterClient {
	c, err := cache.NewClient(cache.ClientConfig{Addrs: stacktest.Redis(w.t), Timeout: 5 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

func (w *world) tier() *cache.Redis {
	tier, err := cache.NewRedis(cache.RedisConfig{Client: w.client, Namespace: w.namespace, Timeout: 5 * time.Second})
	if err != nil {
		w.t.Fatal(err)
	}
	return tier
}

// chain runs what a node consists of, and waits until it has heard the feed.
func (w *world) chain(ctx context.Context, g *errgroup.Group) (*cache.Chain, *cache.Redis) {
	tier := w.tier()
	c, err := cache.NewChain(cache.Config{
		Local: cache.LocalConfig{MaxBytes: 1 << 20, TTL: time.Hour}, Redis: tier,
		Origin: cache.OriginConfig{Store: w.store, Timeout: 5 * time.Second},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	s := cache.NewSubscriber(c, w.open())
	g.Go(func() error {
		defer c.Close()
		return s.Run(ctx)
	})
	stacktest.WaitFor(w.t, patience, func() error { return s.Healthy(ctx) })
	return c, tier
}

func (w *world) serve(h http.Handler) (url string) {
	mux := http.NewServeMux()
	mux.Handle("GET "+LocalPath, h)
	s := httptest.NewServer(mux)
	w.t.Cleanup(s.Close)
	return s.URL
}

var shortAges = []time.Duration{0, 100 * time.Millisecond, time.Second, 2 * time.Second}

func (w *world) auditor(ages []time.Duration, change ...func(*Config)) *Auditor {
	cfg := w.cfg
	for _, f := range change {
		f(&cfg)
	}
	a, err := newAuditor(cfg, ages)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

func (w *world) exec(statement string, args ...any) {
	w.t.Helper()
	if _, err := w.db.Exec(statement, args...); err != nil {
		w.t.Fatal(err)
	}
}

// warm has all documents in the feed, in Redis, and in both local tiers.
func (w *world) warm() {
	w.t.Helper()
	w.exec("UPDATE videos SET title = CONCAT(title, '!')")
	ids := make([]schema.ID, videos)
	for i := range ids {
		ids[i] = schema.ID(i + 1)
	}
	docs, err := w.store.Load(w.t.Context(), ids)
	if err != nil {
		w.t.Fatal(err)
	}
	stacktest.WaitFor(w.t, patience, func() error {
		for _, n := range w.nodes {
			for i, r := range n.GetMany(w.t.Context(), ids, schema.ReadOptions{}) {
				if r.Err != nil || r.Version != docs[i].Version {
					return fmt.Errorf("video %d: version %d, %v; MySQL has %d", r.ID, r.Version, r.Err, docs[i].Version)
				}
			}
			for i, h := range n.InspectLocal(ids) {
				if h.Version != docs[i].Version || h.Why != "" {
					return fmt.Errorf("video %d in the local tier: %+v", ids[i], h)
				}
			}
		}
		for i, h := range w.cfg.Chain.InspectRedis(w.t.Context(), ids) {
			if h.Version != docs[i].Version || h.Why != "" {
				return fmt.Errorf("video %d in Redis: %+v", ids[i], h)
			}
		}
		return nil
	})
}

// plant writes an envelope into Redis as nobody should: what is there, changed.
func (w *world) plant(id schema.ID, change func(*cache.Envelope)) {
	w.t.Helper()
	epoch, err := w.client.HGet(w.t.Context(), "{"+w.namespace+":feed}:state", "epoch").Result()
	if err != nil {
		w.t.Fatal(err)
	}
	key := fmt.Sprintf("%s:%s:{video:%d}", w.namespace, epoch, id)
	text, err := w.client.Get(w.t.Context(), key).Bytes()
	if err != nil {
		w.t.Fatal(err)
	}
	e, err := cache.ParseEnvelope(text)
	if err != nil {
		w.t.Fatal(err)
	}
	change(&e)
	if err := w.client.Set(w.t.Context(), key, e.Append(nil), time.Hour).Err(); err != nil {
		w.t.Fatal(err)
	}
}
