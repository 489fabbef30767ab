package canal

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// virtual is an address that leads new connections to one server or another, and lets old ones be. It can be closed to one.
type virtual struct {
	net.Listener
	to atomic.Pointer[string]

	mu         sync.Mutex
	until      int // that connection, of those to come
	came, open chan struct{}
}

func newVirtual(t *testing.T, to string) *virtual {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &virtual{Listener: ln}
	v.to.Store(&to)
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go v.join(c)
		}
	}()
	return v
}

// hold keeps the nth connection from now waiting until open is called. came is closed when that one is there.
func (v *virtual) hold(n int) (came <-chan struct{}, open func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.until, v.came, v.open = n, make(chan struct{}), make(chan struct{})
	return v.came, sync.OnceFunc(func() { close(v.open) })
}

// join copies between a client and its server until one of them ends.
func (v *virtual) join(client net.Conn) {
	defer client.Close()
	v.mu.Lock()
	v.until--
	held, came, open := v.until == 0, v.came, v.open
	v.mu.Unlock()
	if held {
		close(came)
		<-open
	}
	server, err := net.Dial("tcp", *v.to.Load())
	if err != nil {
		return
	}
	defer server.Close()
	ended := make(chan struct{}, 2)
	for _, pair := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(pair[0], pair[1])
			ended <- struct{}{}
		}()
	}
	<-ended
}
