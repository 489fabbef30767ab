package e2e

import (
	"bufio"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"

	"vidmeta/cache"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	nodeCount = 3
	seeds     = 1000 // videos 1..seeds are there from the start, unless a fleet's shape says otherwise
)

// program builds vidmeta once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vidmeta-e2e-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "vidmeta")
	out, err := exec.Command("go", "build", "-o", path, "vidmeta/cmd/vidmeta").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func TestMain(m *testing.M) {
	logging.Disable() // it prints each connection that Redis refuses while it is down
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// shape is what a fleet is made of, besides its nodes.
type shape struct {
	flavor   stack.Flavor
	sidecars int
	videos   int // 0 means seeds
	// faults makes Redis fail over fast, and gives each node of ours a user of its own in Redis, to be cut off by.
	faults bool
}

// fleet is the whole service: servers, nodes and sidecars, each a process of its own.
type fleet struct {
	*stack.Stack
	videos        int
	nodes         []*stack.Process
	sidecars      []*stack.Process
	admins        []string // of the nodes
	sidecarAdmins []string
	db, root      *sql.DB
	store         *schema.Store
	redis         *redis.ClusterClient
	commands      map[*stack.Process]stack.Command // of nodes and sidecars
}

// start runs a fleet until the test ends. The limit on the local tier is low, so that entries are evicted all the time.
func start(t testing.TB, s shape) *fleet {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	config := stacktest.Config(s.flavor)
	config.RedisNodes = 6
	if s.faults {
		config.RedisArgs = faultyRedis()
	}
	f := &fleet{Stack: stacktest.Start(t, config), videos: cmp.Or(s.videos, seeds), commands: map[*stack.Process]stack.Command{}}
	f.root = open(t, f.MySQL.RootDSN(""))
	if _, err := f.root.Exec("CREATE DATABASE vidmeta"); err != nil {
		t.Fatal(err)
	}
	f.db = open(t, f.MySQL.DSN("vidmeta"))
	f.store = schema.NewStore(f.db)
	if f.redis, err = cache.NewClient(cache.ClientConfig{Addrs: f.Redis.Addrs(), Timeout: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.redis.Close() })
	f.run(t, path, "migrate")
	f.run(t, path, "seed", "--videos", fmt.Sprint(f.videos))
	for n := range s.sidecars {
		p, admin := f.launch(t, path, fmt.Sprintf("sidecar-%d", n+1), nil, "sidecar")
		f.sidecars, f.sidecarAdmins = append(f.sidecars, p), append(f.sidecarAdmins, admin)
	}
	for n := range nodeCount {
		name := fmt.Sprintf("node-%d", n+1)
		var env []string
		if s.faults {
			env = []string{"VIDMETA_REDIS_USERNAME=" + name, "VIDMETA_REDIS_PASSWORD=" + redisSecret}
		}
		p, admin := f.launch(t, path, name, env, "serve", "--local-bytes", "1MiB")
		f.nodes, f.admins = append(f.nodes, p), append(f.admins, admin)
	}
	return f
}

func open(t testing.TB, dsn string) *sql.DB {
	t.Helper()
	db, err := mysqldb.Open(dsn, mysqldb.Pool{MaxOpen: 32})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

// settings are those of every program of the fleet.
func (f *fleet) settings() []string {
	return []string{"VIDMETA_MYSQL=" + f.MySQL.DSN("vidmeta"), "VIDMETA_REDIS=" + strings.Join(f.Redis.Addrs(), ",")}
}

// run runs a command to its end.
func (f *fleet) run(t testing.TB, path string, args ...string) {
	t.Helper()
	c := exec.Command(path, args...)
	c.Env = append(os.Environ(), f.settings()...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("vidmeta %s: %v\n%s", args[0], err, out)
	}
}

// launch runs a command until the test ends, with more in its environment, and waits until it is ready.
func (f *fleet) launch(t testing.TB, path, name string, more []string, args ...string) (p *stack.Process, admin string) {
	t.Helper()
	var addrs [2]string
	for i := range addrs {
		var err error
		if addrs[i], err = f.FreeAddr(); err != nil {
			t.Fatal(err)
		}
	}
	env := append(f.settings(), "VIDMETA_LISTEN="+addrs[0], "VIDMETA_ADMIN_LISTEN="+addrs[1], "VIDMETA_LOG_LEVEL=warn")
	env = append(env, more...)
	command := stack.Command{
		Name: name, Path: path, Args: args, Env: env, Addr: addrs[0], Log: f.LogFile(name),
		Ready: func(context.Context) error {
			res, err := client.Get("http://" + addrs[1] + "/readyz")
			if err != nil {
				return err
			}
			defer res.Body.Close()
			if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK {
				return fmt.Errorf("%s: %s", res.Status, body)
			}
			return nil
		},
	}
	p, err := stack.Launch(t.Context(), command)
	if err != nil {
		t.Fatal(err)
	}
	f.commands[p] = command
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
		if text, err := os.ReadFile(f.LogFile(name)); t.Failed() && err == nil {
			errors := 0
			for line := range strings.Lines(string(text)) {
				if strings.Contains(line, "level=ERROR") && errors < 3 {
					t.Logf("%s: %s", name, line)
					errors++
				}
			}
			t.Logf("%s ends with:\n%s", name, text[max(0, len(text)-2000):])
		}
	})
	return p, addrs[1]
}

// answer is what a node said.
type answer struct {
	status  int
	version schema.Version
	asOf    time.Time
	path    string // Cache-Status
	body    string
}

var client = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 2000}}

