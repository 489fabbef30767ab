package gauge

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

// Profiles asks a Go program's admin address, host:port, for a profile of its processor time over a duration and then for
// one of its heap, and writes them to PREFIX.cpu.pprof and PREFIX.heap.pprof; and its metrics, if it has any, to
// PREFIX.metrics. It blocks for that long.
func Profiles(ctx context.Context, admin, prefix string, over time.Duration) error {
	seconds := max(1, int(over.Round(time.Second)/time.Second))
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+10*time.Second)
	defer cancel()
	if err := fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", admin, seconds), prefix+".cpu.pprof"); err != nil {
		return err
	}
	if err := fetch(ctx, "http://"+admin+"/debug/pprof/heap", prefix+".heap.pprof"); err != nil {
		return err
	}
	if err := fetch(ctx, "http://"+admin+"/metrics", prefix+".metrics"); err != nil && !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}

var errNotFound = errors.New("not found")

func fetch(ctx context.Context, url, path string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return fmt.Errorf("GET %s: %w", url, errNotFound)
	}
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, answer.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, answer.Body); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}
