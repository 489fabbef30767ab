package stack

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"
)

func TestSweepLeavesWhatIsInUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	long := time.Now().Add(-2 * sweepAge)
	folder := func(name string, changed time.Time) string {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, lockName), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, changed, changed); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stale := folder(tempPattern+"1", long)
	young := folder(tempPattern+"2", time.Now())
	used := folder(tempPattern+"3", long)
	foreign := folder("somebody-elses", long)
	held, err := lock(t.Context(), filepath.Join(used, lockName))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()

	sweep(dir)

	for path, want := range map[string]bool{stale: false, young: true, used: true, foreign: true} {
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", filepath.Base(path), err == nil, want)
		}
	}
}

func TestClaimsExcludeEachOther(t *testing.T) {
	t.Parallel()
	var ps ports
	port, err := ps.take(busDistance)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []int{port, port + busDistance} {
		if claims, err := claim(p, nil); err == nil {
			t.Errorf("port %d was given twice: %v", p, claims)
		}
	}
	if claims, err := claim(port-busDistance, []int{busDistance}); err == nil {
		t.Errorf("port %d was given twice: %v", port, claims)
	}
	held := ps.held
	defer runtime.KeepAlive(held) // the collector would close what release does not
	ps.release()
	// A child that another test starts at this moment has the names as well, until it has become its program.
	again, err := claim(port, []int{busDistance})
	for begun := time.Now(); err != nil && time.Since(begun) < 10*time.Second; {
		runtime.Gosched()
		again, err = claim(port, []int{busDistance})
	}
	if err != nil {
		t.Fatalf("port %d was not given back: %v", port, err)
	}
	for _, l := range again {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
