package gauge_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9/logging"

	"vidmeta/internal/stack/stacktest"
)

// wordEnv makes the test binary a program that works, or does nothing, until its standard input ends.
const wordEnv = "VIDMETA_GAUGE_TEST"

const (
	wordSpin  = "spin"
	wordSleep = "sleep"
)

func TestMain(m *testing.M) {
	if word := os.Getenv(wordEnv); word != "" {
		beChild(word)
		return
	}
	logging.Disable() // it prints what a server says of itself that is about to be stopped
	stacktest.Main(m)
}

func beChild(word string) {
	var over atomic.Bool
	var work sync.WaitGroup
	if word == wordSpin {
		work.Go(func() {
			for !over.Load() {
			}
		})
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	over.Store(true)
	work.Wait()
}

// child starts the test binary as such a program, and ends it at the test's end.
func child(t *testing.T, word string) (pid int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), wordEnv+"="+word)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the child that was to %s: %v", word, err)
		}
	})
	if _, err := io.ReadFull(out, make([]byte, len("ready\n"))); err != nil {
		t.Fatalf("wait for the child that is to %s: %v", word, err)
	}
	return cmd.Process.Pid
}
