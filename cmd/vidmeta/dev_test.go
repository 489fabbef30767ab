package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
)

// startDev starts dev as a process of its own on free ports, and returns it with its output and where it writes its
// environment. It is killed at the test's end, if it still runs.
func startDev(t *testing.T, args ...string) (cmd *exec.Cmd, out *buffer, envFile string) {
	t.Helper()
	dir := t.TempDir()
	envFile = filepath.Join(dir, "env")
	args = append([]string{"dev", "--flavor", "mariadb", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0",
		"--videos", "50", "--dir", filepath.Join(dir, "data"), "--env-file", envFile}, args...)
	cmd, out = exec.Command(os.Args[0], args...), &buffer{}
	cmd.Env = append(os.Environ(), asProgram+"=1")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // most often it has ended long ago
		if t.Failed() {
			t.Logf("dev said:\n%s", out)
		}
	})
	return cmd, out, envFile
}

// sourced returns the variables of an environment file as a shell reads them.
func sourced(t *testing.T, envFile string) map[string]string {
	t.Helper()
	text, err := exec.Command("sh", "-c", "set -a; . "+envFile+"; env").Output()
	if err != nil {
		t.Fatalf("source %s: %v", envFile, err)
	}
	vars := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			vars[name] = value
		}
	}
	return vars
}

// pids returns the process ids by name.
func pids(t *testing.T, vars map[string]string) map[string]int {
	t.Helper()
	all := make(map[string]int)
	for pair := range strings.SplitSeq(vars["VIDMETA_PIDS"], ",") {
		name, text, _ := strings.Cut(pair, ":")
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("VIDMETA_PIDS=%s: %v", vars["VIDMETA_PIDS"], err)
		}
		all[name] = pid
	}
	return all
}

func waitEnvFile(t *testing.T, cmd *exec.Cmd, envFile string) {
	t.Helper()
	stacktest.WaitFor(t, 2*time.Minute, func() error {
		if running(cmd.Process.Pid) != nil {
			t.Fatal("dev has ended")
		}
		_, err := os.Stat(envFile)
		return err
	})
}

// running returns an error if no process of that id runs; one that has ended and was not waited for does not run.
func running(pid int) error {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return err
	}
	if _, state, ok := strings.Cut(string(stat), ") "); ok && strings.HasPrefix(state, "Z") {
		return errors.New("it has ended")
	}
	return nil
}

func waitGone(t *testing.T, pids map[string]int) {
	t.Helper()
	stacktest.WaitFor(t, patience, func() error {
		for name, pid := range pids {
			if running(pid) == nil {
				return fmt.Errorf("%s (pid %d) still runs", name, pid)
			}
		}
		return nil
	})
}

