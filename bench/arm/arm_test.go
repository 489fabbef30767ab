package arm_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vidmeta/bench/arm"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// caches are the tiers that an arm must be seen to answer from, MySQL aside.
var caches = map[string][]string{
	"mysql": nil, "redis": {"redis"}, "local": {"local"},
	"vidmeta": {"local"}, "no-local": {"redis"}, "no-coalescing": {"local"}, "no-batching": {"local"}, "no-jitter": {"local"},
	"no-sidecar": {"local"}, "no-local+no-jitter": {"redis"},
	"rockscache": {"redis"}, "jetcache-go": {"local", "redis"}, "gocache": {"local", "redis"}, "go-zero": {"redis"},
	"nginx": {"proxy"}, "varnish": {"proxy"},
}

// prober asks an arm for documents and counts its answers.
type prober struct {
	url      string
	answered int64
}

func (p *prober) get(id schema.ID) (status int, h http.Header, body string, err error) {
	res, err := client.Get(p.url + "/v1/videos/" + strconv.FormatUint(uint64(id), 10))
	if err != nil {
		return 0, nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	p.answered++
	return res.StatusCode, res.Header, string(text), err
}

// differs returns an error if the arm does not answer with the document.
func (p *prober) differs(d schema.Document) error {
	status, h, body, err := p.get(d.ID)
	version := strconv.FormatUint(uint64(d.Version), 10)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("status %d, want 200", status)
	case body != string(d.Body):
		return fmt.Errorf("body %s, want %s", body, d.Body)
	case h.Get("Vidmeta-Version") != version || h.Get("Etag") != `"`+version+`"`:
		return fmt.Errorf("version %q, entity tag %q, want version %s", h.Get("Vidmeta-Version"), h.Get("Etag"), version)
	case h.Get("Content-Type") != "application/json" || h.Get("Content-Length") != strconv.Itoa(len(d.Body)):
		return fmt.Errorf("type %q, length %q", h.Get("Content-Type"), h.Get("Content-Length"))
	case h.Get("Last-Modified") == "" || !strings.HasPrefix(h.Get("Cache-Control"), "public, max-age=1"):
		return fmt.Errorf("modified %q, control %q", h.Get("Last-Modified"), h.Get("Cache-Control"))
	}
	return nil
}

