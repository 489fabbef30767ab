// Package api is the HTTP face of the service: it turns requests into reads and answers into standard HTTP, and passes
// the bytes of the documents through untouched.
package api

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/schema"
)

// Reader answers the reads of the requests; the chain of tiers is one. All methods are safe for concurrent use, heed
// the context's end, and hand out bodies that nobody writes to. With an error, the Answer holds at most a Trace.
type Reader interface {
	// Get reads the document of that number. A document that does not exist is an answer, not an error.
	Get(ctx context.Context, id schema.ID, o schema.ReadOptions) (schema.Answer, error)
	// GetMany reads many at once: one result per id, in the order of ids, which may repeat.
	GetMany(ctx context.Context, ids []schema.ID, o schema.ReadOptions) []schema.Result
	// GetByPublicID reads the document that carries the public id.
	GetByPublicID(ctx context.Context, publicID string, o schema.ReadOptions) (schema.Answer, error)
}

// Defaults of Config.
const (
	DefaultMaxAge               = 2 * time.Second
	DefaultStaleWhileRevalidate = 30 * time.Second
	DefaultStaleIfError         = time.Hour
	DefaultTimeout              = 2 * time.Second
	DefaultMaxBatchGet          = 100
	DefaultMaxBatchPost         = 1000
	DefaultMaxBody              = 64 << 10
	DefaultDrainTimeout         = 10 * time.Second
)

// The limits of the HTTP server that no operator has had a reason to change.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeSlack        = 30 * time.Second // for the client to take the answer, on top of the request's own time
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10 // a hundred ids of twenty digits need two
)

// Config says how the service is offered over HTTP. The zero value is invalid: Reader is required.
type Config struct {
	// Reader answers the reads. Required.
	Reader Reader

	// MaxAge is how old an answer may be and still count as fresh; it is announced downstream in Cache-Control, and
	// a request may ask for less but not for more. Sent in whole seconds, rounded down. Zero means DefaultMaxAge.
	MaxAge time.Duration
	// StaleWhileRevalidate is announced in Cache-Control. Zero means the default, a negative value leaves it out.
	StaleWhileRevalidate time.Duration
	// StaleIfError is announced in Cache-Control. Zero means the default, a negative value leaves it out.
	StaleIfError time.Duration

	// Timeout bounds one request from its first byte of handling to its answer. Zero means DefaultTimeout.
	Timeout time.Duration
	// MaxBatchGet is how many ids a GET may ask for. Zero means DefaultMaxBatchGet.
	MaxBatchGet int
	// MaxBatchPost is how many ids a POST may ask for. Zero means DefaultMaxBatchPost.
	MaxBatchPost int
	// MaxBody is the longest body of a POST in bytes. Zero means DefaultMaxBody, or 64 bytes for each id of
	// MaxBatchPost if that is more.
	MaxBody int64

	// DrainDelay is how long Run goes on serving after its context has ended and Ready has begun to fail, so that
	// load balancers can notice. Zero means not at all.
	DrainDelay time.Duration
	// DrainTimeout is how long Run waits for the requests under way before it cuts them off. Zero means
	// DefaultDrainTimeout.
	DrainTimeout time.Duration

	// Registerer takes the metrics. Nil means that nobody looks at them.
	Registerer prometheus.Registerer
	// Logger takes what an operator must know; requests that succeed are not logged. Nil means slog.Default().
	Logger *slog.Logger
}

func (c *Config) setDefaults() {
	orDuration(&c.MaxAge, DefaultMaxAge)
	orDuration(&c.StaleWhileRevalidate, DefaultStaleWhileRevalidate)
	orDuration(&c.StaleIfError, DefaultStaleIfError)
	orDuration(&c.Timeout, DefaultTimeout)
	orDuration(&c.DrainTimeout, DefaultDrainTimeout)
	if c.MaxBatchGet == 0 {
		c.MaxBatchGet = DefaultMaxBatchGet
	}
	if c.MaxBatchPost == 0 {
		c.MaxBatchPost = DefaultMaxBatchPost
	}
	if c.MaxBody == 0 {
		c.MaxBody = max(DefaultMaxBody, 64*int64(c.MaxBatchPost))
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
}

func orDuration(d *time.Duration, otherwise time.Duration) {
	if *d == 0 {
		*d = otherwise
	}
}

// validate names the first field that makes no sense; it is called after setDefaults.
func (c *Config) validate() error {
	switch {
	case c.Reader == nil:
		return errors.New("api: Config.Reader is required")
	case c.MaxAge < 0:
		return fmt.Errorf("api: Config.MaxAge is negative: %v", c.MaxAge)
	case c.Timeout < 0:
		return fmt.Errorf("api: Config.Timeout is negative: %v", c.Timeout)
	case c.MaxBatchGet < 0:
		return fmt.Errorf("api: Config.MaxBatchGet is negative: %d", c.MaxBatchGet)
	case c.MaxBatchPost < 0:
		return fmt.Errorf("api: Config.MaxBatchPost is negative: %d", c.MaxBatchPost)
	case c.MaxBody < 0:
		return fmt.Errorf("api: Config.MaxBody is negative: %d", c.MaxBody)
	case c.DrainDelay < 0:
		return fmt.Errorf("api: Config.DrainDelay is negative: %v", c.DrainDelay)
	case c.DrainTimeout < 0:
		return fmt.Errorf("api: Config.DrainTimeout is negative: %v", c.DrainTimeout)
	}
	return nil
}

// Server serves the public routes.
type Server struct {
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	handler http.Handler
	openapi page
	docs    page

	freshness []string  // the value of Cache-Control, shared by all answers
	buffers   sync.Pool // of *[]byte, for batches

	serving  atomic.Bool // Run has begun
	draining atomic.Bool // Run's context has ended
}

// New checks the configuration and builds the routes. It starts nothing.
func New(cfg Config) (*Server, error) {
	cfg.setDefaults()
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	m, err := newMetrics(cfg.Registerer)
	if err != nil {
		return nil, fmt.Errorf("api: register metrics: %w", err)
	}
	s := &Server{
		cfg:       cfg,
		log:       cfg.Logger,
		metrics:   m,
		freshness: []string{freshness(cfg)},
		buffers:   sync.Pool{New: func() any { return new([]byte) }},
	}
	if s.openapi, s.docs, err = newPages(); err != nil {
		return nil, fmt.Errorf("api: render the documentation: %w", err)
	}
	s.handler = newRouter(s)
	return s, nil
}

// Handler returns the routes, for a server of the caller's own.
func (s *Server) Handler() http.Handler { return s.handler }

// Ready reports whether requests should be sent here: from the start of Run to the end of its context. It has the
// shape of a Check.
func (s *Server) Ready(context.Context) error {
	switch {
	case s.draining.Load():
		return errors.New("draining")
	case !s.serving.Load():
		return errors.New("not serving yet")
	}
	return nil
}

// Run serves on ln until ctx ends. Then Ready fails; after DrainDelay ln is closed, and Run waits up to DrainTimeout
// for the requests under way, which do not notice. It returns nil once all are answered. Call it once.
func (s *Server) Run(ctx context.Context, ln net.Listener) error {
	s.serving.Store(true)
	return serve(ctx, s.newHTTPServer(), ln, drain{
		begin:   func() { s.draining.Store(true) },
		delay:   s.cfg.DrainDelay,
		timeout: s.cfg.DrainTimeout,
	})
}

func (s *Server) newHTTPServer() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      s.cfg.Timeout + writeSlack,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}
