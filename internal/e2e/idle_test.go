package e2e

import (
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
)

// idleStatements is what a fleet may ask of MySQL in a second when nobody reads or writes.
const idleStatements = 15

// A leader, a standby and three nodes leave an idle MySQL almost in peace.
func TestIdleStatements(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			f := start(t, shape{flavor: flavor, sidecars: 2})
			f.flowed(t)
			questions := func() (n int) {
				var name string
				if err := f.root.QueryRow("SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
					t.Fatal(err)
				}
				return n
			}
			before, begun := questions(), time.Now()
			<-time.After(10 * time.Second)
			rate := float64(questions()-before-1) / time.Since(begun).Seconds()
			t.Logf("%.1f statements a second", rate)
			if rate > idleStatements {
				t.Errorf("%.1f statements a second, at most %d", rate, idleStatements)
			}
		})
	}
}
