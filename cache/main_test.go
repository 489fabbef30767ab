package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestMain(m *testing.M) {
	redis.SetLogger(silence{}) // some tests are about servers that are not there
	stacktest.Main(m)
}

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// memory is an origin in memory whose loads can be counted, held and made to fail.
type memory struct {
	mu      sync.Mutex
	docs    map[schema.ID]schema.Document
	loads   map[schema.ID]int
	batches int
	fail    error
	gate    chan struct{} // a load reads its rows, then waits for it
	began   chan struct{} // told of each load that has read its rows
}

func newMemory() *memory {
	return &memory{docs: make(map[schema.ID]schema.Document), loads: make(map[schema.ID]int), began: make(chan struct{}, 10000)}
}

func body(id schema.ID, v schema.Version) []byte {
	return fmt.Appendf(nil, `{"id":%d,"public_id":"%s","version":%d}`, id, publicID(id), v)
}

func publicID(id schema.ID) string { return fmt.Sprintf("%011d", id) }

func (m *memory) set(id schema.ID, v schema.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.docs[id] = schema.Document{ID: id, Version: v, Body: body(id, v)}
}

func (m *memory) delete(id schema.ID, v schema.Version) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.docs[id] = schema.Document{ID: id, Version: v}
}

func (m *memory) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

// hold makes loads wait after they have read, until the function it returns is called.
func (m *memory) hold() (release func()) {
	gate := make(chan struct{})
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gate = gate
	return sync.OnceFunc(func() {
		m.mu.Lock()
		m.gate = nil
		m.mu.Unlock()
		close(gate)
	})
}

func (m *memory) loadsOf(id schema.ID) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.loads[id]
}

func (m *memory) Load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	m.mu.Lock()
	m.batches++
	docs := make([]schema.Document, len(ids))
	for i, id := range ids {
		m.loads[id]++
		docs[i] = m.docs[id]
		docs[i].ID = id
	}
	gate, err := m.gate, m.fail
	m.mu.Unlock()
	m.began <- struct{}{}
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return docs, err
}

func (m *memory) Resolve(_ context.Context, publicIDs []string) ([]schema.ID, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.batches++
	ids := make([]schema.ID, len(publicIDs))
	for i, p := range publicIDs {
		for id, d := range m.docs {
			if schema.HasPublicID(d.Body, p) {
				ids[i] = id
			}
		}
	}
	return ids, m.fail
}

func openClient(t testing.TB, addrs ...string) *redis.ClusterClient {
	t.Helper()
	if len(addrs) == 0 {
		addrs = stacktest.Redis(t)
	}
	c, err := NewClient(ClientConfig{Addrs: addrs, Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// openRedis returns a tier with a namespace of its own on the shared cluster, or on another server.
func openRedis(t testing.TB, addrs ...string) *Redis {
	t.Helper()
	return sharedRedis(t, "vm-"+strings.ToLower(rand.Text()), addrs...)
}

// sharedRedis returns the tier of one more node in a namespace.
func sharedRedis(t testing.TB, namespace string, addrs ...string) *Redis {
	t.Helper()
	r, err := NewRedis(RedisConfig{Client: openClient(t, addrs...), Namespace: namespace, Timeout: 5 * time.Second, LeaseTTL: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(addrs) == 0 || addrs[0] != nowhere { // as if the feed had told of a roster
		r.standing.Store(&standing{roster: mustered(t, r).roster()})
	}
	return r
}

// nowhere is an address where nobody listens.
const nowhere = "127.0.0.1:1"

// mustered returns a hand on a tier of which all masters are trusted.
func mustered(t testing.TB, r *Redis) *Shared {
	t.Helper()
	s := NewShared(r)
	muster(t, s)
	s.SetEpoch(r.standing.Load().epoch)
	return s
}

func (s *standing) String() string { return fmt.Sprint(s.epoch, s.watermark, s.roster.text) }

// muster makes a hand on the tier trust all masters, in the epoch that it is in.
func muster(t testing.TB, s *Shared) {
	t.Helper()
	s.blank = true
	if stranger, err := s.Muster(t.Context(), nil); err != nil || stranger != "" {
		t.Fatalf("muster: %q, %v", stranger, err)
	}
}

func openChain(t testing.TB, store Store, r *Redis, change ...func(*Config)) *Chain {
	t.Helper()
	cfg := Config{
		Local: LocalConfig{MaxBytes: 16 << 20}, Redis: r, Origin: OriginConfig{Store: store, Timeout: 10 * time.Second},
		LoadTimeout: 20 * time.Second, LeaseWait: 10 * time.Second,
		Freshness: Freshness{MaxAge: time.Minute}, // no sidecar runs here to move the watermark
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := NewChain(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// get reads id and fails the test unless it is answered with version v.
func get(t testing.TB, c *Chain, id schema.ID, v schema.Version, o schema.ReadOptions) schema.Answer {
	t.Helper()
	a, err := c.Get(t.Context(), id, o)
	if err != nil {
		t.Fatalf("get %d: %v", id, err)
	}
	if a.Version != v {
		t.Fatalf("get %d: version %d, want %d (%+v)", id, a.Version, v, a.Trace)
	}
	c.docs.wg.Wait() // until it is stored as well
	return a
}

var errBroken = errors.New("broken on purpose")
