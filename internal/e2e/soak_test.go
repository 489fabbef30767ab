package e2e

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// soakEnv says for how long faults are to come in random order; `make soak` sets it. seedEnv repeats an order.
const (
	soakEnv = "VIDMETA_SOAK"
	seedEnv = "VIDMETA_SOAK_SEED"
)

// Everything befalls the service that its promises are about, on one fleet for each kind of server: a selection once, in
// the order of the table, or all of it over and over again, if a time to soak is set.
func TestFaults(t *testing.T) {
	soak, seed := time.Duration(0), rand.Uint64()
	if text := os.Getenv(soakEnv); text != "" {
		var err error
		if soak, err = time.ParseDuration(text); err != nil {
			t.Fatalf("%s: %v", soakEnv, err)
		}
	}
	if text := os.Getenv(seedEnv); text != "" {
		if _, err := fmt.Sscan(text, &seed); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	if soak > 0 {
		if _, err := clocked(); err != nil { // now, as it takes its time and the processors
			t.Fatal(err)
		}
	}
	flavors := stacktest.Flavors(t)
	for _, flavor := range flavors {
		t.Run(string(flavor), func(t *testing.T) {
			f := start(t, shape{flavor: flavor, sidecars: 2, videos: written + 100, faults: true})
			all := slices.Concat(faults, f.detour(t, 2).faults())
			tr := begin(t, f)
			t.Run("a stampede", tr.stampede)
			if soak > 0 {
				tr.soak(t, all, soak/time.Duration(len(flavors)), seed)
				return
			}
			for _, f := range all {
				if f.often == twice || f.often == once && flavor == stack.MariaDB {
					t.Run(f.name, func(t *testing.T) { tr.suffer(t, f) })
				}
			}
		})
	}
}

// soak goes through all faults in one random order after another, until the time is over or a promise is broken.
func (tr *trial) soak(t *testing.T, all []fault, d time.Duration, seed uint64) {
	t.Logf("the order is that of %s=%d", seedEnv, seed)
	all = slices.Concat(all, clockFaults)
	random := rand.New(rand.NewPCG(seed, 0))
	end := time.Now().Add(d)
	for n := 0; time.Now().Before(end); n++ {
		for _, i := range random.Perm(len(all)) {
			f := all[i]
			if time.Now().After(end) {
				break
			}
			if !t.Run(f.name, func(t *testing.T) { tr.suffer(t, f) }) {
				t.Fatalf("%s=%d repeats the order up to here", seedEnv, seed)
			}
		}
	}
}
