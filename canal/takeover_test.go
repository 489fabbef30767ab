package canal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// processEnv has the test binary run a sidecar instead of tests, so that one can be killed.
const processEnv = "CANAL_TEST_SIDECAR"

// process is what such a sidecar is made of.
type process struct {
	DSN, Redis, Namespace          string
	Addr, User, Password, Database string
	Flavor                         Flavor
}

// runProcess runs a sidecar until it is killed, if that is what this process is for.
func runProcess() {
	text, ok := os.LookupEnv(processEnv)
	if !ok {
		return
	}
	err := func() error {
		var p process
		if err := json.Unmarshal([]byte(text), &p); err != nil {
			return err
		}
		db, err := mysqldb.Open(p.DSN, mysqldb.Pool{MaxOpen: 4})
		if err != nil {
			return err
		}
		client, err := cache.NewClient(cache.ClientConfig{Addrs: []string{p.Redis}, Timeout: 2 * time.Second})
		if err != nil {
			return err
		}
		tier, err := cache.NewRedis(cache.RedisConfig{Client: client, Namespace: p.Namespace})
		if err != nil {
			return err
		}
		shared := cache.NewShared(tier)
		s, err := New(Config{
			Namespace: p.Namespace, Server: Server{Addr: p.Addr, User: p.User, Password: p.Password, Database: p.Database, Flavor: p.Flavor}, DB: db, Origin: schema.NewStore(db),
			Shared: shared, Feed: cache.NewFeed(shared),
		})
		if err != nil {
			return err
		}
		return s.Run(context.Background())
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// pair is a leader and a standby, each a process of its own.
type pair struct {
	*database
	redis     *redis.Client
	namespace string
	of        process
	leader    *stack.Process
	standby   *stack.Process
}

func newPair(t testing.TB, flavor stack.Flavor) *pair {
	t.Helper()
	dsn := stacktest.Database(t, flavor)
	d := openDatabase(t, stacktest.Server(t, flavor), dsn)
	addr := stacktest.SingleRedis(t)
	p := &pair{database: d, namespace: d.server.Database, redis: redis.NewClient(&redis.Options{Addr: addr})}
	t.Cleanup(func() { p.redis.Close() })
	p.of = process{
		DSN: dsn, Redis: addr, Namespace: p.namespace,
		Addr: d.server.Addr, User: d.server.User, Password: d.server.Password, Database: d.server.Database, Flavor: d.server.Flavor,
	}
	p.leader = p.launch(t)
	stacktest.WaitFor(t, 20*time.Second, func() error { return p.vouches(t, "", time.Now().Add(-time.Second)) })
	p.standby = p.launch(t)
	p.waits(t)
	return p
}

// launch starts a sidecar.
func (p *pair) launch(t testing.TB) *stack.Process {
	t.Helper()
	text, err := json.Marshal(p.of)
	if err != nil {
		t.Fatal(err)
	}
	proc, err := stack.Launch(t.Context(), stack.Command{
		Name: "sidecar", Path: os.Args[0], Env: []string{processEnv + "=" + string(text)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proc.Kill(); err != nil {
			t.Error(err)
		}
	})
	return proc
}

// waits waits until somebody is waiting for the leader's lock.
func (p *pair) waits(t testing.TB) {
	t.Helper()
	stacktest.WaitFor(t, 20*time.Second, func() error {
		var n int
		err := p.root.QueryRow("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE CONCAT('%GET_LOCK(_', ?, '%')",
			LockName(p.server.Database, p.namespace)).Scan(&n)
		if err == nil && n == 0 {
			err = errors.New("nobody waits for the lock")
		}
		return err
	})
}

// last returns the feed's last entry.
func (p *pair) last(t testing.TB) (term string, watermark time.Time) {
	t.Helper()
	entries, err := p.redis.XRevRangeN(t.Context(), "{"+p.namespace+":feed}", "+", "-", 1).Result()
	if err != nil || len(entries) == 0 {
		return "", time.Time{}
	}
	micros, _ := strconv.ParseInt(entries[0].Values["watermark"].(string), 10, 64)
	return entries[0].Values["term"].(string), time.UnixMicro(micros)
}

// vouches returns an error until the feed vouches for a time, in another term than a former one.
func (p *pair) vouches(t testing.TB, former string, at time.Time) error {
	switch term, w := p.last(t); {
	case term == former:
		return errors.New("nobody has taken over")
	case w.Before(at):
		return fmt.Errorf("the watermark is at %v", w)
	}
	return nil
}

// takeOver has f end the leader, and returns how long it takes until somebody else vouches for the present. The standby
// is the leader then.
func (p *pair) takeOver(t testing.TB, f func() error) time.Duration {
	t.Helper()
	term, _ := p.last(t)
	if err := f(); err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	stacktest.WaitFor(t, 20*time.Second, func() error { return p.vouches(t, term, ended) })
	p.leader, p.standby = p.standby, p.leader
	return time.Since(ended)
}

// A standby has taken over within two seconds of the leader's death.
func TestTakeoverAfterKill(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			p := newPair(t, flavor)
			for range 3 {
				d := p.takeOver(t, p.leader.Kill)
				if d > 2*time.Second {
					t.Errorf("the standby took %v", d)
				}
				t.Log("took", d)
				p.standby = p.launch(t)
				p.waits(t)
			}
		})
	}
}

// A leader that stands still loses the lead after the lock's idle time. When it wakes it does no harm: nothing of its
// term follows what its successor has published. Then it waits like any standby.
func TestTakeoverAfterPause(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			t.Parallel()
			p := newPair(t, flavor)
			former, _ := p.last(t)
			d := p.takeOver(t, p.leader.Pause)
			if d > (lockIdle+2)*time.Second {
				t.Errorf("the standby took %v", d)
			}
			t.Log("took", d)
			if err := p.standby.Resume(); err != nil {
				t.Fatal(err)
			}
			p.waits(t)
			entries, err := p.redis.XRange(t.Context(), "{"+p.namespace+":feed}", "-", "+").Result()
			if err != nil {
				t.Fatal(err)
			}
			deposed := false
			for _, e := range entries {
				if deposed = deposed || e.Values["term"] != former; deposed && e.Values["term"] == former {
					t.Fatalf("the deposed leader has published %v", e)
				}
			}
			p.takeOver(t, p.leader.Kill)
		})
	}
}

// BenchmarkTakeover kills one leader after another.
func BenchmarkTakeover(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			p := newPair(b, flavor)
			var took []time.Duration
			for b.Loop() {
				took = append(took, p.takeOver(b, p.leader.Kill))
				p.standby = p.launch(b)
				p.waits(b)
			}
			slices.Sort(took)
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, "p50-ms")
			b.ReportMetric(took[len(took)-1].Seconds()*1e3, "max-ms")
		})
	}
}
