package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	driver "github.com/go-sql-driver/mysql"
	"github.com/rs/zerolog"

	"vidmeta/internal/stack"
)

// detourEnv lists the ways that a detoured program takes to Redis, as "address/connections=proxy", where connections is how
// many the client keeps: that tells the client of the feed, which keeps two, from that of documents.
const detourEnv = "VIDMETA_TEST_DETOUR"

const (
	documentConns = "16" // cache.ClientConfig's default
	feedConns     = "2"  // what serve gives its subscriber
)

// detoured builds vidmeta so that its connections to Redis take detours. The nodes of a cluster tell each client the same
// addresses of theirs, so no setting leads one client through proxies.
var detoured = sync.OnceValues(func() (string, error) {
	plain, err := program()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(plain)
	home, err := filepath.Abs("../../cache")
	if err != nil {
		return "", err
	}
	source, err := os.ReadFile(filepath.Join(home, "client.go"))
	if err != nil {
		return "", err
	}
	const options = "opts := &redis.ClusterOptions{\n"
	if bytes.Count(source, []byte(options)) != 1 {
		return "", errors.New("cache.NewClient is not written as it was: look where it makes its options now")
	}
	source = bytes.Replace(source, []byte(options), []byte(options+"Dialer: detour(cfg.PoolSize),\n"), 1)
	const dialer = `package cache

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

func detour(conns int) func(ctx context.Context, network, addr string) (net.Conn, error) {
	ways := strings.Fields(os.Getenv("` + detourEnv + `"))
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		for _, way := range ways {
			if proxy, ok := strings.CutPrefix(way, fmt.Sprintf("%s/%d=", addr, conns)); ok {
				return (&net.Dialer{Timeout: 300 * time.Millisecond}).DialContext(ctx, network, proxy)
			}
		}
		return nil, fmt.Errorf("no way leads to %s for a client of %d connections", addr, conns)
	}
}
`
	client, added := filepath.Join(dir, "client.go"), filepath.Join(dir, "detour.go")
	overlay := filepath.Join(dir, "detour.json")
	files, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(home, "client.go"): client, filepath.Join(home, "detour.go"): added,
	}})
	if err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{client: source, added: []byte(dialer), overlay: files} {
		if err := os.WriteFile(name, text, 0o644); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "detoured")
	out, err := exec.Command("go", "build", "-overlay", overlay, "-o", path, "vidmeta/cmd/vidmeta").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// network is what lies between one node and its servers: a proxy on each way that it takes.
type network struct {
	node                   int
	documents, feed, mysql []*toxiproxy.Proxy
}

// detour has a node take all its ways through proxies until the test ends. Nobody may be reading from it yet.
func (f *fleet) detour(t *testing.T, node int) *network {
	t.Helper()
	path, err := detoured()
	if err != nil {
		t.Fatal(err)
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	through := func(addr string) *toxiproxy.Proxy {
		p := toxiproxy.NewProxy(server, addr, "127.0.0.1:0", addr)
		if err := p.Start(); err != nil {
			t.Fatalf("a proxy of %s: %v", addr, err)
		}
		t.Cleanup(p.Stop)
		return p
	}
	n := &network{node: node}
	var ways []string
	for _, addr := range f.Redis.Addrs() {
		documents, feed := through(addr), through(addr)
		n.documents, n.feed = append(n.documents, documents), append(n.feed, feed)
		ways = append(ways, addr+"/"+documentConns+"="+documents.Listen, addr+"/"+feedConns+"="+feed.Listen)
	}
	dsn, err := driver.ParseDSN(f.MySQL.DSN("vidmeta"))
	if err != nil {
		t.Fatal(err)
	}
	n.mysql = append(n.mysql, through(dsn.Addr))
	dsn.Addr = n.mysql[0].Listen

	if err := f.nodes[node].Kill(); err != nil {
		t.Fatal(err)
	}
	c := f.commands[f.nodes[node]]
	c.Path = path
	c.Env = append(c.Env[:len(c.Env):len(c.Env)], detourEnv+"="+strings.Join(ways, " "), "VIDMETA_MYSQL="+dsn.FormatDSN())
	p, err := stack.Launch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := p.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	f.nodes[node], f.commands[p] = p, c
	return n
}

// toxic is what a network does to connections, in each direction.
func toxic(kind string, t toxics.Toxic) (both [2]toxics.ToxicWrapper) {
	for i, direction := range []string{"upstream", "downstream"} {
		both[i] = toxics.ToxicWrapper{Toxic: t, Name: kind + " " + direction, Type: kind, Stream: direction, Toxicity: 1}
	}
	return both
}

// poison has a toxic befall all connections of proxies, those that are open and those to come, until cure is called.
func (tr *trial) poison(proxies []*toxiproxy.Proxy, toxics ...toxics.ToxicWrapper) (cure func()) {
	tr.Helper()
	tr.onProxies(proxies, func(p *toxiproxy.Proxy) error {
		for _, t := range toxics {
			text, err := json.Marshal(t)
			if err != nil {
				return err
			}
			if _, err := p.Toxics.AddToxicJson(bytes.NewReader(text)); err != nil {
				return fmt.Errorf("%s: %w", t.Name, err)
			}
		}
		return nil
	})
	return func() {
		tr.Helper()
		tr.onProxies(proxies, func(p *toxiproxy.Proxy) error {
			for _, t := range toxics {
				if err := p.Toxics.RemoveToxic(context.Background(), t.Name); err != nil {
					return fmt.Errorf("%s: %w", t.Name, err)
				}
			}
			return nil
		})
	}
}

// onProxies does something to proxies side by side. The library waits without a bound for each connection to notice.
func (tr *trial) onProxies(proxies []*toxiproxy.Proxy, do func(*toxiproxy.Proxy) error) {
	tr.Helper()
	errs := make(chan error, len(proxies))
	for _, p := range proxies {
		go func() { errs <- do(p) }()
	}
	late := time.After(10 * time.Second)
	for range proxies {
		select {
		case err := <-errs:
			tr.must(err)
		case <-late:
			tr.Fatal("a proxy does not take or give up a toxic: a connection of it hangs")
		}
	}
}
