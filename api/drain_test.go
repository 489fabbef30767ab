package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// runner is what has a Run.
type runner interface {
	Run(ctx context.Context, ln net.Listener) error
}

// start runs s on a port of its own. stop ends its context; wait returns what Run returned.
func start(t *testing.T, s runner) (url string, stop context.CancelFunc, wait func() error) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, ln) }()
	wait = func() error {
		select {
		case err := <-ended:
			ended <- err
			return err
		case <-time.After(30 * time.Second):
			return errors.New("Run does not return")
		}
	}
	t.Cleanup(func() {
		cancel()
		if err := wait(); err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return "http://" + ln.Addr().String(), cancel, wait
}

func newTestServer(t *testing.T, s runner) string {
	t.Helper()
	url, _, _ := start(t, s)
	return url
}

// A request under way when the context ends is answered, and nobody new is let in.
func TestDrain(t *testing.T) {
	w := newWorld(t)
	if w.Ready(t.Context()) == nil {
		t.Error("ready before Run")
	}
	g := w.fake.block(42)
	url, stop, wait := start(t, w)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()

	// An idle connection must not hold the drain up.
	idle, err := client.Get(url + "/v1/videos/7")
	if err != nil {
		t.Fatal(err)
	}
	io.Copy(io.Discard, idle.Body)
	idle.Body.Close()
	if err := w.Ready(t.Context()); err != nil {
		t.Errorf("not ready while serving: %v", err)
	}

	type result struct {
		res *http.Response
		err error
	}
	held := make(chan result, 1)
	go func() {
		res, err := client.Get(url + "/v1/videos/42")
		held <- result{res, err}
	}()
	<-g.entered
	stop()
	waitFor(t, func() error {
		if w.Ready(t.Context()) == nil {
			return errors.New("still ready")
		}
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err == nil {
			conn.Close()
			return errors.New("still let in")
		}
		return nil
	})
	select {
	case r := <-held:
		t.Fatalf("answered before the gate was opened: %+v", r)
	default:
	}
	close(g.open)
	r := <-held
	if r.err != nil {
		t.Fatal(r.err)
	}
	defer r.res.Body.Close()
	if body := bodyOf(t, r.res); r.res.StatusCode != 200 || body != testBody || !r.res.Close {
		t.Errorf("%d, Close %v, %s", r.res.StatusCode, r.res.Close, body)
	}
	if err := wait(); err != nil {
		t.Errorf("Run: %v", err)
	}
}

// waitFor polls for what another goroutine is about to do.
func waitFor(t *testing.T, ok func() error) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ok()
		if err == nil {
			return
		}
		select {
		case <-deadline:
			t.Fatalf("in vain: %v", err)
		case <-tick.C:
		}
	}
}

// While Run waits for the load balancers, it serves, says that it is not ready, and asks clients to go elsewhere.
func TestDrainDelay(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DrainDelay = time.Hour })
	ctx, cancel := context.WithCancel(context.Background())
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, ln) }()
	cancel()
	waitFor(t, func() error {
		if !w.draining.Load() {
			return errors.New("not draining")
		}
		return nil
	})
	client := &http.Client{Transport: &http.Transport{DialContext: ln.dial}}
	res, err := client.Get("http://x/v1/videos/42")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 || !res.Close {
		t.Errorf("%d, Close %v", res.StatusCode, res.Close)
	}
	ln.Close() // the listener failing ends the wait
	if err := <-ended; err == nil {
		t.Error("a failed listener is no clean end")
	}
}

// A request that does not end is cut off, and Run says so.
func TestDrainTimeout(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.DrainTimeout, c.Timeout = time.Millisecond, time.Hour })
	g := w.fake.block(42)
	ln := &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, ln) }()
	client := &http.Client{Transport: &http.Transport{DialContext: ln.dial}}
	failed := make(chan error, 1)
	go func() {
		res, err := client.Get("http://x/v1/videos/42")
		if err == nil {
			res.Body.Close()
		}
		failed <- err
	}()
	<-g.entered
	cancel()
	if err := <-ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
	if err := <-failed; err == nil {
		t.Error("answered after all")
	}
}

func TestRunOnAContextThatHasEnded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := newWorld(t).Run(ctx, ln); err != nil {
		t.Error(err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener was left open")
	}
}

// pipeListener is a listener without a network.
type pipeListener struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error { l.once.Do(func() { close(l.closed) }); return nil }

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.conns <- server:
		return client, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
