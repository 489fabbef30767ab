package cache

import (
	"errors"
	"testing"

	"vidmeta/schema"
)

// A read that asks for less than another, or for more, does not have to share what becomes of that one.
func TestReadsThatAskDifferently(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	origin.set(1, 5)
	origin.set(2, 5)
	get(t, openChain(t, origin, sharedRedis(t, r.cfg.Namespace)), 1, 5, schema.ReadOptions{}) // into Redis
	<-origin.began
	c := openChain(t, origin, r)
	release := origin.hold()
	origin.setFail(errBroken)
	failed := make(chan error, 2)
	for id := range schema.ID(2) {
		go func() {
			_, err := c.Get(t.Context(), id+1, schema.ReadOptions{NoCache: id == 0})
			failed <- err
		}()
		<-origin.began
	}
	if a, err := c.Get(t.Context(), 1, schema.ReadOptions{}); err != nil || outcomes(a) != "miss hit not_asked" {
		t.Errorf("beside one with no-cache a read went %q, %v", outcomes(a), err)
	}
	if a, err := c.Get(t.Context(), 2, schema.ReadOptions{OnlyIfCached: true}); !errors.Is(err, schema.ErrNotCached) {
		t.Errorf("beside one that the origin keeps waiting only-if-cached got %+v, %v", a, err)
	}
	release()
	for range 2 {
		if err := <-failed; !errors.Is(err, errBroken) {
			t.Errorf("the others: %v", err)
		}
	}
}

// As TestReadsThatAskDifferently, by public id.
func TestAliasesThatAreAskedForDifferently(t *testing.T) {
	origin := newMemory()
	origin.set(1, 5)
	c := openChain(t, origin, openRedis(t))
	keys := make(map[aliasKey]bool)
	for _, o := range []schema.ReadOptions{{OnlyIfCached: true}, {NoCache: true}, {}} {
		n := c.cfg.Freshness.need(&o)
		call, _ := c.joinAlias(t.Context(), publicID(1), &n, false)
		keys[call.key] = true
		if f, err := call.wait(t.Context()); o.OnlyIfCached && !errors.Is(err, schema.ErrNotCached) || !o.OnlyIfCached && f.id != 1 {
			t.Errorf("%+v: %+v, %v", o, f, err)
		}
	}
	if len(keys) != 3 {
		t.Errorf("they could have met: %+v", keys)
	}
}
