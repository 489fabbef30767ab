package main

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"vidmeta/internal/stack/stacktest"
)

// TestRequestsOfANode asks a node whose sidecar does not run for what it holds, and has it dropped.
func TestRequestsOfANode(t *testing.T) {
	dsn := stacktest.Database(t, stacktest.Flavors(t)[0])
	mustRun(t, "migrate", "--mysql", dsn)
	db := openDB(t, dsn)
	mustExec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two')")
	node := startProgram(t, "serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--local-bytes", "8MiB", "--max-age", "1ms",
		"--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "requests")
	listen, admin := node.addrs(t)
	waitServed(t, listen, "/v1/videos/1", http.StatusOK, "one")
	waitServed(t, listen, "/v1/videos/2", http.StatusOK, "two")

	asks := func(id, cacheControl string, status int, text, cacheStatus string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+listen+"/v1/videos/"+id, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Cache-Control", cacheControl)
		resp, body, err := exchange(req)
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("Cache-Status"); resp.StatusCode != status || !strings.Contains(body, text) || !strings.Contains(got, cacheStatus) {
			t.Errorf("%s: %d, Cache-Status %q, %s", cacheControl, resp.StatusCode, got, body)
		}
	}
	mustExec(t, db, "UPDATE videos SET title = 'changed unseen'")
	asks("1", "only-if-cached, max-age=1", http.StatusGatewayTimeout, "not-cached", "detail=not-forwarded")
	asks("1", "only-if-cached, max-stale", http.StatusOK, "one", "detail=served-stale") // and is renewed

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+admin+"/v1/purge", strings.NewReader(`{"ids":[1,2]}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	if resp, body, err := exchange(req); err != nil || resp.StatusCode != http.StatusOK || body != "{\"purged\":2}\n" {
		t.Fatalf("purge: %v, %s", err, body)
	}
	asks("2", "max-stale", http.StatusOK, "changed unseen", "fwd-status=200")
	node.stop(t)
}

func exchange(req *http.Request) (*http.Response, string, error) {
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp, string(text), err
}
