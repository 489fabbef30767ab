package run

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9/logging"

	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) {
	logging.Disable() // it prints what a server says of itself that is about to be stopped
	defer func() {
		if dir, err := programs(); err == nil {
			_ = os.RemoveAll(dir)
		}
	}()
	stacktest.Main(m)
}

// programs builds vidmeta and vidmeta-bench once for all tests, and returns their folder.
var programs = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "vidmeta-run-")
	if err != nil {
		return "", err
	}
	for name, module := range map[string]string{"vidmeta": filepath.Join("..", ".."), "vidmeta-bench": ".."} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, name), "./cmd/"+name)
		cmd.Dir = module
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", fmt.Errorf("go build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

// small is a plan that takes no time.
func small(t *testing.T) Plan {
	t.Helper()
	dir, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return Plan{
		Program: filepath.Join(dir, "vidmeta-bench"), Vidmeta: filepath.Join(dir, "vidmeta"), Out: t.TempDir(),
		Repeats: 1, Others: 1, Measure: 150 * time.Millisecond, Warm: 100 * time.Millisecond, Clients: 8,
		Videos: 600, Hot: 200, Cold: 600, Skew: 0.9, Writes: 0.05,
		TTL: 2 * time.Second, RedisTTL: 10 * time.Minute, Local: 64 << 20,
	}
}

// process is one that this test binary has started, or one of its children has.
type process struct {
	pid     int
	command string
}

// descendants are the processes that run now and descend from this one.
func descendants(t *testing.T) (all []process) {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		t.Errorf("look for processes: %v", err)
	}
	children := map[int][]int{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		// proc(5): the state and the parent follow on the program's name in parentheses.
		rest := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil {
			continue
		}
		if parent, err := strconv.Atoi(rest[1]); err == nil && rest[0] != "Z" {
			children[parent] = append(children[parent], pid)
		}
	}
	for queue := slices.Clone(children[os.Getpid()]); len(queue) > 0; queue = queue[1:] {
		pid := queue[0]
		command, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // of one that has ended meanwhile it is empty
		all = append(all, process{pid, string(bytes.ReplaceAll(command, []byte{0}, []byte{' '}))})
		queue = append(queue, children[pid]...)
	}
	return all
}

// leavesNothing fails the test if processes are there at its end that were not there before.
func leavesNothing(t *testing.T) {
	t.Helper()
	before := descendants(t)
	t.Cleanup(func() {
		for _, p := range descendants(t) {
			if !slices.ContainsFunc(before, func(q process) bool { return p.pid == q.pid }) {
				t.Errorf("left running: %d %s", p.pid, p.command)
			}
		}
	})
}
