package gauge_test

import (
	"compress/gzip"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/pprof"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vidmeta/bench/gauge"
)

// admin serves profiles and metrics, except what broken answers itself.
func admin(t *testing.T, broken map[string]http.HandlerFunc) string {
	t.Helper()
	routes := map[string]http.HandlerFunc{
		"/debug/pprof/": pprof.Index, "/debug/pprof/profile": pprof.Profile,
		"/metrics": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "answers_total 42\n") },
	}
	mux := http.NewServeMux()
	for path, h := range routes {
		if broken[path] == nil {
			mux.HandleFunc(path, h)
		}
	}
	for path, h := range broken {
		mux.HandleFunc(path, h)
	}
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

func says(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "out of order", status) }
}

func TestProfiles(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "arm")
	began := time.Now()
	if err := gauge.Profiles(t.Context(), admin(t, nil), prefix, 100*time.Millisecond); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < time.Second {
		t.Errorf("a profile of one second, the least there is, took %v", took)
	}
	for _, name := range []string{".cpu.pprof", ".heap.pprof"} {
		f, err := os.Open(prefix + name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatalf("%s is no profile: %v", name, err)
		}
		if n, err := io.Copy(io.Discard, z); err != nil || n == 0 {
			t.Errorf("%s has %d bytes, %v", name, n, err)
		}
	}
	if text, err := os.ReadFile(prefix + ".metrics"); err != nil || string(text) != "answers_total 42\n" {
		t.Errorf("metrics %q, %v", text, err)
	}
}

func TestProfilesOfWhoHasNoMetrics(t *testing.T) {
	prefix := filepath.Join(t.TempDir(), "arm")
	addr := admin(t, map[string]http.HandlerFunc{"/metrics": says(http.StatusNotFound)})
	if err := gauge.Profiles(t.Context(), addr, prefix, time.Second); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(prefix + ".metrics"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of metrics that are not there: %v", err)
	}
}

func TestProfilesSayWhatIsWrong(t *testing.T) {
	fine := map[string]int{"/debug/pprof/profile": 0, "/debug/pprof/heap": 1, "/metrics": 2} // files before what is broken
	for path, want := range fine {
		t.Run(path, func(t *testing.T) {
			dir := t.TempDir()
			addr := admin(t, map[string]http.HandlerFunc{path: says(http.StatusInternalServerError)})
			err := gauge.Profiles(t.Context(), addr, filepath.Join(dir, "arm"), time.Second)
			if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "500") {
				t.Errorf("error = %v, want one with what was asked for and 500", err)
			}
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(files) != want {
				t.Errorf("files %v, %v; want the %d that were fine", files, err, want)
			}
		})
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	addr := gone.Listener.Addr().String()
	if err := gauge.Profiles(t.Context(), addr, filepath.Join(t.TempDir(), "arm"), time.Second); err == nil {
		t.Error("profiles of a server that is gone")
	}
}

func TestProfilesEndWithTheirContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	addr := admin(t, map[string]http.HandlerFunc{"/debug/pprof/profile": func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	}})
	go func() {
		<-asked
		cancel()
	}()
	if err := gauge.Profiles(ctx, addr, filepath.Join(t.TempDir(), "arm"), time.Minute); !errors.Is(err, context.Canceled) {
		t.Errorf("error = %v, want that of the context", err)
	}
}
