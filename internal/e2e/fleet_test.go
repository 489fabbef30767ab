package e2e

import (
	"bufio"
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

	"vidmeta/cache"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	nodes = 3
	seeds = 1000 // videos 1..seeds are there from the start
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
	code := m.Run()
	if path, err := program(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// fleet is a running `vidmeta dev`.
type fleet struct {
	env    map[string]string
	pids   map[string]int
	nodes  []string // where they serve
	admins []string
	db     *sql.DB
	store  *schema.Store
	redis  *redis.ClusterClient
}

// start runs a fleet on a kind of server until the test ends. The limit on the local tier is low, so that entries are
// evicted all the time.
func start(t *testing.T, flavor stack.Flavor) *fleet {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	envFile := filepath.Join(dir, "env")
	f := &fleet{}
	p, err := stack.Launch(t.Context(), stack.Command{
		Name: "dev", Path: path, Log: filepath.Join(dir, "dev.log"),
		Args: []string{"dev", "--flavor", string(flavor), "--nodes", strconv.Itoa(nodes), "--videos", strconv.Itoa(seeds),
			"--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--dir", filepath.Join(dir, "dev"), "--env-file", envFile},
		Env:   []string{"VIDMETA_LOCAL_BYTES=1MiB", "VIDMETA_LOG_LEVEL=warn"},
		Ready: func(context.Context) error { return f.read(envFile) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "dev", "*.log"))
			for _, path := range append(logs, filepath.Join(dir, "dev.log")) {
				text, _ := os.ReadFile(path)
				t.Logf("%s:\n%s", filepath.Base(path), text[max(0, len(text)-3000):])
			}
		}
	})
	if f.db, err = mysqldb.Open(f.env["VIDMETA_MYSQL"], mysqldb.Pool{MaxOpen: 32}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.db.Close() })
	f.store = schema.NewStore(f.db)
	if f.redis, err = cache.NewClient(cache.ClientConfig{Addrs: strings.Split(f.env["VIDMETA_REDIS"], ","), Timeout: 5 * time.Second}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.redis.Close() })
	return f
}

func (f *fleet) read(envFile string) error {
	file, err := os.Open(envFile)
	if err != nil {
		return err
	}
	defer file.Close()
	f.env, f.pids = map[string]string{}, map[string]int{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		f.env[name] = strings.Trim(value, "'")
	}
	for pair := range strings.SplitSeq(f.env["VIDMETA_PIDS"], ",") {
		name, pid, _ := strings.Cut(pair, ":")
		if f.pids[name], err = strconv.Atoi(pid); err != nil {
			return fmt.Errorf("VIDMETA_PIDS: %w", err)
		}
	}
	f.nodes = strings.Split(f.env["VIDMETA_NODES"], ",")
	f.admins = strings.Split(f.env["VIDMETA_NODE_ADMINS"], ",")
	return nil
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
	res, err := client.Get(fmt.Sprintf("http://%s/v1/videos/%d", f.nodes[node], id))
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

// inRedis returns what Redis holds of a document; ok is false if that is nothing or a floor.
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
	return e, e.Kind != cache.Floor
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
