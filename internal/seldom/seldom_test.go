package seldom

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var f Failures
		for i, want := range []int{1, 0, 0, 3, 0} { // what each stands for, 0 if it is not logged
			if i == 3 {
				<-time.After(Interval)
			}
			if n, ok := f.Now(); n != want || ok != (want > 0) {
				t.Errorf("failure %d: %d, %v; want %d", i+1, n, ok, want)
			}
		}
	})
}
