package arm

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"text/template"
	"time"

	"vidmeta/internal/stack"
)

// The proxies run before the arm mysql. Both keep documents that do not exist for as long as others.

// nginxConf is nginx as its documentation has it for answers that are cached for a moment: one request at a time fills an
// entry (proxy_cache_lock), and while one asks anew others get the old answer (proxy_cache_use_stale updating). Keep in mind
// that requests that wait for such a lock look again every 500 ms; that is built in.
//
// It runs in the foreground, its workers as whoever started it, with all files in a folder of its own. Connections live for
// as long as clients want: the default is to close them after 1000 requests.
var nginxConf = template.Must(template.New("nginx.conf").Parse(`daemon off;
worker_processes 2;
{{if .Root}}user root;
{{end}}pid {{.Dir}}/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path {{.Dir}}/body;
	proxy_temp_path {{.Dir}}/proxy;
	fastcgi_temp_path {{.Dir}}/fastcgi;
	uwsgi_temp_path {{.Dir}}/uwsgi;
	scgi_temp_path {{.Dir}}/scgi;
	keepalive_requests 1000000000;
	proxy_cache_path {{.Dir}}/cache levels=1:2 keys_zone=videos:64m max_size={{.Bytes}} inactive=10m use_temp_path=off;
	upstream origin {
		server {{.Origin}};
		keepalive 64;
		keepalive_requests 1000000000;
	}
	server {
		listen {{.Listen}};
		location / {
			proxy_pass http://origin;
			proxy_http_version 1.1;
			proxy_set_header Connection "";
			proxy_cache videos;
			proxy_ignore_headers Cache-Control;
			proxy_cache_valid 200 404 {{.Seconds}}s;
			proxy_cache_lock on;
			proxy_cache_use_stale updating;
		}
	}
	server {
		listen {{.Status}};
		location = /status { stub_status; }
	}
}
`))

// varnishConf leaves everything but the lifetime to Varnish's defaults, which include a grace of 10 s: so much longer an
// answer may be given at once while another is fetched in the background. Requests for the same document wait for the one
// that fetches it.
var varnishConf = template.Must(template.New("videos.vcl").Parse(`vcl 4.1;
backend origin {
	.host = "{{.Host}}";
	.port = "{{.Port}}";
}
sub vcl_recv {
	if (req.url == "/ready") {
		return (synth(200));
	}
}
sub vcl_backend_response {
	set beresp.ttl = {{.Seconds}}s;
}
`))

// front is where a proxy listens, and by what configuration.
type front struct{ conf, listen, status string }

// behind starts the arm mysql, for a proxy to ask, and makes the proxy's configuration out of a template.
func (r *Running) behind(ctx context.Context, l *Launcher, conf *template.Template) (f front, err error) {
	if err := r.startProgram(ctx, l, "mysql"); err != nil {
		return f, err
	}
	if f.listen, err = r.home.FreeAddr(); err != nil {
		return f, err
	}
	if f.status, err = r.home.FreeAddr(); err != nil {
		return f, err
	}
	origin := r.procs[RoleArm].Addr()
	host, port, err := net.SplitHostPort(origin)
	if err != nil {
		return f, err
	}
	var text bytes.Buffer
	err = conf.Execute(&text, map[string]any{
		"Dir": r.home.Dir(), "Root": os.Getuid() == 0, "Bytes": r.settings.LocalBytes,
		"Seconds": int(r.settings.TTL / time.Second),
		"Origin":  origin, "Host": host, "Port": port, "Listen": f.listen, "Status": f.status,
	})
	if err != nil {
		return f, err
	}
	f.conf = filepath.Join(r.home.Dir(), conf.Name())
	return f, os.WriteFile(f.conf, text.Bytes(), 0o644)
}

// startProxy starts a proxy, which starts processes of its own.
func (r *Running) startProxy(ctx context.Context, c stack.Command) error {
	if err := r.launch(ctx, RoleProxy, c); err != nil {
		return err
	}
	r.URL = "http://" + c.Addr
	release, err := guard(r.procs[RoleProxy].Pid())
	if err != nil {
		return err
	}
	r.releases = append(r.releases, release)
	return nil
}

