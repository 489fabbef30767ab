package canal

import (
	"io"
	"net"
	"sync"
	"testing"
)

// gate is a way to a server that can be closed to one connection.
type gate struct {
	addr string

	mu         sync.Mutex
	until      int // that connection, of those to come
	came, open chan struct{}
}

func newGate(t *testing.T, server string) *gate {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	g := &gate{addr: l.Addr().String()}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.pass(c, server)
		}
	}()
	return g
}

// hold closes the gate to the nth connection from now, until open is called. came is closed when that one is there.
func (g *gate) hold(n int) (came <-chan struct{}, open func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.until, g.came, g.open = n, make(chan struct{}), make(chan struct{})
	return g.came, sync.OnceFunc(func() { close(g.open) })
}

func (g *gate) pass(c net.Conn, server string) {
	defer c.Close()
	g.mu.Lock()
	g.until--
	held, came, open := g.until == 0, g.came, g.open
	g.mu.Unlock()
	if held {
		close(came)
		<-open
	}
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer s.Close()
	go func() {
		_, _ = io.Copy(s, c)
		s.Close()
	}()
	_, _ = io.Copy(c, s)
}
