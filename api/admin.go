package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"vidmeta/schema"
)

// DefaultCheckTimeout is the default of AdminConfig.CheckTimeout.
const DefaultCheckTimeout = time.Second

// adminDrainTimeout is short: nobody's work hangs on an operator's question.
const adminDrainTimeout = 2 * time.Second

// AdminConfig says what the admin listener offers. The zero value is valid: always ready, no metrics of one's own.
type AdminConfig struct {
	// Checks decide what /readyz says. None means always ready.
	Checks []Check
	// CheckTimeout bounds all checks of one request, which run at once. Zero means DefaultCheckTimeout.
	CheckTimeout time.Duration
	// Gatherer gives the metrics for /metrics. Nil means prometheus.DefaultGatherer.
	Gatherer prometheus.Gatherer
	// Token must come with every request as "Authorization: Bearer <token>" if it is set. Run refuses a listener
	// that is not on a loopback address without one.
	Token string
	// Purge drops documents from the caches that this program can reach, for POST /v1/purge. Nil: there is no such route.
	Purge func(ctx context.Context, ids []schema.ID) error
	// Routes are further handlers by their http.ServeMux pattern, e.g. "GET /v1/inspect/{id}". They must not
	// collide with the built-in ones: /livez, /readyz, /metrics, /debug/pprof/, /v1/purge.
	Routes map[string]http.Handler
	// Logger takes what goes wrong. Nil means slog.Default().
	Logger *slog.Logger
}

func (c *AdminConfig) setDefaults() {
	orDuration(&c.CheckTimeout, DefaultCheckTimeout)
	if c.Gatherer == nil {
		c.Gatherer = prometheus.DefaultGatherer
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func (c *AdminConfig) validate() error {
	switch {
	case c.CheckTimeout < 0:
		return fmt.Errorf("api: AdminConfig.CheckTimeout is negative: %v", c.CheckTimeout)
	case strings.ContainsAny(c.Token, " \t\r\n"):
		return errors.New("api: AdminConfig.Token holds whitespace")
	}
	return validateChecks(c.Checks)
}

// Admin serves operators and their machines: health, metrics, profiles, and what the program adds.
type Admin struct {
	cfg     AdminConfig
	handler http.Handler
}

// NewAdmin checks the configuration and builds the routes. It starts nothing.
func NewAdmin(cfg AdminConfig) (*Admin, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	a := &Admin{cfg: cfg}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", livez)
	mux.HandleFunc("GET /readyz", a.readyz)
	mux.Handle("GET /metrics", promhttp.HandlerFor(cfg.Gatherer, promhttp.HandlerOpts{
		ErrorLog:      slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
		ErrorHandling: promhttp.ContinueOnError,
	}))
	mux.HandleFunc("/debug/pprof/", pprof.Index)
	mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	if cfg.Purge != nil {
		mux.HandleFunc("POST /v1/purge", a.purge)
	}
	for pattern, h := range cfg.Routes {
		if err := handle(mux, pattern, h); err != nil {
			return nil, fmt.Errorf("api: AdminConfig.Routes: %w", err)
		}
	}
	// Nothing here is for web pages: neither one that posts to a loopback port, nor one that has its own name
	// resolve to it.
	a.handler = a.guard(http.NewCrossOriginProtection().Handler(mux))
	return a, nil
}

// handle makes an error of the panic with which ServeMux refuses a pattern.
func handle(mux *http.ServeMux, pattern string, h http.Handler) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%q: %v", pattern, p)
		}
	}()
	mux.Handle(pattern, h)
	return nil
}

// Handler returns the routes, guarded by the token if there is one.
func (a *Admin) Handler() http.Handler { return a.handler }

// guard lets through who has the token, or without one, who calls this machine by an address or by localhost.
func (a *Admin) guard(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte(a.cfg.Token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["X-Content-Type-Options"] = valueNosniff
		if a.cfg.Token == "" {
			if !namesAddress(r.Host) {
				http.Error(w, "call the admin listener by its address or by localhost", http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
			return
		}
		scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		got := sha256.Sum256([]byte(token))
		if !strings.EqualFold(scheme, "Bearer") || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", `Bearer realm="vidmeta admin"`)
			http.Error(w, "a bearer token is required", http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// namesAddress reports whether a Host field holds an IP address or localhost, with or without a port.
func namesAddress(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	_, err := netip.ParseAddr(host)
	return err == nil
}

// Run serves on ln until ctx ends. It refuses to start on an address that others can reach, if there is no token.
// End its context after that of the public server: /readyz must be there to say that the other drains.
func (a *Admin) Run(ctx context.Context, ln net.Listener) error {
	if a.cfg.Token == "" && !isLoopback(ln.Addr()) {
		return errors.Join(
			fmt.Errorf("api: the admin listener on %s can be reached from outside and has no token", ln.Addr()),
			ln.Close())
	}
	srv := &http.Server{
		Handler:           a.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout, // and no WriteTimeout: a profile takes as long as was asked for
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(a.cfg.Logger.Handler(), slog.LevelWarn),
	}
	return serve(ctx, srv, ln, drain{timeout: adminDrainTimeout, cut: true})
}

// isLoopback reports whether only this machine can reach the address. Unix sockets have their file's rights.
func isLoopback(addr net.Addr) bool {
	switch addr := addr.(type) {
	case *net.TCPAddr:
		return addr.IP.IsLoopback()
	case *net.UnixAddr:
		return true
	}
	return false
}