func startNginx(ctx context.Context, l *Launcher, r *Running) error {
	program, err := findProgram("nginx")
	if err != nil {
		return err
	}
	f, err := r.behind(ctx, l, nginxConf)
	if err != nil {
		return err
	}
	// nginx counts requests for its status, too.
	var asked atomic.Int64
	r.tiers = func(ctx context.Context) (map[string]int64, error) {
		var requests int64
		err := get(ctx, f.status, "/status", func(res *http.Response) (err error) {
			requests, err = nginxRequests(res)
			requests -= asked.Add(1)
			return err
		})
		if err != nil {
			return nil, err
		}
		behind, err := r.counters(ctx)
		if err != nil {
			return nil, err
		}
		return map[string]int64{"proxy": max(0, requests-behind["origin"]), "origin": behind["origin"]}, nil
	}
	return r.startProxy(ctx, stack.Command{
		Path: program, Args: []string{"-e", "stderr", "-p", r.home.Dir(), "-c", f.conf}, Addr: f.listen,
		Ready: func(ctx context.Context) error { _, err := r.tiers(ctx); return err },
	})
}

// nginxRequests reads the third number of the third line of stub_status: all requests since the start.
func nginxRequests(res *http.Response) (int64, error) {
	lines := bufio.NewScanner(res.Body)
	for range 3 {
		lines.Scan()
	}
	var accepted, handled, requests int64
	if _, err := fmt.Sscan(lines.Text(), &accepted, &handled, &requests); err != nil {
		return 0, fmt.Errorf("read the status of nginx: %w", err)
	}
	return requests, nil
}

func startVarnish(ctx context.Context, l *Launcher, r *Running) error {
	program, err := findProgram("varnishd")
	if err != nil {
		return err
	}
	stat, err := findProgram("varnishstat")
	if err != nil {
		return err
	}
	f, err := r.behind(ctx, l, varnishConf)
	if err != nil {
		return err
	}
	dir := filepath.Join(r.home.Dir(), "varnish")
	r.tiers = func(ctx context.Context) (map[string]int64, error) { return settledTiers(ctx, stat, dir) }
	return r.startProxy(ctx, stack.Command{
		Path: program, Addr: f.listen,
		Args: []string{"-F", "-j", "none", "-T", "none", "-n", dir, "-a", f.listen, "-f", f.conf,
			"-s", fmt.Sprintf("malloc,%d", r.settings.LocalBytes)},
		Ready: func(ctx context.Context) error { return probe(ctx, f.listen, "/ready") },
	})
}

// A thread of Varnish hands its counters over when its connection has been idle for 50 ms (timeout_linger), which under load
// it never is.
const (
	lingerPause = 100 * time.Millisecond
	lingerTries = 20
)

// settledTiers asks Varnish until it says the same twice. While requests keep coming, what it returns lags.
func settledTiers(ctx context.Context, program, dir string) (tiers map[string]int64, err error) {
	for range lingerTries {
		before := tiers
		if tiers, err = varnishTiers(ctx, program, dir); err != nil || maps.Equal(before, tiers) {
			return tiers, err
		}
		select {
		case <-time.After(lingerPause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return tiers, nil
}

// varnishTiers asks Varnish for its counters. A hit in grace is one, whatever is fetched behind it.
func varnishTiers(ctx context.Context, program, dir string) (map[string]int64, error) {
	cmd := exec.CommandContext(ctx, program, "-1", "-j", "-n", dir,
		"-f", "MAIN.cache_hit", "-f", "MAIN.cache_miss", "-f", "MAIN.s_pass")
	var complaints strings.Builder
	cmd.Stderr = &complaints
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("varnishstat: %w: %s", err, complaints.String())
	}
	var said struct {
		Counters map[string]struct{ Value int64 }
	}
	if err := json.Unmarshal(text, &said); err != nil {
		return nil, fmt.Errorf("varnishstat: %w", err)
	}
	c := said.Counters
	return map[string]int64{
		"proxy":  c["MAIN.cache_hit"].Value,
		"origin": c["MAIN.cache_miss"].Value + c["MAIN.s_pass"].Value,
	}, nil
}
