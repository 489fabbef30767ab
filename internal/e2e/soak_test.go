package e2e

import (
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// soakEnv says how long to go on with faults in random order; `make soak` sets it.
const soakEnv = "VIDMETA_SOAK"

// TestFaults has everything befall the service that its promises are about, on one fleet for each kind of server. On
// MySQL only what depends on the kind of server is tried, unless there is more time.
func TestFaults(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			tr := begin(t, start(t, shape{flavor: flavor, sidecars: 2, faults: true}))
			for _, f := range faults {
				if !t.Run(f.name, func(t *testing.T) { tr.suffer(t, f) }) {
					t.Log(tr.recorder.History())
				}
			}
		})
	}
}

var _ = os.Getenv
var _ = rand.N[int]
var _ = time.Now
var _ = stack.MariaDB
