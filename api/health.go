package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// Check is one thing that must be well for a program to be ready.
type Check struct {
	// Name stands in the answer of /readyz; it is unique among the checks of one Admin.
	Name string
	// Func returns nil if all is well. It must return soon after ctx ends, which is after AdminConfig.CheckTimeout.
	Func func(ctx context.Context) error
}

// checkResult is what /readyz tells about one check.
type checkResult struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
	MS    int64  `json:"ms"`
}

type readiness struct {
	Ready  bool          `json:"ready"`
	Checks []checkResult `json:"checks"`
}

// runChecks runs all checks at once, each for at most timeout, and returns their results in their order.
func runChecks(ctx context.Context, checks []Check, timeout time.Duration) readiness {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	r := readiness{Ready: true, Checks: make([]checkResult, len(checks))}
	var wg sync.WaitGroup
	for i, c := range checks {
		wg.Go(func() {
			start := time.Now()
			err := runCheck(ctx, c)
			res := checkResult{Name: c.Name, OK: err == nil, MS: time.Since(start).Milliseconds()}
			if err != nil {
				res.Error = err.Error()
			}
			r.Checks[i] = res
		})
	}
	wg.Wait()
	for _, c := range r.Checks {
		r.Ready = r.Ready && c.OK
	}
	return r
}

// runCheck turns a panic of a check into its failure: the question must not kill the program.
func runCheck(ctx context.Context, c Check) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return c.Func(ctx)
}

func validateChecks(checks []Check) error {
	seen := make(map[string]bool)
	for i, c := range checks {
		switch {
		case c.Name == "":
			return fmt.Errorf("api: AdminConfig.Checks[%d] has no Name", i)
		case c.Func == nil:
			return fmt.Errorf("api: AdminConfig.Checks[%d] (%s) has no Func", i, c.Name)
		case seen[c.Name]:
			return errors.New("api: AdminConfig.Checks has two of the name " + c.Name)
		}
		seen[c.Name] = true
	}
	return nil
}

// livez says that the program runs and answers. It asks nobody: a broken dependency is no reason for a restart.
func livez(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header()["Cache-Control"] = valueNoStore
	w.Write([]byte("ok\n"))
}

// readyz says whether requests, or leadership, should come here.
func (a *Admin) readyz(w http.ResponseWriter, r *http.Request) {
	result := runChecks(r.Context(), a.cfg.Checks, a.cfg.CheckTimeout)
	w.Header()["Content-Type"] = valueJSON
	w.Header()["Cache-Control"] = valueNoStore
	if !result.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.Encode(result) // whoever asked and left does not want to know
}