func TestArmsServeDocuments(t *testing.T) {
	dsn, db := database(t)
	l := launcher(t, dsn)
	var names []string
	for _, k := range arm.Kinds() {
		if !strings.HasPrefix(k.Name, "constant-") {
			names = append(names, k.Name)
		}
	}
	for i, name := range append(names, "no-local+no-jitter") {
		t.Run(name, func(t *testing.T) {
			tiers, known := caches[name]
			if !known {
				t.Fatal("the test does not know its tiers")
			}
			r := start(t, l, name)
			p := &prober{url: r.URL}
			id := schema.ID(i%videos + 1)
			d := truth(t, db, id)
			if err := p.differs(d); err != nil {
				t.Error(err)
			}
			if status, _, body, err := p.get(videos + 1000); err != nil || status != http.StatusNotFound {
				t.Errorf("a video that does not exist: %d %s, %v", status, body, err)
			}
			stacktest.WaitFor(t, 20*time.Second, func() error {
				if err := p.differs(d); err != nil {
					t.Fatal(err)
				}
				said, err := r.Tiers(t.Context())
				for _, tier := range append(tiers, "origin") {
					if err == nil && said[tier] == 0 {
						err = fmt.Errorf("tiers = %v, and nothing was answered from %q", said, tier)
					}
				}
				return err
			})

			if _, err := db.Exec("UPDATE videos SET title = ? WHERE id = ?", "changed for "+name, id); err != nil {
				t.Fatal(err)
			}
			d, began := truth(t, db, id), time.Now()
			stacktest.WaitFor(t, 30*time.Second, func() error { return p.differs(d) })
			t.Logf("a change showed after %v", time.Since(began))

			said, err := r.Tiers(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var sum int64
			for _, n := range said {
				sum += n
			}
			if sum != p.answered {
				t.Errorf("tiers = %v, %d in all, want %d", said, sum, p.answered)
			}
			res, err := client.Get("http://" + r.Admin + "/debug/pprof/heap")
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != http.StatusOK {
				t.Errorf("its profiles: %s", res.Status)
			}
			stopped(t, r)
		})
	}
}

// stopped stops an arm and sees that none of its processes is left.
func stopped(t *testing.T, r *arm.Running) {
	t.Helper()
	var all []int
	for role, pids := range r.Pids() {
		if role == arm.RoleProxy && len(pids) < 2 {
			t.Errorf("processes of a proxy: %v, want workers, too", pids)
		}
		all = append(all, pids...)
	}
	if err := running(all); err == nil {
		t.Errorf("none of the processes %v runs", all)
	}
	began := time.Now()
	if err := r.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	t.Logf("stopped after %v", time.Since(began))
	if err := running(all); err != nil {
		t.Error(err)
	}
}

// What the constant arms send has the fields of a real hit, and about its size.
func TestConstantsLookLikeVidmeta(t *testing.T) {
	dsn, _ := database(t)
	l := launcher(t, dsn)
	shape := func(h http.Header) (names []string, size int) {
		for name, values := range h {
			names = append(names, name)
			size += len(name) + len(values[0])
		}
		slices.Sort(names)
		return names, size
	}
	real := start(t, l, "vidmeta")
	p := &prober{url: real.URL}
	var names []string
	var size int
	stacktest.WaitFor(t, 10*time.Second, func() error {
		_, h, _, err := p.get(1)
		if err == nil && !strings.Contains(h.Get("Cache-Status"), "vidmeta-local; hit") {
			err = fmt.Errorf("no hit: %v", h)
		}
		names, size = shape(h)
		return err
	})
	stopped(t, real)
	for _, name := range []string{"constant-http", "constant-echo"} {
		t.Run(name, func(t *testing.T) {
			r := start(t, l, name)
			p := &prober{url: r.URL}
			_, h, body, err := p.get(7)
			if err != nil {
				t.Fatal(err)
			}
			if len(body) != 1024 {
				t.Errorf("the body has %d bytes, want 1024", len(body))
			}
			// The real Cache-Control is one digit longer or shorter with other lifetimes, and times vary.
			if got, n := shape(h); !slices.Equal(got, names) || n < size-5 || n > size+5 {
				t.Errorf("%d bytes in %v, want %d in %v", n, got, size, names)
			}
			tiers, err := r.Tiers(t.Context())
			if err != nil || tiers["local"] != 1 || tiers["origin"] != 0 {
				t.Errorf("tiers = %v, %v", tiers, err)
			}
			stopped(t, r)
		})
	}
}

// A parent that is killed leaves neither proxies nor what they have started.
func TestKilledParentLeavesNoProxy(t *testing.T) {
	dsn, _ := database(t)
	for _, name := range []string{"nginx", "varnish"} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], wordParent, name, dsn)
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			line, err := bufio.NewReader(out).ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			var pids []int
			for _, word := range strings.Fields(line) {
				pid, err := strconv.Atoi(word)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			if len(pids) < 3 {
				t.Errorf("processes = %v, want one of MySQL's arm and several of the proxy", pids)
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil {
				t.Error("the parent ended well, want killed")
			}
			stacktest.WaitFor(t, 10*time.Second, func() error { return running(pids) })
		})
	}
}

func TestStartTellsWhatIsWrong(t *testing.T) {
	dsn, _ := database(t)
	for name, test := range map[string]struct {
		arm    string
		change func(*arm.Launcher)
		want   string
	}{
		"no such arm":         {"memcached", func(*arm.Launcher) {}, "there are constant-http, "},
		"no such mechanism":   {"no-local+no-luck", func(*arm.Launcher) {}, "there are constant-http, "},
		"part of a second":    {"redis", func(l *arm.Launcher) { l.Settings.TTL = 1500 * time.Millisecond }, "TTL: 1.5s"},
		"part in Redis":       {"redis", func(l *arm.Launcher) { l.Settings.RedisTTL = 0 }, "RedisTTL: 0s"},
		"no memory":           {"local", func(l *arm.Launcher) { l.Settings.LocalBytes = 0 }, "LocalBytes: 0"},
		"no MySQL":            {"mysql", func(l *arm.Launcher) { l.Settings.MySQL = "u:p@tcp(127.0.0.1:1)/db" }, "reach MySQL"},
		"too short for rocks": {"rockscache", func(l *arm.Launcher) { l.Settings.RedisTTL = time.Second }, "needs 3s"},
		"no vidmeta":          {"vidmeta", func(l *arm.Launcher) { l.Vidmeta = "" }, "Launcher.Vidmeta"},
	} {
		t.Run(name, func(t *testing.T) {
			l := launcher(t, dsn)
			test.change(l)
			log := t.TempDir() + "/log"
			r, err := l.Start(t.Context(), test.arm, log)
			if err == nil {
				_ = r.Stop(context.Background())
			}
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error = %v, want one with %q", err, test.want)
			}
		})
	}
}

func TestWrongIDsAreRefused(t *testing.T) {
	dsn, _ := database(t)
	r := start(t, launcher(t, dsn), "mysql")
	for _, id := range []string{"0", "x", "-1", "18446744073709551616"} {
		res, err := client.Get(r.URL + "/v1/videos/" + id)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("id %s: %s, want 400", id, res.Status)
		}
	}
}
