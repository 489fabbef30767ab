package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"vidmeta/internal/stack"
)

// clockEnv sets the clock of a clocked program wrong, by a duration.
const clockEnv = "VIDMETA_TEST_CLOCK"

// clocked builds vidmeta with a clock that can be set wrong. Nothing but the standard library's time.Now is another one,
// so the program itself has neither a switch for it nor its cost. It takes minutes when it is built for the first time.
var clocked = sync.OnceValues(func() (string, error) {
	plain, err := program()
	if err != nil {
		return "", err
	}
	dir := filepath.Dir(plain)
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOROOT: %w", err)
	}
	home := filepath.Join(strings.TrimSpace(string(root)), "src", "time")
	source, err := os.ReadFile(filepath.Join(home, "time.go"))
	if err != nil {
		return "", err
	}
	const reads = "	sec, nsec, mono := runtimeNow()\n	if mono == 0 {\n		return Time{uint64(nsec), sec + unixToInternal, Local}"
	if bytes.Count(source, []byte(reads)) != 1 {
		return "", errors.New("time.Now is not written as it was: look where it reads the clock now")
	}
	source = bytes.Replace(source, []byte(reads), []byte(strings.Replace(reads, "runtimeNow()", "runtimeNow()\n	sec += wrong", 1)), 1)
	const offset = `package time

import "syscall"

var wrong = func() int64 {
	text, _ := syscall.Getenv("` + clockEnv + `")
	d, _ := ParseDuration(text)
	return int64(d / Second)
}()
`
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{
		filepath.Join(home, "time.go"):  filepath.Join(dir, "time.go"),
		filepath.Join(home, "wrong.go"): filepath.Join(dir, "wrong.go"),
	}})
	if err != nil {
		return "", err
	}
	for name, text := range map[string][]byte{"time.go": source, "wrong.go": []byte(offset), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return "", err
		}
	}
	path := filepath.Join(dir, "clocked")
	out, err := exec.Command("go", "build", "-overlay", filepath.Join(dir, "overlay.json"), "-o", path, "vidmeta/cmd/vidmeta").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

// clockFaults are what a wrong clock does. Whatever the program says by such a clock is wrong by as much, so it is left
// out of the history; what the others say is not.
var clockFaults = []fault{
	{"a node whose clock is ahead", seldom, pauseTime, func(tr *trial) func() { return tr.misled(2, time.Minute) }},
	{"a node whose clock is behind", seldom, pauseTime, func(tr *trial) func() { return tr.misled(2, -time.Minute) }},
	{"a sidecar whose clock is ahead", seldom, pauseTime, func(tr *trial) func() {
		back := tr.killed(tr.sidecars...)
		gone := tr.impostor(tr.sidecars[0], time.Minute)
		return func() {
			gone()
			back()
		}
	}},
	{"a sidecar whose clock is behind", seldom, pauseTime, func(tr *trial) func() {
		back := tr.killed(tr.sidecars...)
		gone := tr.impostor(tr.sidecars[0], -time.Minute)
		return func() {
			gone()
			back()
		}
	}},
}

// misled has a node run with a wrong clock, which its metrics must tell.
func (tr *trial) misled(node int, wrong time.Duration) (undo func()) {
	tr.Helper()
	tr.down[node].Store(true)
	tr.muted[node].Store(true)
	back := tr.killed(tr.nodes[node])
	gone := tr.impostor(tr.nodes[node], wrong)
	tr.await(func() error {
		delay, err := tr.metric(tr.admins[node], "vidmeta_feed_delay_seconds")
		if err == nil && math.Abs(delay-wrong.Seconds()) > 5 {
			err = fmt.Errorf("the node says that the feed is %v s behind its clock, which is wrong by %v", delay, wrong)
		}
		return err
	})
	return func() {
		gone()
		back()
	}
}

// impostor runs in the place of a process that has been killed, with a wrong clock.
func (tr *trial) impostor(p *stack.Process, wrong time.Duration) (gone func()) {
	tr.Helper()
	path, err := clocked()
	tr.must(err)
	c := tr.commands[p]
	c.Path, c.Env, c.Ready = path, append(c.Env[:len(c.Env):len(c.Env)], clockEnv+"="+wrong.String()), nil
	other, err := stack.Launch(tr.Context(), c)
	tr.must(err)
	tr.Cleanup(func() { tr.must(other.Kill()) })
	return func() { tr.must(other.Kill()) }
}
