package canal

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// virtual is an address that leads new connections to one server or another, and lets old ones be.
type virtual struct {
	net.Listener
	to atomic.Pointer[string]
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

// join copies between a client and its server until one of them ends.
func (v *virtual) join(client net.Conn) {
	defer client.Close()
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

// leads reports whether the lock is held on the server.
func (d *database) leads(t *testing.T) (held bool) {
	t.Helper()
	if err := d.root.QueryRow("SELECT IS_USED_LOCK(?) IS NOT NULL", LockName(d.server.Database, "")).Scan(&held); err != nil {
		t.Fatal(err)
	}
	return held
}

// The primary's address goes to another server. Nothing is cut: the old one goes on to answer whoever is connected, and
// says truthfully that it has logged nothing new.
func TestSidecarFollowsSwitchOver(t *testing.T) {
	eachFlavor(t, func(t *testing.T, one *database) {
		_, two := ownServer(t, stack.Flavor(one.server.Flavor), one.server.Database)
		v := newVirtual(t, one.server.Addr)
		cfg := mysql.NewConfig()
		cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = one.server.User, one.server.Password, "tcp", v.Addr().String(), one.server.Database
		d := *one
		d.DB, d.server.Addr = open(t, cfg.FormatDSN()), cfg.Addr
		d.store = schema.NewStore(d.DB)
		c := newCaches()
		s, _ := d.start(t, c)
		caughtUp(t, c)
		one.tellsOf(t, c, 1)

		moved := func() float64 { return testutil.ToFloat64(s.metrics.sessionErrors.WithLabelValues("server_moved")) }
		switchTo := func(d *database, demoted bool) {
			before := moved()
			v.to.Store(&d.server.Addr)
			switched := time.Now()
			d.exec(t, "INSERT INTO videos (id, title) VALUES (2, 'where nobody looks yet')")
			stacktest.WaitFor(t, 30*time.Second, func() error {
				c.mu.Lock()
				vouched := c.watermark
				c.mu.Unlock()
				if moved() > before {
					return nil
				}
				if demoted && vouched.After(switched) {
					t.Fatalf("a server that had been demoted vouched for what was written %v later elsewhere", vouched.Sub(switched))
				}
				return errors.New("the sidecar has not noticed")
			})
			t.Logf("noticed after %v", time.Since(switched))
			caughtUp(t, c)
			d.tellsOf(t, c, 3)
			for _, where := range []*database{one, two} {
				if leads := where.leads(t); leads != (where.server.Addr == d.server.Addr) {
					t.Errorf("the lock is held at %s: %v, and %s is followed", where.server.Addr, leads, d.server.Addr)
				}
			}
		}
		switchTo(two, false)
		two.session(t, "SET GLOBAL read_only = ON")
		caughtUp(t, c) // a server that is read-only may still be the one that is meant
		switchTo(one, true)
	})
}
