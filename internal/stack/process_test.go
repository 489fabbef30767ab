package stack_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// shell runs a script as a child, with its output in a file; it is ready when it has written "ready".
func shell(t *testing.T, script string) stack.Command {
	log := filepath.Join(t.TempDir(), "log")
	return stack.Command{
		Name: "a script", Path: "sh", Args: []string{"-c", script}, Log: log,
		Ready: func(context.Context) error {
			if text, err := os.ReadFile(log); err != nil || !bytes.Contains(text, []byte("ready")) {
				return errors.New("nothing written yet")
			}
			return nil
		},
	}
}

func TestLaunch(t *testing.T) {
	t.Parallel()
	var output bytes.Buffer
	c := shell(t, `echo "$GREETING" from $PWD; echo ready; exit 3`)
	c.Env, c.Dir, c.Output, c.Addr = []string{"GREETING=hello"}, t.TempDir(), &output, "here:1"
	c.Ready = nil
	p, err := stack.Launch(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err == nil || err.Error() != "exit status 3" {
		t.Errorf("it ended with %v", err)
	}
	want := "hello from " + c.Dir + "\nready\n"
	if logged, err := os.ReadFile(c.Log); err != nil || string(logged) != want || output.String() != want {
		t.Errorf("log = %q, output = %q, error %v; want %q", logged, output.String(), err, want)
	}
	if p.Name() != c.Name || p.Addr() != c.Addr {
		t.Errorf("name = %q, addr = %q", p.Name(), p.Addr())
	}
}

func TestLaunchFails(t *testing.T) {
	t.Parallel()
	early := shell(t, "echo no money; exit 0")
	late := shell(t, "echo hold the line; exec sleep 1000")
	missing := shell(t, "")
	missing.Path = "no-such-program"
	for name, test := range map[string]struct {
		command stack.Command
		wait    time.Duration
		want    []string
	}{
		"ends early": {early, time.Minute, []string{"start a script", "exit status 0", "no money", early.Log}},
		"not ready":  {late, 200 * time.Millisecond, []string{"deadline exceeded", "nothing written yet", "hold the line"}},
		"no program": {missing, time.Minute, []string{"start a script", "no-such-program"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := stack.Launch(ctxFor(t, test.wait), test.command)
			for _, want := range test.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error = %v, want one with %q", err, want)
				}
			}
		})
	}
}

func TestStopKillsWhatWillNotEnd(t *testing.T) {
	t.Parallel()
	p, err := stack.Launch(t.Context(), shell(t, `trap "" TERM; echo ready; while :; do sleep 1000; done`))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(ctxFor(t, 100*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(t.Context()); err == nil || err.Error() != "signal: killed" {
		t.Errorf("it ended with %v, want killed", err)
	}
}

func TestWaitEndsWithItsContext(t *testing.T) {
	t.Parallel()
	p, err := stack.Launch(t.Context(), shell(t, "echo ready; exec sleep 1000"))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(ctxFor(t, 10*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error = %v", err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
}

// Whoever starts many children from short-lived goroutines keeps them, though a child dies with the thread that made it.
func TestChildrenOutliveTheGoroutineThatLaunchedThem(t *testing.T) {
	t.Parallel()
	launched := make(chan *stack.Process)
	for range 8 {
		go func() {
			p, err := stack.Launch(t.Context(), shell(t, "echo ready; exec sleep 1000"))
			if err != nil {
				t.Error(err)
			}
			launched <- p
		}()
	}
	var all []*stack.Process
	for range 8 {
		all = append(all, <-launched)
	}
	stacktest.Start(t, stack.Config{RedisNodes: 1}) // takes a while and many threads
	for _, p := range all {
		select {
		case <-p.Done():
			t.Errorf("process %d ended by itself: %v", p.Pid(), p.Wait(t.Context()))
		default:
		}
		if err := p.Kill(); err != nil {
			t.Error(err)
		}
	}
}