func TestDev(t *testing.T) {
	cmd, out, envFile := startDev(t, "--nodes", "2", "--sidecars", "1")
	waitEnvFile(t, cmd, envFile)
	vars := sourced(t, envFile)
	nodes := strings.Split(vars["VIDMETA_NODES"], ",")
	if len(nodes) != 2 || nodes[0] != vars["VIDMETA_LISTEN"] || len(strings.Split(vars["VIDMETA_REDIS"], ",")) != 6 {
		t.Fatalf("environment: %v", vars)
	}
	before := pids(t, vars)

	for _, admin := range strings.Split(vars["VIDMETA_NODE_ADMINS"]+","+vars["VIDMETA_SIDECAR_ADMINS"], ",") {
		waitServed(t, admin, "/readyz", http.StatusOK, "")
	}
	for _, node := range nodes {
		waitServed(t, node, "/v1/videos/50", http.StatusOK, `"id":50,`)
		waitServed(t, node, "/v1/videos/51", http.StatusNotFound, "")
	}

	// What it tells one to try works as it stands there.
	line := regexp.MustCompile(`(?m)^ *(mariadb -h .*)$`).FindString(out.String())
	if text, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Errorf("%s: %v: %s", line, err, text)
	}
	for _, node := range nodes {
		waitServed(t, node, "/v1/videos/1", http.StatusOK, `!",`)
	}
	for _, curl := range regexp.MustCompile(`(?m)^ *curl .*$`).FindAllString(out.String(), -1) {
		path := regexp.MustCompile(`/v1/[^' ]*`).FindString(curl)
		waitServed(t, nodes[0], path, http.StatusOK, `"title"`)
	}
	mustRun(t, "doctor", "--mysql", "'"+vars["VIDMETA_MYSQL"]+"'", "--redis", vars["VIDMETA_REDIS"]) // quoted, as docker would

	// What is killed comes back, on the same address.
	for _, name := range []string{"node-2", "sidecar-1"} {
		if err := syscall.Kill(before[name], syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	stacktest.WaitFor(t, patience, func() error {
		now := pids(t, sourced(t, envFile))
		for name, pid := range before {
			if restarted := now[name] != pid; restarted != (name == "node-2" || name == "sidecar-1") {
				return fmt.Errorf("%s had pid %d and has %d", name, pid, now[name])
			}
		}
		return nil
	})
	waitServed(t, nodes[1], "/v1/videos/50", http.StatusOK, `"id":50,`)

	after := pids(t, sourced(t, envFile))
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("dev: %v", err)
	}
	waitGone(t, after)
	if _, err := os.Stat(envFile); err == nil {
		t.Error("the environment file is still there")
	}
}

// TestDevServersAlone starts dev without nodes and sidecars, and kills it the hard way.
func TestDevServersAlone(t *testing.T) {
	cmd, _, envFile := startDev(t, "--nodes", "0", "--sidecars", "0", "--redis-nodes", "1")
	waitEnvFile(t, cmd, envFile)
	vars := sourced(t, envFile)
	var n int
	if err := openDB(t, vars["VIDMETA_MYSQL"]).QueryRow("SELECT COUNT(*) FROM videos").Scan(&n); err != nil || n != 50 {
		t.Errorf("%d videos, %v; want 50", n, err)
	}
	if vars["VIDMETA_NODES"] != "" || strings.Contains(vars["VIDMETA_REDIS"], ",") {
		t.Errorf("environment: %v", vars)
	}
	all := pids(t, vars)
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	waitGone(t, all)
}

func TestDevPortTaken(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	err = run(t.Context(), []string{"dev", "--flavor", "mariadb", "--listen", ln.Addr().String(), "--dir", t.TempDir()}, &buffer{}, &buffer{})
	if err == nil || !strings.Contains(err.Error(), "--listen") || !strings.Contains(err.Error(), ln.Addr().String()) {
		t.Errorf("dev: %v", err)
	}
}

func TestConsecutive(t *testing.T) {
	got, err := consecutive("--listen", "127.0.0.1:0", 2)
	if err != nil || strings.Join(got, " ") != "127.0.0.1:0 127.0.0.1:0" {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := consecutive("--listen", "127.0.0.1:http", 1); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("a port by name: %v", err)
	}
	if _, err := consecutive("--listen", "127.0.0.1:65535", 2); err == nil {
		t.Error("a port above 65535")
	}
	next := 41000
	p := plan{nodes: []string{"0.0.0.0:0", "127.0.0.1:8080"}, sidecarAdmins: []string{"127.0.0.1:0"}}
	if err := p.settle(func() (string, error) { next++; return fmt.Sprintf("127.0.0.1:%d", next), nil }); err != nil {
		t.Fatal(err)
	}
	if p.nodes[0] != "0.0.0.0:41001" || p.nodes[1] != "127.0.0.1:8080" || p.sidecarAdmins[0] != "127.0.0.1:41002" {
		t.Errorf("%+v", p)
	}
	if got := callable("0.0.0.0:41001"); got != "127.0.0.1:41001" {
		t.Error(got)
	}
}
