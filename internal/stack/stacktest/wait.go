package stacktest

import (
	"testing"
	"time"
)

// Pauses of WaitFor: short at first, since most things happen soon.
const (
	firstPause = time.Millisecond
	lastPause  = 50 * time.Millisecond
)

// WaitFor calls f until it returns nil. When the time is over, the test fails with the last error. It is for what happens
// in another process; within one, use testing/synctest or a channel.
func WaitFor(t testing.TB, timeout time.Duration, f func() error) {
	t.Helper()
	deadline := time.Now().Add(timeout)
	pause := firstPause
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", timeout, err)
		}
		<-time.After(pause)
		pause = min(2*pause, lastPause)
	}
}
