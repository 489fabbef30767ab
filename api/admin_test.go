package api

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func newTestAdmin(t *testing.T, cfg AdminConfig) *Admin {
	t.Helper()
	a, err := NewAdmin(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func ask(a *Admin, method, target string, fields ...string) *http.Response {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "127.0.0.1:9090"
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		if name == "Host" {
			r.Host = value
		}
		r.Header.Set(name, value)
	}
	rec := httptest.NewRecorder()
	a.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func TestReadyz(t *testing.T) {
	var sick error
	a := newTestAdmin(t, AdminConfig{Checks: []Check{
		{Name: "well", Func: func(context.Context) error { return nil }},
		{Name: "moody", Func: func(context.Context) error { return sick }},
	}})
	if res := ask(a, "GET", "/livez"); res.StatusCode != 200 || bodyOf(t, res) != "ok\n" {
		t.Errorf("livez: %d", res.StatusCode)
	}
	for _, sick = range []error{nil, errors.New("headache")} {
		res := ask(a, "GET", "/readyz")
		var got readiness
		if err := json.Unmarshal([]byte(bodyOf(t, res)), &got); err != nil {
			t.Fatal(err)
		}
		wantStatus, wantError := 200, ""
		if sick != nil {
			wantStatus, wantError = 503, sick.Error()
		}
		if res.StatusCode != wantStatus || got.Ready != (sick == nil) || len(got.Checks) != 2 ||
			got.Checks[0].Name != "well" || !got.Checks[0].OK ||
			got.Checks[1].Name != "moody" || got.Checks[1].OK != (sick == nil) || got.Checks[1].Error != wantError {
			t.Errorf("%d %+v", res.StatusCode, got)
		}
	}
	if res := ask(newTestAdmin(t, AdminConfig{}), "GET", "/readyz"); res.StatusCode != 200 {
		t.Errorf("without checks: %d", res.StatusCode)
	}
}

func TestChecksRunAtOnceAndAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		begin := time.Now()
		got := runChecks(t.Context(), []Check{
			{Name: "a", Func: slow}, {Name: "b", Func: slow},
			{Name: "c", Func: func(context.Context) error { panic("oops") }},
		}, time.Second)
		if d := time.Since(begin); d != time.Second || got.Ready || got.Checks[1].MS != 1000 || got.Checks[2].Error != "panic: oops" {
			t.Errorf("after %v: %+v", d, got)
		}
	})
}

func TestAdminMetricsAndProfiles(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, func(c *Config) { c.Registerer = reg })
	w.get("/v1/videos/42")
	a := newTestAdmin(t, AdminConfig{Gatherer: reg, Routes: map[string]http.Handler{
		"GET /v1/inspect/{id}": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.PathValue("id")) }),
		"POST /v1/purge":       http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}),
	}})
	if body := bodyOf(t, ask(a, "GET", "/metrics")); !strings.Contains(body, `vidmeta_http_requests_total{class="2xx",route="video"} 1`) {
		t.Error(body)
	}
	for _, target := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
		if res := ask(a, "GET", target); res.StatusCode != 200 {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	if body := bodyOf(t, ask(a, "GET", "/v1/inspect/7")); body != "7" {
		t.Error(body)
	}
	if res := ask(a, "POST", "/v1/purge"); res.StatusCode != 200 {
		t.Errorf("purge: %d", res.StatusCode)
	}
	// Not for web pages.
	if res := ask(a, "POST", "/v1/purge", "Sec-Fetch-Site: cross-site"); res.StatusCode != 403 {
		t.Errorf("purge by a page: %d", res.StatusCode)
	}
	if res := ask(a, "GET", "/metrics", "Host: evil.example"); res.StatusCode != 403 {
		t.Errorf("metrics by a rebound name: %d", res.StatusCode)
	}
	for _, host := range []string{"localhost", "localhost:1", "[::1]:9090", "::1", "127.0.0.1"} {
		if res := ask(a, "GET", "/livez", "Host: "+host); res.StatusCode != 200 {
			t.Errorf("%s: %d", host, res.StatusCode)
		}
	}
}

func TestAdminToken(t *testing.T) {
	a := newTestAdmin(t, AdminConfig{Token: "s3cret"})
	for _, target := range []string{"/livez", "/readyz", "/metrics", "/debug/pprof/", "/nowhere"} {
		for _, bad := range []string{"X: y", "Authorization: Bearer", "Authorization: Bearer s3cre", "Authorization: Bearer s3cret2", "Authorization: Basic s3cret", "Authorization: s3cret"} {
			if res := ask(a, "GET", target, bad); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %q: %d", target, bad, res.StatusCode)
			}
		}
	}
	if res := ask(a, "GET", "/livez", "Authorization: bearer s3cret", "Host: admin.example"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

// openListener says that others can reach it.
type openListener struct{ net.Listener }

func (openListener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 9090} }

func TestAdminRefusesToBeOpen(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := newTestAdmin(t, AdminConfig{}).Run(t.Context(), openListener{ln}); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("%v", err)
	}
	if _, err := ln.Accept(); err == nil {
		t.Error("the listener was left open")
	}
}

func TestAdminRun(t *testing.T) {
	url := newTestServer(t, newTestAdmin(t, AdminConfig{}))
	res, err := http.Get(url + "/livez")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAdminConfigNamesTheField(t *testing.T) {
	ok := func(context.Context) error { return nil }
	nop := http.NotFoundHandler()
	for field, cfg := range map[string]AdminConfig{
		"CheckTimeout":  {CheckTimeout: -1},
		"Token":         {Token: "a b"},
		"Checks[0]":     {Checks: []Check{{Func: ok}}},
		"Checks[0] (x)": {Checks: []Check{{Name: "x"}}},
		"Checks":        {Checks: []Check{{Name: "x", Func: ok}, {Name: "x", Func: ok}}},
		"Routes":        {Routes: map[string]http.Handler{"GET /livez": nop}},
	} {
		if _, err := NewAdmin(cfg); err == nil || !strings.Contains(err.Error(), "AdminConfig."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}
