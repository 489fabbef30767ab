package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
)

// asProgram makes the test binary be vidmeta, for tests of what runs as processes of their own.
const asProgram = "VIDMETA_TEST_AS_PROGRAM"

const patience = 30 * time.Second

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	for _, pair := range os.Environ() { // the tests' own settings alone
		if name, _, _ := strings.Cut(pair, "="); strings.HasPrefix(name, "VIDMETA_") && name != "VIDMETA_MYSQLD" {
			_ = os.Unsetenv(name)
		}
	}
	silenceDrivers()
	stacktest.Main(m)
}

// buffer is written by one goroutine and read by others.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// program is a command that runs in this process.
type program struct {
	log    *buffer
	cancel context.CancelFunc
	done   chan error
}

// startProgram runs a command beside the test, and stops it at the test's end.
func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{log: &buffer{}, cancel: cancel, done: make(chan error, 1)}
	go func() { p.done <- run(ctx, append(args, "--log-format", "json"), io.Discard, p.log) }()
	t.Cleanup(func() { p.stop(t) })
	return p
}

// stop ends the program, and fails the test if it does not end, or not well.
func (p *program) stop(t *testing.T) {
	t.Helper()
	p.cancel()
	select {
	case err, first := <-p.done:
		if first {
			close(p.done)
		}
		if err != nil {
			t.Errorf("run: %v\n%s", err, p.log)
		}
	case <-time.After(patience):
		t.Errorf("the program does not end\n%s", p.log)
	}
}

// addrs returns where the program listens, which it logs.
func (p *program) addrs(t *testing.T) (listen, admin string) {
	t.Helper()
	stacktest.WaitFor(t, patience, func() error {
		for line := range strings.Lines(p.log.String()) {
			var entry struct {
				Msg         string
				Listen      string `json:"listen"`
				AdminListen string `json:"admin_listen"`
			}
			if err := json.Unmarshal([]byte(line), &entry); err == nil && entry.Msg == "listening" {
				listen, admin = entry.Listen, entry.AdminListen
				return nil
			}
		}
		return errors.New("not listening yet:\n" + p.log.String())
	})
	return listen, admin
}

func waitReady(t *testing.T, admin string) {
	t.Helper()
	stacktest.WaitFor(t, patience, func() error {
		status, body, err := get("http://" + admin + "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("status %d: %s", status, body)
		}
		return err
	})
}

func get(url string) (status int, body string, err error) {
	resp, err := http.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), err
}

// waitServed waits until a node answers with a status and a text somewhere in the body.
func waitServed(t *testing.T, listen, path string, status int, text string) {
	t.Helper()
	stacktest.WaitFor(t, patience, func() error {
		got, body, err := get("http://" + listen + path)
		if err == nil && (got != status || !strings.Contains(body, text)) {
			err = fmt.Errorf("%s: status %d, want %d with %q: %s", path, got, status, text, body)
		}
		return err
	})
}
