package cache

import (
	"errors"
	"fmt"
	"testing"

	"vidmeta/schema"
)

// A change that nobody was told of is seen after a purge, also by a load that was under way during it.
func TestPurge(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	for id := range schema.ID(3) {
		origin.set(id+1, 5)
	}
	c, other := openChain(t, origin, r), openChain(t, origin, sharedRedis(t, r.cfg.Namespace))
	for _, id := range []schema.ID{1, 2} {
		get(t, c, id, 5, schema.ReadOptions{})
		get(t, other, id, 5, schema.ReadOptions{})
	}
	for len(origin.began) > 0 {
		<-origin.began // the reads so far
	}
	release := origin.hold()
	slow := make(chan schema.Answer)
	go func() {
		a, err := c.Get(t.Context(), 3, schema.ReadOptions{})
		if err != nil {
			t.Error(err)
		}
		slow <- a
	}()
	<-origin.began // version 5 of 3 has been read
	for id := range schema.ID(3) {
		origin.set(id+1, 6)
	}
	if err := c.Purge(t.Context(), []schema.ID{1, 3}); err != nil {
		t.Fatal(err)
	}
	release()
	if a := <-slow; a.Version != 5 {
		t.Errorf("the load that was under way: version %d", a.Version)
	}
	if got := held(t, r, 3); got != "" {
		t.Errorf("redis was filled with %s by a load from before the purge", got)
	}
	get(t, c, 1, 6, schema.ReadOptions{})
	get(t, c, 3, 6, schema.ReadOptions{})
	get(t, c, 2, 5, schema.ReadOptions{}) // not purged
	if a := get(t, other, 1, 5, schema.ReadOptions{}); outcomes(a) != "hit not_asked not_asked" {
		t.Errorf("another node went %s", outcomes(a))
	}
}

func TestPurgeWithoutRedis(t *testing.T) {
	c := openChain(t, newMemory(), openRedis(t, "127.0.0.1:1"))
	before := c.fence.Stamp(1)
	if err := c.Purge(t.Context(), []schema.ID{1}); err == nil || c.fence.Stamp(1) != before {
		t.Errorf("error %v, stamp %d before, %d after", err, before, c.fence.Stamp(1))
	}
}

// What was purged is not even a last resort: neither what was held, nor what a load from before the purge brings after it.
func TestPurgeLeavesNoLastResort(t *testing.T) {
	for _, held := range []bool{true, false} {
		for _, loading := range []bool{true, false} {
			t.Run(fmt.Sprintf("held %v, being loaded %v", held, loading), func(t *testing.T) {
				origin, r := newMemory(), openRedis(t)
				origin.set(1, 5)
				c := openChain(t, origin, r)
				if held {
					get(t, c, 1, 5, schema.ReadOptions{})
					<-origin.began
				}
				release, done := origin.hold(), make(chan error, 1)
				if loading {
					go func() {
						_, err := c.Get(t.Context(), 1, schema.ReadOptions{NoCache: true})
						done <- err
					}()
					<-origin.began
				} else {
					done <- nil
				}
				if err := c.Purge(t.Context(), []schema.ID{1}); err != nil {
					t.Fatal(err)
				}
				release()
				if err := <-done; err != nil {
					t.Errorf("the load that was under way: %v", err)
				}
				c.docs.wg.Wait() // until the local tier has been given it
				origin.setFail(errBroken)
				if a, err := c.Get(t.Context(), 1, schema.ReadOptions{}); !errors.Is(err, schema.ErrUnavailable) {
					t.Errorf("version %d, %v", a.Version, err)
				}
				if in := c.Inspect(t.Context(), 1); in.Local.State != StateNothing {
					t.Errorf("the local tier is said to hold %+v", in.Local)
				}
				c.docs.wg.Wait() // or the next would join the load that has failed
				origin.setFail(nil)
				get(t, c, 1, 5, schema.ReadOptions{})
				c.docs.wg.Wait()
				c.fence.Invalidate(1) // an ordinary invalidation leaves it as a last resort
				if err := r.cfg.Client.Del(t.Context(), r.key("", 1)).Err(); err != nil {
					t.Fatal(err)
				}
				origin.setFail(errBroken)
				if a := get(t, c, 1, 5, schema.ReadOptions{}); !a.Stale {
					t.Error("the last resort is not said to be stale")
				}
				c.local.check(t)
			})
		}
	}
}
