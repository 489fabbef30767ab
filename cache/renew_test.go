package cache

import (
	"fmt"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// While the origin is away hits do not begin one renewal after another.
func TestRenewalsThatFail(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	c := openChain(t, origin, r, func(cfg *Config) {
		cfg.Local.TTL = 24 * time.Hour
		cfg.Freshness = Freshness{MaxAge: time.Second, StaleWhileRevalidate: time.Hour}
	})
	get(t, c, 1, 5, schema.ReadOptions{})
	if err := r.cfg.Client.Del(t.Context(), r.key("", 1)).Err(); err != nil {
		t.Fatal(err)
	}
	origin.setFail(errBroken)
	overdue := func() float64 {
		get(t, c, 1, 5, schema.ReadOptions{Now: time.Now().Add(time.Minute)})
		return testutil.ToFloat64(c.metrics.renewals)
	}
	c.respite = 100 * time.Millisecond
	begun := time.Now()
	for range 10 {
		if n := overdue(); n > 1 && time.Since(begun) < c.respite {
			t.Fatalf("%v renewals within %v", n, time.Since(begun))
		}
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if n := overdue(); n < 2 {
			return fmt.Errorf("%v renewals", n)
		}
		return nil
	})
}
