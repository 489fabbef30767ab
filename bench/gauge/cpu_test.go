package gauge_test

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"vidmeta/bench/gauge"
	"vidmeta/internal/stack/stacktest"
)

func TestCPUOfWhoWorks(t *testing.T) {
	spin, sleep := child(t, wordSpin), child(t, wordSleep)
	pids := map[string][]int{"spin": {spin}, "sleep": {sleep}, "both": {spin, sleep}}
	began := time.Now()
	first, err := gauge.CPU(pids)
	if err != nil {
		t.Fatal(err)
	}
	var last map[string]time.Duration
	stacktest.WaitFor(t, 30*time.Second, func() error {
		if last, err = gauge.CPU(pids); err != nil {
			t.Fatal(err)
		}
		if used := last["spin"] - first["spin"]; used < 300*time.Millisecond {
			return fmt.Errorf("whoever works has used %v since", used)
		}
		return nil
	})
	took := time.Since(began)
	// It spins in one thread. The runtime's others may do a little, and a reading is known to a hundredth of a second.
	if used := last["spin"] - first["spin"]; used > took*11/10+50*time.Millisecond {
		t.Errorf("one thread used %v of %v", used, took)
	}
	if used := last["sleep"] - first["sleep"]; used > 100*time.Millisecond {
		t.Errorf("whoever sleeps used %v of %v", used, took)
	}
	if last["both"] < last["spin"]+last["sleep"]-20*time.Millisecond {
		t.Errorf("both together: %v; one by one: %v and %v", last["both"], last["spin"], last["sleep"])
	}
}

func TestOwnCPU(t *testing.T) {
	first, err := gauge.Own()
	if err != nil {
		t.Fatal(err)
	}
	used := func() time.Duration {
		now, err := gauge.Own()
		if err != nil {
			t.Fatal(err)
		}
		return now - first
	}
	began := time.Now()
	for used() < 50*time.Millisecond {
		if time.Since(began) > 30*time.Second {
			t.Fatalf("in 30 s of work this process has used %v", used())
		}
	}
}

// What a host takes is not in a test's hands; that it is counted as the kernel does is.
func TestStolen(t *testing.T) {
	told := func() time.Duration {
		text, err := os.ReadFile("/proc/stat")
		if err != nil {
			t.Fatal(err)
		}
		n, err := strconv.ParseInt(strings.Fields(string(text))[8], 10, 64) // proc(5): "cpu", then steal as the eighth
		if err != nil {
			t.Fatal(err)
		}
		return time.Duration(n) * 10 * time.Millisecond
	}
	before := told()
	stolen, err := gauge.Stolen()
	if after := told(); err != nil || stolen < before-time.Millisecond || stolen > after+time.Millisecond {
		t.Errorf("stolen: %v, %v; the kernel says %v to %v", stolen, err, before, after)
	}
}

func TestCPUOfNobody(t *testing.T) {
	const none = 1 << 30 // the kernel gives no process a number above 2^22
	if used, err := gauge.CPU(map[string][]int{"arm": {none}}); err == nil || !strings.Contains(err.Error(), "arm") {
		t.Errorf("processor time of a process that is not there: %v, %v; want an error that says whose", used, err)
	}
}
