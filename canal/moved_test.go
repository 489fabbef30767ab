package canal

import (
	"errors"
	"net"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// leads reports whether the lock is held on the server.
func (d *database) leads(t *testing.T) (held bool) {
	t.Helper()
	if err := d.root.QueryRow("SELECT IS_USED_LOCK(?) IS NOT NULL", LockName(d.server.Database, "")).Scan(&held); err != nil {
		t.Fatal(err)
	}
	return held
}

// by returns the database as one sees it who knows only that address.
func (d *database) by(t *testing.T, addr string) *database {
	t.Helper()
	cfg := mysql.NewConfig()
	cfg.User, cfg.Passwd, cfg.Net, cfg.Addr, cfg.DBName = d.server.User, d.server.Password, "tcp", addr, d.server.Database
	other := *d
	other.DB, other.server.Addr = open(t, cfg.FormatDSN()), addr
	other.store = schema.NewStore(other.DB)
	return &other
}

// The primary's address goes to another server. Nothing is cut: the old one goes on to answer whoever is connected, and
// says truthfully that it has logged nothing new.
func TestSidecarFollowsSwitchOver(t *testing.T) {
	eachFlavor(t, func(t *testing.T, one *database) {
		_, two := ownServer(t, stack.Flavor(one.server.Flavor), one.server.Database)
		v := newVirtual(t, one.server.Addr)
		d := one.by(t, v.Addr().String())
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

// A server takes over before it has all that was told of the one before. MySQL never sends the rest when it comes: that it is
// known is what it was told.
func TestSidecarSwitchOverToOneBehind(t *testing.T) {
	eachServer(t, func(t *testing.T, _ *stack.Server, one *database) {
		if one.server.Flavor == MariaDB {
			return // it refuses to go on from what it does not have
		}
		_, two := ownServer(t, stack.Flavor(one.server.Flavor), one.server.Database)
		v := newVirtual(t, one.server.Addr)
		d := one.by(t, v.Addr().String())
		c := newCaches()
		start := func() (stop func()) {
			_, stop = d.start(t, c)
			caughtUp(t, c)
			return stop
		}
		stop := start()
		const shared = "SET gtid_next = 'de278ad0-2106-11e4-9f8e-6edd0ca20947:1'; INSERT INTO videos (id, title) VALUES (1, 'one'); SET gtid_next = AUTOMATIC"
		one.session(t, shared)
		caughtUp(t, c)
		stop()
		drops := c.drops()

		v.to.Store(&two.server.Addr)
		stop = start()
		if n := c.drops(); n != drops+1 {
			t.Errorf("a server that is behind: everything was dropped %d times", n-drops)
		}
		c.mu.Lock()
		clear(c.told)
		c.mu.Unlock()
		two.session(t, shared)
		caughtUp(t, c)
		if is := two.versions(t)[1]; c.told[1] != is {
			t.Errorf("told of version %d, the table has %d", c.told[1], is)
		}
		stop()

		one.session(t, "RESET BINARY LOGS AND GTIDS; SET GLOBAL gtid_purged = '"+two.now(t).set.String()+"'")
		v.to.Store(&one.server.Addr)
		start()
		if n := c.drops(); n != drops+1 {
			t.Errorf("a server that has it all: everything was dropped %d times", n-drops-1)
		}
		one.tellsOf(t, c, 2)
	})
}

// What is asked beside the lock ends, too, where the server's address leads to something that takes connections and says
// nothing, as a proxy does whose server hangs.
func TestQuestionsEnd(t *testing.T) {
	t.Parallel()
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	db := open(t, "user@tcp("+silent.Addr().String()+")/nothing")
	for name, ask := range map[string]func() error{
		"askAnew": func() error { _, err := askAnew(t.Context(), db, MySQL); return err },
		"settled": func() error { _, _, err := settled(t.Context(), db, 1); return err },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan error, 1)
			go func() { ended <- ask() }()
			select {
			case err := <-ended:
				if err == nil {
					t.Error("nobody has answered")
				}
			case <-time.After(4 * lockIdle * time.Second):
				t.Error("it does not end")
			}
		})
	}
}
