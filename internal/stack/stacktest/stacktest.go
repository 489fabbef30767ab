// Package stacktest gives tests real servers. The servers are started when a test first asks, shared by all tests of the
// test binary, and stopped at its end:
//
//	func TestMain(m *testing.M) { stacktest.Main(m) }
//
//	func TestSomething(t *testing.T) {
//		for _, flavor := range stacktest.Flavors(t) {
//			t.Run(string(flavor), func(t *testing.T) {
//				dsn := stacktest.Database(t, flavor) // empty, and this test's own
//				…
//
// A test that kills or pauses servers starts its own with [Start]. A server that cannot be started fails the test.
package stacktest

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"vidmeta/internal/stack"
)

const startTimeout = 2 * time.Minute

// mysqldEnv names the MySQL server to test with; `make test` sets it.
const mysqldEnv = "VIDMETA_MYSQLD"

// shared holds the stacks of this test binary, by what they are.
var shared pool

type pool struct {
	mu     sync.Mutex
	open   bool
	stacks map[string]*lazy
}

// lazy is a stack that is started once; whoever asks meanwhile waits.
type lazy struct {
	start func() (*stack.Stack, error)
}

// Main runs the tests and then stops the shared servers. Call it from TestMain and nothing after it.
func Main(m *testing.M) {
	shared.mu.Lock()
	shared.open = true
	shared.mu.Unlock()

	m.Run()

	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "stop the shared servers:", err)
		os.Exit(1)
	}
}

// Flavors returns the databases to test with: MariaDB, and MySQL if VIDMETA_MYSQLD names its server.
func Flavors(t testing.TB) []stack.Flavor {
	t.Helper()
	if os.Getenv(mysqldEnv) == "" {
		return []stack.Flavor{stack.MariaDB}
	}
	return []stack.Flavor{stack.MariaDB, stack.MySQL}
}

// Server returns the shared server of a flavor. Other tests use it at the same time.
func Server(t testing.TB, flavor stack.Flavor) *stack.Server {
	t.Helper()
	return shared.get(t, string(flavor), Config(flavor)).MySQL
}

// Config returns what starts a database of the flavor; a test may add to it and pass it to [Start].
func Config(flavor stack.Flavor) stack.Config {
	c := stack.Config{Flavor: flavor}
	if flavor == stack.MySQL {
		c.MySQLD = os.Getenv(mysqldEnv)
	}
	return c
}

// Redis returns the addresses of the shared six-node cluster. Tests share its keys, too: use a prefix (an epoch) of your own.
func Redis(t testing.TB) []string {
	t.Helper()
	return shared.get(t, "cluster", stack.Config{RedisNodes: 6}).Redis.Addrs()
}

// SingleRedis returns the address of a shared server without cluster support. Tests share its keys, too.
func SingleRedis(t testing.TB) string {
	t.Helper()
	return shared.get(t, "redis", stack.Config{RedisNodes: 1}).Redis.Addrs()[0]
}

// Start starts servers for this test alone, and stops them at its end.
func Start(t testing.TB, c stack.Config) *stack.Stack {
	t.Helper()
	s, err := start(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("stop the servers: %v", err)
		}
	})
	return s
}

func start(c stack.Config) (*stack.Stack, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	return stack.Start(ctx, c)
}

// get returns the stack of that name and starts it if it is the first to ask.
func (p *pool) get(t testing.TB, name string, c stack.Config) *stack.Stack {
	t.Helper()
	p.mu.Lock()
	if !p.open {
		p.mu.Unlock()
		t.Fatal("shared servers need func TestMain(m *testing.M) { stacktest.Main(m) }")
	}
	l := p.stacks[name]
	if l == nil {
		l = &lazy{start: sync.OnceValues(func() (*stack.Stack, error) { return start(c) })}
		if p.stacks == nil {
			p.stacks = make(map[string]*lazy)
		}
		p.stacks[name] = l
	}
	p.mu.Unlock()
	s, err := l.start()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// close stops all that was started. The tests are over, so nobody asks any more.
func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open = false
	var first error
	for _, l := range p.stacks {
		s, err := l.start()
		if err != nil {
			continue // a test has failed with it
		}
		if err := s.Close(); err != nil && first == nil {
			first = err
		}
	}
	return first
}
