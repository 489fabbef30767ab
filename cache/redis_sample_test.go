package cache

import (
	"slices"
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

func TestSampleRedis(t *testing.T) {
	for name, addrs := range map[string][]string{"cluster": stacktest.Redis(t), "single": {stacktest.SingleRedis(t)}} {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t, addrs...)
			if ids, err := r.Sample(t.Context(), 10); err != nil || len(ids) != 0 {
				t.Errorf("of nothing: %v, %v", ids, err)
			}
			m := newMemory()
			c := openChain(t, m, r)
			var all []schema.ID
			for id := schema.ID(1); id <= 60; id++ {
				m.set(id, 5)
				get(t, c, id, 5, schema.ReadOptions{})
				if _, err := c.GetByPublicID(t.Context(), publicID(id), schema.ReadOptions{}); err != nil {
					t.Fatal(err)
				}
				all = append(all, id)
			}
			if err := r.cfg.Client.Set(t.Context(), r.key(r.standing.Load().epoch, 61)+":lease", "somebody's", time.Minute).Err(); err != nil {
				t.Fatal(err)
			}
			// Other tests keep keys on the same servers, and aliases and leases are none of ours either.
			found := make(map[schema.ID]bool)
			for range 2000 {
				ids, err := r.Sample(t.Context(), 100)
				if err != nil || len(ids) > 100 {
					t.Fatalf("%v, %v", ids, err)
				}
				for _, id := range ids {
					if !slices.Contains(all, id) {
						t.Fatalf("there is no video %d", id)
					}
					found[id] = true
				}
				if len(found) == len(all) {
					break
				}
			}
			if len(found) != len(all) {
				t.Errorf("%d of %d documents are found", len(found), len(all))
			}
		})
	}
}
