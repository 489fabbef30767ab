package cores

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// halves are those of two processors, however many there are; of one, the zero value.
func halves(t *testing.T) Split {
	t.Helper()
	s, err := Halve()
	if err != nil {
		t.Fatal(err)
	}
	n := runtime.NumCPU()
	if n == 1 {
		if s.Asking() != 0 || s.String() != "shared by all" {
			t.Fatalf("of one processor: %v", s)
		}
		return s
	}
	if all := slices.Concat(s.answers, s.asks); len(all) != n || !slices.IsSorted(all) || s.Asking() != n/2 {
		t.Fatalf("of %d processors: %v", n, s)
	}
	return Split{asks: s.asks[:1], answers: s.answers[:1]}
}

func TestSplit(t *testing.T) {
	s := halves(t)
	before, procs := threads(t), runtime.GOMAXPROCS(0)
	asks, answers := []string{list(s.asks)}, []string{list(s.answers)}
	if s.Asking() == 0 {
		asks, answers = before, before
	}
	leave, err := s.Enter()
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	if got := threads(t); !slices.Equal(got, asks) || runtime.GOMAXPROCS(0) != max(1, s.Asking()) {
		t.Errorf("threads on %v, %d at once; want all on %v, one at once", got, runtime.GOMAXPROCS(0), asks)
	}

	var child string
	err = s.Start(func() error {
		out, err := exec.Command("sh", "-c", "cat /proc/self/status; true").Output() // one that starts another
		child = allowedIn(string(out))
		return err
	})
	if err != nil || child != answers[0] {
		t.Errorf("a child's child runs on %q, %v; want %v", child, err, answers)
	}
	var many sync.WaitGroup
	for range 20 {
		many.Go(func() { // on threads that are made for it
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if got := threads(t); !slices.Equal(got, asks) {
				t.Errorf("threads on %v, want all on %v", got, asks)
			}
		})
	}
	many.Wait()

	leave()
	if got := threads(t); !slices.Equal(got, before) || runtime.GOMAXPROCS(0) != procs {
		t.Errorf("at the end threads are on %v, %d at once; want %v, %d", got, runtime.GOMAXPROCS(0), before, procs)
	}
}

func TestLend(t *testing.T) {
	s := halves(t)
	leave, err := s.Enter()
	if err != nil {
		t.Fatal(err)
	}
	defer leave()
	server := exec.Command("cat")
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(server.Start); err != nil {
		t.Fatal(err)
	}
	where := func() string {
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(server.Process.Pid), "status"))
		if err != nil {
			t.Error(err)
		}
		return allowedIn(string(text))
	}
	asks, answers := threads(t), where()
	var ours []string
	var theirs string
	want := errors.New("it does not fill")
	err = s.Lend([]int{server.Process.Pid}, func() error {
		ours, theirs = threads(t), where()
		return want
	})
	if !errors.Is(err, want) || len(ours) != 1 || ours[0] != theirs {
		t.Errorf("error %v; lent to %v and %s", err, ours, theirs)
	}
	if s.Asking() > 0 && (theirs == answers || theirs == asks[0]) {
		t.Errorf("of %v and %s nobody was lent more than %s", asks, answers, theirs)
	}
	if got := threads(t); !slices.Equal(got, asks) || where() != answers {
		t.Errorf("then they are on %v and %s, want %v and %s", got, where(), asks, answers)
	}
	if err := errors.Join(in.Close(), server.Wait()); err != nil {
		t.Error(err)
	}
}

func TestStartReturnsTheError(t *testing.T) {
	for _, s := range []Split{{}, halves(t)} {
		leave, err := s.Enter()
		if err != nil {
			t.Fatal(err)
		}
		want := errors.New("it does not start")
		if err := s.Start(func() error { return want }); !errors.Is(err, want) {
			t.Errorf("%v: error = %v", s, err)
		}
		leave()
	}
}

func TestEnterTellsWhatIsWrong(t *testing.T) {
	if _, err := (Split{asks: []int{1023}, answers: []int{0}}).Enter(); err == nil || !strings.Contains(err.Error(), "1023") {
		t.Errorf("error = %v, want one with the processor that is not there", err)
	}
}

// threads are the processors that threads of this process may use, as the kernel tells it, each list once.
func threads(t *testing.T) (all []string) {
	t.Helper()
	paths, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(paths) == 0 {
		t.Errorf("look for threads: %v", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended meanwhile
		}
		if cpus := allowedIn(string(text)); !slices.Contains(all, cpus) {
			all = append(all, cpus)
		}
	}
	return all
}

func allowedIn(status string) string {
	_, rest, _ := strings.Cut(status, "\nCpus_allowed_list:")
	line, _, _ := strings.Cut(rest, "\n")
	return strings.TrimSpace(line)
}
