package api

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"vidmeta/schema"
)

// fakeReader is a Reader with a map for a database. It can fail, panic and wait on demand.
type fakeReader struct {
	mu      sync.Mutex
	answers map[schema.ID]schema.Answer
	aliases map[string]schema.ID
	errs    map[schema.ID]error // reads of that id end so
	traces  map[schema.ID]schema.Trace
	gates   map[schema.ID]*gate
	asked   schema.ReadOptions // of the last read
}

// gate holds a read: it closes entered, then waits for open or for its context.
type gate struct{ entered, open chan struct{} }

func newGate() *gate { return &gate{entered: make(chan struct{}), open: make(chan struct{})} }

func newFake() *fakeReader {
	return &fakeReader{
		answers: make(map[schema.ID]schema.Answer),
		aliases: make(map[string]schema.ID),
		errs:    make(map[schema.ID]error),
		traces:  make(map[schema.ID]schema.Trace),
		gates:   make(map[schema.ID]*gate),
	}
}

const (
	testID       schema.ID      = 42
	testPublicID                = "dQw4w9WgXcQ"
	testVersion  schema.Version = 1_795_163_400_123_456 // 2026-11-20T08:30:00.123456Z
	testBody                    = `{"id":42,"public_id":"dQw4w9WgXcQ","title":"A \"film\" <é>","version":1795163400123456}`
)

// localHit is the trace of an answer from memory.
var localHit = schema.Trace{schema.TierLocal: {Outcome: schema.Hit, TTL: 12*time.Second + time.Millisecond}}

// put stores a document whose answers are as old as age at the time of each request.
func (f *fakeReader) put(id schema.ID, publicID string, v schema.Version, body string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[id] = schema.Answer{Document: schema.Document{ID: id, Version: v, Body: []byte(body)}, Trace: localHit}
	f.aliases[publicID] = id
}

func (f *fakeReader) change(id schema.ID, change func(*schema.Answer)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := f.answers[id]
	change(&a)
	f.answers[id] = a
}

func (f *fakeReader) fail(id schema.ID, err error, trace schema.Trace) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs[id], f.traces[id] = err, trace
}

func (f *fakeReader) block(id schema.ID) *gate {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := newGate()
	f.gates[id] = g
	return g
}

func (f *fakeReader) options() schema.ReadOptions {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

func (f *fakeReader) Get(ctx context.Context, id schema.ID, o schema.ReadOptions) (schema.Answer, error) {
	f.mu.Lock()
	f.asked = o
	a, ok := f.answers[id]
	err, trace, g := f.errs[id], f.traces[id], f.gates[id]
	f.mu.Unlock()
	if g != nil {
		close(g.entered)
		select {
		case <-g.open:
		case <-ctx.Done():
			return schema.Answer{}, context.Cause(ctx)
		}
	}
	if err == errPanic {
		panic("the fake was told to")
	}
	if err != nil {
		return schema.Answer{Trace: trace}, err
	}
	if !ok {
		a = schema.Answer{Document: schema.Document{ID: id}, Trace: localHit}
	}
	if a.AsOf.IsZero() {
		a.AsOf = o.Now
	}
	return a, nil
}

func (f *fakeReader) GetMany(ctx context.Context, ids []schema.ID, o schema.ReadOptions) []schema.Result {
	results := make([]schema.Result, len(ids))
	for i, id := range ids {
		results[i].Answer, results[i].Err = f.Get(ctx, id, o)
	}
	return results
}

func (f *fakeReader) GetByPublicID(ctx context.Context, publicID string, o schema.ReadOptions) (schema.Answer, error) {
	f.mu.Lock()
	id, ok := f.aliases[publicID]
	f.mu.Unlock()
	if !ok {
		return schema.Answer{AsOf: o.Now}, nil
	}
	return f.Get(ctx, id, o)
}

var errPanic = fmt.Errorf("panic")

// world is a Server over a fake, and what it logs.
type world struct {
	*Server
	fake *fakeReader
	logs *lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newWorld(t testing.TB, change ...func(*Config)) *world {
	t.Helper()
	w := &world{fake: newFake(), logs: new(lockedBuffer)}
	w.fake.put(testID, testPublicID, testVersion, testBody)
	cfg := Config{Reader: w.fake, Logger: slog.New(slog.NewTextHandler(w.logs, nil))}
	for _, c := range change {
		c(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.Server = s
	return w
}

// do sends one request, with header fields given as "Name: value".
func (w *world) do(method, target, body string, fields ...string) *http.Response {
	var r *http.Request
	if body == "" {
		r = httptest.NewRequest(method, target, nil)
	} else {
		r = httptest.NewRequest(method, target, strings.NewReader(body))
	}
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		r.Header.Add(name, value)
	}
	rec := httptest.NewRecorder()
	w.Handler().ServeHTTP(rec, r)
	return rec.Result()
}

func (w *world) get(target string, fields ...string) *http.Response {
	return w.do(http.MethodGet, target, "", fields...)
}

func (w *world) lookup(body string, fields ...string) *http.Response {
	return w.do(http.MethodPost, "/v1/videos/lookup", body, append(fields, "Content-Type: application/json")...)
}

func bodyOf(t testing.TB, res *http.Response) string {
	t.Helper()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