func (f *fleet) get(node int, id schema.ID) (answer, error) {
	res, err := client.Get(fmt.Sprintf("http://%s/v1/videos/%d", f.nodes[node].Addr(), id))
	if err != nil {
		return answer{}, err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		return answer{}, err
	}
	a := answer{status: res.StatusCode, body: string(body), path: res.Header.Get("Cache-Status")}
	if a.status != http.StatusOK && a.status != http.StatusNotFound {
		return a, fmt.Errorf("node %d, video %d: %s: %s", node+1, id, res.Status, body)
	}
	v, err := strconv.ParseUint(res.Header.Get("Vidmeta-Version"), 10, 64)
	if err != nil {
		return a, fmt.Errorf("node %d, video %d: Vidmeta-Version: %w", node+1, id, err)
	}
	a.version = schema.Version(v)
	if a.asOf, err = time.Parse(time.RFC3339, res.Header.Get("Vidmeta-As-Of")); err != nil {
		return a, fmt.Errorf("node %d, video %d: Vidmeta-As-Of: %w", node+1, id, err)
	}
	return a, nil
}

// differs compares an answer with a document of MySQL.
func (a answer) differs(d schema.Document) error {
	switch {
	case a.version != d.Version:
		return fmt.Errorf("video %d: version %d is served, MySQL has %d (%s)", d.ID, a.version, d.Version, a.path)
	case !d.Exists() && a.status != http.StatusNotFound:
		return fmt.Errorf("video %d: status %d, MySQL has none (%s)", d.ID, a.status, a.path)
	case d.Exists() && a.body != string(d.Body):
		return fmt.Errorf("video %d: served %s, MySQL has %s (%s)", d.ID, a.body, d.Body, a.path)
	}
	return nil
}

// truth loads documents from MySQL.
func (f *fleet) truth(t *testing.T, ids ...schema.ID) (docs []schema.Document) {
	t.Helper()
	for len(ids) > 0 {
		n := min(len(ids), schema.MaxLoad)
		some, err := f.store.Load(t.Context(), ids[:n])
		if err != nil {
			t.Fatal(err)
		}
		docs, ids = append(docs, some...), ids[n:]
	}
	return docs
}

// all are the ids of the videos that are there from the start.
func (f *fleet) all() []schema.ID { return span(1, schema.ID(f.videos)) }

func span(from, to schema.ID) (ids []schema.ID) {
	for id := from; id <= to; id++ {
		ids = append(ids, id)
	}
	return ids
}

// flowed waits until every node answers as of now or later: until every change before now has gone through.
func (f *fleet) flowed(t *testing.T) {
	t.Helper()
	now := time.Now()
	for n := range f.nodes {
		stacktest.WaitFor(t, 30*time.Second, func() error {
			w, err := f.metric(f.admins[n], "vidmeta_watermark_timestamp_seconds")
			if err == nil && w < float64(now.UnixMicro())/1e6 {
				err = fmt.Errorf("node %d has been told until %f, want %f", n+1, w, float64(now.UnixMicro())/1e6)
			}
			return err
		})
	}
}

// metric sums all series of one name.
func (f *fleet) metric(admin, name string) (sum float64, err error) {
	res, err := client.Get("http://" + admin + "/metrics")
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	found := false
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		rest, ok := strings.CutPrefix(lines.Text(), name)
		if !ok || (rest[0] != ' ' && rest[0] != '{') {
			continue
		}
		v, err := strconv.ParseFloat(rest[strings.LastIndexByte(rest, ' ')+1:], 64)
		if err != nil {
			return 0, err
		}
		sum, found = sum+v, true
	}
	if !found {
		return 0, fmt.Errorf("no metric %s", name)
	}
	return sum, lines.Err()
}

// total sums a metric over all nodes.
func (f *fleet) total(t *testing.T, name string) (sum float64) {
	t.Helper()
	for _, admin := range f.admins {
		v, err := f.metric(admin, name)
		if err != nil {
			t.Fatal(err)
		}
		sum += v
	}
	return sum
}

// inRedis returns what Redis holds of a document; ok is false if that is nothing.
func (f *fleet) inRedis(t *testing.T, epoch string, id schema.ID) (e cache.Envelope, ok bool) {
	t.Helper()
	text, err := f.redis.Get(t.Context(), fmt.Sprintf("vm:%s:{video:%d}", epoch, id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return e, false
	}
	if err == nil {
		e, err = cache.ParseEnvelope(text)
	}
	if err != nil {
		t.Fatal(err)
	}
	return e, true
}

// agree fails the test unless every tier of every node equals MySQL for every id. Local tiers are asked twice, so that
// the second answer is a local one.
func (f *fleet) agree(t *testing.T, ids []schema.ID) {
	t.Helper()
	f.flowed(t)
	epoch, err := f.redis.HGet(t.Context(), "{vm:feed}:state", "epoch").Result()
	if err != nil {
		t.Fatal(err)
	}
	wrong := 0
	for i, d := range f.truth(t, ids...) {
		if d.ID != ids[i] {
			t.Fatalf("the store answered %d for %d", d.ID, ids[i])
		}
		if e, ok := f.inRedis(t, epoch, d.ID); ok && (e.Version != d.Version || string(e.Body) != string(d.Body)) {
			t.Errorf("video %d: Redis holds version %d, MySQL has %d", d.ID, e.Version, d.Version)
			wrong++
		}
		for n := range f.nodes {
			for range 2 {
				a, err := f.get(n, d.ID)
				if err == nil {
					err = a.differs(d)
				}
				if err != nil {
					t.Errorf("node %d: %v", n+1, err)
					wrong++
				}
			}
		}
		if wrong > 20 {
			t.Fatal("and so on")
		}
	}
}

func decode(t *testing.T, body string) (v map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	return v
}
