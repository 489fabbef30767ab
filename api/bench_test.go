package api

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/schema"
)

// constReader answers everything from memory, as the local tier does.
type constReader struct{ answer schema.Answer }

func (r *constReader) Get(_ context.Context, _ schema.ID, o schema.ReadOptions) (schema.Answer, error) {
	a := r.answer
	a.AsOf = o.Now
	return a, nil
}

func (r *constReader) GetByPublicID(ctx context.Context, _ string, o schema.ReadOptions) (schema.Answer, error) {
	return r.Get(ctx, 0, o)
}

func (r *constReader) GetMany(_ context.Context, ids []schema.ID, o schema.ReadOptions) []schema.Result {
	results := make([]schema.Result, len(ids))
	for i := range results {
		results[i].Answer = r.answer
		results[i].AsOf = o.Now
	}
	return results
}

// nullWriter is a ResponseWriter that is used again and again; like a real connection's, its header starts empty.
type nullWriter struct {
	header http.Header
	status int
	n      int
}

func (w *nullWriter) Header() http.Header         { return w.header }
func (w *nullWriter) WriteHeader(status int)      { w.status = status }
func (w *nullWriter) Write(p []byte) (int, error) { w.n += len(p); return len(p), nil }

var body1K = []byte(`{"id":42,"description":"` + string(bytes.Repeat([]byte{'x'}, 1000)) + `"}`)

func newConstServer(tb testing.TB) *Server {
	s, err := New(Config{Registerer: prometheus.NewRegistry(), Reader: &constReader{schema.Answer{
		Document: schema.Document{ID: testID, Version: testVersion, Body: body1K},
		Trace:    localHit,
	}}})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func serveMany(b *testing.B, h http.Handler, r *http.Request, status int) {
	b.Helper()
	b.ReportAllocs()
	w := &nullWriter{header: make(http.Header)}
	for b.Loop() {
		clear(w.header)
		h.ServeHTTP(w, r)
	}
	if w.status != status {
		b.Fatalf("status %d", w.status)
	}
}

// maxHitAllocs is what one hit may allocate: the deadline, the values of the header fields, and their slice.
const maxHitAllocs = 3

func TestHitAllocations(t *testing.T) {
	h := newConstServer(t).Handler()
	r := httptest.NewRequest("GET", "/v1/videos/42", nil)
	w := &nullWriter{header: make(http.Header)}
	n := testing.AllocsPerRun(1000, func() {
		clear(w.header)
		h.ServeHTTP(w, r)
	})
	if n > maxHitAllocs+raceAllocs {
		t.Errorf("a hit allocates %v times, not %d", n, maxHitAllocs)
	}
}

func BenchmarkGetHit(b *testing.B) {
	serveMany(b, newConstServer(b).Handler(), httptest.NewRequest("GET", "/v1/videos/42", nil), 200)
}

func BenchmarkGetHitParallel(b *testing.B) {
	h := newConstServer(b).Handler()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		r := httptest.NewRequest("GET", "/v1/videos/42", nil)
		w := &nullWriter{header: make(http.Header)}
		for pb.Next() {
			clear(w.header)
			h.ServeHTTP(w, r)
		}
	})
}

func BenchmarkGetNotModified(b *testing.B) {
	r := httptest.NewRequest("GET", "/v1/videos/42", nil)
	r.Header.Set("If-None-Match", `"1795163400123456"`)
	serveMany(b, newConstServer(b).Handler(), r, 304)
}

func BenchmarkGetWithCacheControl(b *testing.B) {
	r := httptest.NewRequest("GET", "/v1/videos/42", nil)
	r.Header.Set("Cache-Control", "max-age=1")
	r.Header.Set("Vidmeta-Min-Version", "17")
	serveMany(b, newConstServer(b).Handler(), r, 200)
}

// BenchmarkEchoConstant is what a hit is to be measured by: a handler that returns constant bytes.
func BenchmarkEchoConstant(b *testing.B) {
	e := echo.New()
	e.GET("/v1/videos/:id", func(c echo.Context) error { return c.JSONBlob(200, body1K) })
	serveMany(b, e, httptest.NewRequest("GET", "/v1/videos/42", nil), 200)
}

func BenchmarkGetBatch100(b *testing.B) {
	target := "/v1/videos?ids=1"
	for range 99 {
		target += ",18446744073709551615"
	}
	serveMany(b, newConstServer(b).Handler(), httptest.NewRequest("GET", target, nil), 200)
}

func BenchmarkLookup1000(b *testing.B) {
	body := `{"ids":[1`
	for range 999 {
		body += ",1234567"
	}
	body += "]}"
	reader := bytes.NewReader([]byte(body))
	r := httptest.NewRequest("POST", "/v1/videos/lookup", nil)
	r.Header.Set("Content-Type", "application/json")
	r.Body = readNopCloser{reader}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { reader.Seek(0, 0) })
	s := newConstServer(b).Handler()
	serveMany(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h(w, r); s.ServeHTTP(w, r) }), r, 200)
}

type readNopCloser struct{ *bytes.Reader }

func (readNopCloser) Close() error { return nil }

// BenchmarkNetwork has clients with a connection each ask a real server: for a hit, and what it is to be measured by,
// handlers that send as many bytes and fields but make nothing, of Echo and of net/http alone. Servers differ in nothing else.
func BenchmarkNetwork(b *testing.B) {
	s := newConstServer(b)
	fields := constantFields(b, s)
	constant := func(w http.ResponseWriter) {
		h := w.Header()
		for key, value := range fields {
			h[key] = value
		}
		w.WriteHeader(http.StatusOK)
		w.Write(body1K)
	}
	e := echo.New()
	e.GET("/v1/videos/:id", func(c echo.Context) error {
		constant(c.Response())
		return nil
	})
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/videos/{id}", func(w http.ResponseWriter, r *http.Request) { constant(w) })
	for _, c := range []struct {
		name    string
		handler http.Handler
	}{{"constant-http", mux}, {"constant-echo", e}, {"hit", s.Handler()}} {
		b.Run(c.name, func(b *testing.B) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			srv := s.newHTTPServer()
			srv.Handler = c.handler
			go srv.Serve(ln)
			defer srv.Close()
			b.SetParallelism(8)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				if err := askAgain(ln.Addr().String(), pb.Next); err != nil {
					b.Error(err)
				}
			})
		})
	}
}

// constantFields are those of a hit.
func constantFields(b *testing.B, s *Server) http.Header {
	w := &nullWriter{header: make(http.Header)}
	s.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/v1/videos/42", nil))
	if w.status != http.StatusOK || len(w.header) < 10 {
		b.Fatalf("status %d with %v", w.status, w.header)
	}
	return w.header
}

// askAgain asks for a document on one connection as long as next says, with as little work as possible.
func askAgain(addr string, next func() bool) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	request := []byte("GET /v1/videos/42 HTTP/1.1\r\nHost: localhost\r\n\r\n")
	buf := make([]byte, 8<<10)
	for next() {
		if _, err := conn.Write(request); err != nil {
			return err
		}
		for n, end := 0, -1; end < 0 || n < end+len("\r\n\r\n")+len(body1K); {
			more, err := conn.Read(buf[n:])
			if err != nil {
				return err
			}
			n += more
			end = bytes.Index(buf[:n], []byte("\r\n\r\n"))
		}
	}
	return nil
}

// BenchmarkMetrics is what counting one request costs.
func BenchmarkMetrics(b *testing.B) {
	m, err := newMetrics(nil)
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for b.Loop() {
		m.inFlight.Inc()
		m.inFlight.Dec()
		m.done(routeVideo, 200, start)
	}
}
