package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"
)

// Limits of the HTTP server: those of vidmeta's own.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 32 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	drainTimeout      = 2 * time.Second
)

// Paths of the admin listener.
const (
	countersPath = "/counters"
	profilesPath = "/debug/pprof/"
)

// Serve runs the Go arm that s.Name names until ctx ends, and then returns nil. It blocks. When its admin listener answers,
// it serves. MySQL must be there from the start.
func Serve(ctx context.Context, s Settings) error {
	kind, err := Find(s.Name)
	if err != nil {
		return err
	}
	if kind.handler == nil {
		return fmt.Errorf("arm %s is no Go arm: a Launcher starts it", s.Name)
	}
	if err := s.validate(); err != nil {
		return fmt.Errorf("arm %s: %w", s.Name, err)
	}
	quiet()
	p := &parts{Settings: s, tally: &tally{}}
	defer p.close()
	handler, err := kind.handler(p)
	if err != nil {
		return fmt.Errorf("arm %s: %w", s.Name, err)
	}
	public, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return fmt.Errorf("arm %s: %w", s.Name, err)
	}
	admin, err := net.Listen("tcp", s.Admin)
	if err != nil {
		return errors.Join(fmt.Errorf("arm %s: %w", s.Name, err), public.Close())
	}
	return serve(ctx, map[net.Listener]*http.Server{
		public: {
			Handler: handler, ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout,
			WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		},
		admin: {Handler: adminRoutes(p), ReadHeaderTimeout: readHeaderTimeout},
	})
}

// serve runs the servers until ctx ends or one fails, then drains them and waits for all.
func serve(ctx context.Context, servers map[net.Listener]*http.Server) error {
	ended := make(chan error, len(servers))
	for ln, srv := range servers {
		go func() { ended <- srv.Serve(ln) }()
	}
	var err error
	left := len(servers)
	select {
	case err = <-ended:
		left--
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainTimeout)
	defer cancel()
	for _, srv := range servers {
		if srv.Shutdown(drain) != nil {
			_ = srv.Close() // the run is over: whoever still waits for an answer is cut off
		}
	}
	for range left {
		<-ended // http.ErrServerClosed
	}
	return err
}

func adminRoutes(p *parts) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+countersPath, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(p.tally.tiers()) // whoever asked and left does not want to know
	})
	mux.HandleFunc("POST "+fillPath, func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.Atoi(r.FormValue("n"))
		if err == nil && p.find != nil {
			err = p.ahead.fill(r.Context(), p.store, p.find, n)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
		}
	})
	mux.HandleFunc(profilesPath, pprof.Index)
	mux.HandleFunc(profilesPath+"profile", pprof.Profile)
	mux.HandleFunc(profilesPath+"trace", pprof.Trace)
	mux.HandleFunc(profilesPath+"symbol", pprof.Symbol)
	return mux
}
