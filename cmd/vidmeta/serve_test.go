package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"vidmeta/internal/stack/stacktest"
)

// TestServeAndSidecar follows a document through its life: both programs against real servers.
func TestServeAndSidecar(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			mustRun(t, "seed", "--mysql", dsn, "--videos", "10")
			db := openDB(t, dsn)
			shared := []string{"--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "e2e-" + string(flavor), "--admin-listen", "127.0.0.1:0"}
			sidecar := startProgram(t, append([]string{"sidecar"}, shared...)...)
			node := startProgram(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--local-bytes", "8MiB"}, shared...)...)
			listen, admin := node.addrs(t)
			_, sidecarAdmin := sidecar.addrs(t)
			waitReady(t, sidecarAdmin)
			waitReady(t, admin)

			waitServed(t, listen, "/v1/videos/1", http.StatusOK, `"id":1,`)
			mustExec(t, db, "UPDATE videos SET title = 'changed by plain SQL' WHERE id = 1")
			waitServed(t, listen, "/v1/videos/1", http.StatusOK, `"title":"changed by plain SQL"`)
			mustExec(t, db, "INSERT INTO video_tags VALUES (1, 'a tag from elsewhere')")
			waitServed(t, listen, "/v1/videos/1", http.StatusOK, "a tag from elsewhere")
			mustExec(t, db, "DELETE FROM videos WHERE id = 1")
			waitServed(t, listen, "/v1/videos/1", http.StatusNotFound, "")
			mustExec(t, db, "INSERT INTO videos (id, title) VALUES (1, 'back again')")
			waitServed(t, listen, "/v1/videos/1", http.StatusOK, "back again")

			waitServed(t, admin, "/metrics", http.StatusOK, "vidmeta_watermark_timestamp_seconds")
			waitServed(t, admin, "/metrics", http.StatusOK, "go_build_info")
			waitServed(t, sidecarAdmin, "/metrics", http.StatusOK, "vidmeta_sidecar_batches_total")
			node.stop(t)
			sidecar.stop(t)
		})
	}
}

// TestStartWithoutServers: both programs start, say that they are not ready, answer with an error, and stop.
func TestStartWithoutServers(t *testing.T) {
	away := []string{"--mysql", "u:p@tcp(127.0.0.1:1)/films", "--redis", "127.0.0.1:1", "--admin-listen", "127.0.0.1:0"}
	sidecar := startProgram(t, append([]string{"sidecar"}, away...)...)
	node := startProgram(t, append([]string{"serve", "--listen", "127.0.0.1:0"}, away...)...)
	listen, admin := node.addrs(t)
	_, sidecarAdmin := sidecar.addrs(t)
	waitServed(t, admin, "/livez", http.StatusOK, "ok")
	waitServed(t, admin, "/readyz", http.StatusServiceUnavailable, `"mysql"`)
	waitServed(t, sidecarAdmin, "/readyz", http.StatusServiceUnavailable, "MySQL has not been reached yet")
	waitServed(t, listen, "/v1/videos/1", http.StatusServiceUnavailable, "")
	node.stop(t)
	sidecar.stop(t)
}

func TestOnce(t *testing.T) {
	calls, result := 0, errors.New("not yet")
	check := once(func(context.Context) error { calls++; return result })
	for i, want := range []string{"not yet", "<nil>", "<nil>"} {
		if got := fmt.Sprint(check(t.Context())); got != want {
			t.Errorf("call %d: %s, want %s", i, got, want)
		}
		if i == 0 {
			result = nil
		} else {
			result = errors.New("gone again")
		}
	}
	if calls != 2 {
		t.Errorf("checked %d times, want 2", calls)
	}
}
