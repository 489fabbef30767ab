package load

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vidmeta/bench/result"
)

// serve runs a server until the test ends.
func serve(t *testing.T, h http.HandlerFunc) Target {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return Target{URL: s.URL}
}

// stalls answers at once but for one moment: the first request that comes after a while stops everybody for another.
func stalls(after, pause time.Duration) http.HandlerFunc {
	var mu sync.Mutex // is held by whoever is answered
	var first time.Time
	done := false
	return func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if first.IsZero() {
			first = time.Now()
		}
		if !done && time.Since(first) > after {
			done = true
			<-time.After(pause)
		}
		_, _ = io.WriteString(w, "{}")
	}
}

const (
	pause  = time.Second
	pauseM = result.Millis(1000)
)

// TestOpenLoopSeesAStallThatAClosedLoopHides: of 3 s, one is a pause, so of requests spread evenly over time a third
// find the server stopped. The closed loop sends one request into it, and thousands before and after.
func TestOpenLoopSeesAStallThatAClosedLoopHides(t *testing.T) {
	const rate = 200
	s := Settings{Keys: Uniform(10), Clients: 1, Duration: 3 * time.Second}

	s.Target = serve(t, stalls(time.Second, pause))
	closed, err := Closed(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	s.Target, s.Clients = serve(t, stalls(time.Second, pause)), 4
	open, err := Open(t.Context(), s, rate)
	if err != nil {
		t.Fatal(err)
	}
	if closed.Errors != 0 || open.Errors != 0 {
		t.Fatalf("errors: %s, %s", closed.Error, open.Error)
	}
	if open.Requests != 3*rate || open.Offered != rate {
		t.Errorf("the open loop got %d answers at %v a second, want %d", open.Requests, open.Offered, 3*rate)
	}
	if closed.Latency.Max < pauseM {
		t.Errorf("the closed loop's longest latency is %v ms, it missed the pause", closed.Latency.Max)
	}
	if open.Latency.P99 < pauseM*2/3 {
		t.Errorf("the open loop's p99 is %v ms; it should tell of a pause of %v ms", open.Latency.P99, pauseM)
	}
	if closed.Latency.P99 > open.Latency.P99/2 {
		t.Errorf("p99 is %v ms in the closed loop, %v in the open", closed.Latency.P99, open.Latency.P99)
	}
	// The requests that were due in the pause had to wait for what was left of it: half a second and more for those of
	// half a second, a sixth of all. The curve has points at a fifth and a tenth.
	if share := shareAbove(open.Latency, pauseM/2); share < 0.09 || share > 0.21 {
		t.Errorf("%.2f of the open loop's latencies are above %v ms, want 0.1: %+v", share, pauseM/2, open.Latency.Curve)
	}
	quiet := slices.MinFunc(open.Timeline, func(a, b result.Moment) int { return int(a.Rate - b.Rate) })
	if quiet.At < 1 || quiet.At > 2.5 || quiet.Rate > rate/2 {
		t.Errorf("the timeline's slowest moment is %+v, want it in the pause: %+v", quiet, open.Timeline)
	}
}

// shareAbove is the share of latencies that are longer, as far as the curve tells.
func shareAbove(s result.Spread, ms result.Millis) float64 {
	for _, q := range s.Curve {
		if q.At > ms {
			return 1 - q.Share
		}
	}
	return 0
}

func TestClosedLoopHasAllClientsBusy(t *testing.T) {
	t.Parallel()
	const clients = 6
	var now, most atomic.Int64
	conns := map[string]bool{}
	var mu sync.Mutex
	all := make(chan struct{})
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		conns[r.RemoteAddr] = true
		mu.Unlock()
		if n := now.Add(1); n > most.Load() {
			if most.Store(n); n == clients {
				close(all)
			}
		}
		defer now.Add(-1)
		select {
		case <-all: // every client has asked
		case <-time.After(Timeout):
		}
		_, _ = io.WriteString(w, "{}")
	})
	l, err := Closed(t.Context(), Settings{Target: target, Keys: Once(100), Clients: clients, Duration: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if l.Requests != 100 || l.Documents != 100 || l.Errors != 0 || l.Latency.Count != 100 || l.Clients != clients {
		t.Errorf("%+v, want 100 requests, when the keys were over", l)
	}
	if most.Load() != clients || len(conns) != clients {
		t.Errorf("%d requests at once over %d connections, want %d", most.Load(), len(conns), clients)
	}
	if got := l.Rate * float64(l.Took); math.Abs(got-100) > 1e-6 {
		t.Errorf("%v a second in %v s are %v requests", l.Rate, l.Took, got)
	}
	total := 0.0
	last := result.Seconds(0)
	for _, m := range l.Timeline {
		total += m.Rate * float64(m.At-last)
		last = m.At
	}
	if math.Abs(total-100) > 1e-6 || last != l.Took {
		t.Errorf("the timeline has %v requests until %v s, want 100 until %v", total, last, l.Took)
	}
}

func TestRequestsAreAsTheAPIWantsThem(t *testing.T) {
	t.Parallel()
	asked := make(chan string, 100)
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- fmt.Sprintf("%s %s %s %s", r.Method, r.URL, r.Header.Get("Content-Type"), body)
		if r.Method == http.MethodGet {
			_, _ = io.WriteString(w, "{}")
			return
		}
		var ask struct{ IDs []uint64 }
		if err := json.Unmarshal(body, &ask); err != nil {
			t.Error(err)
		}
		_, _ = io.WriteString(w, batchAnswer(ask.IDs, http.StatusOK))
	})
	for _, c := range []struct {
		batch               int
		n                   uint64
		requests, documents int64
		want                []string
	}{
		{0, 2, 2, 2, []string{"GET /v1/videos/1  ", "GET /v1/videos/2  "}},
		{3, 5, 2, 5, []string{
			`POST /v1/videos/lookup application/json {"ids":[1,4,2]}`,
			`POST /v1/videos/lookup application/json {"ids":[5,3]}`,
		}},
	} {
		target.Batch = c.batch
		l, err := Closed(t.Context(), Settings{Target: target, Keys: Once(c.n), Clients: 1, Duration: time.Minute})
		if err != nil || l.Errors != 0 || l.Requests != c.requests || l.Documents != c.documents {
			t.Errorf("%+v, %v, want %d requests, %d documents", l, err, c.requests, c.documents)
		}
		for range c.want {
			if got := <-asked; !slices.Contains(c.want, got) {
				t.Errorf("asked %q, want one of %q", got, c.want)
			}
		}
	}
}

// batchAnswer is of the form that the API gives, with version 7 for each.
func batchAnswer(ids []uint64, status int) string {
	var b strings.Builder
	b.WriteString(`{"results":[`)
	for i, id := range ids {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"status":%d,"version":7,"as_of":"2026-11-22T10:00:00Z",`, id, status)
		if status == http.StatusOK {
			fmt.Fprintf(&b, `"video":{"id":%d,"public_id":null,"status":"published","title":"a \"status\":404 title"}}`, id)
		} else {
			fmt.Fprintf(&b, `"problem":{"title":"no such video","status":%d,"instance":"/v1/videos/%d"}}`, status, id)
		}
	}
	b.WriteString("]}")
	return b.String()
}

func TestAnswersThatWereNotExpectedAreErrors(t *testing.T) {
	t.Parallel()
	version := func(w http.ResponseWriter) { w.Header().Set("Vidmeta-Version", "7") }
	single := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			version(w)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, "the body")
		}
	}
	batch := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, answer) }
	}
	cut := func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	for _, c := range []struct {
		name      string
		handler   http.HandlerFunc
		batch     int
		missing   bool
		documents int64
		err       string // "" expects no errors
	}{
		{"found", single(200), 0, false, 20, ""},
		{"not found", single(404), 0, false, 0, "GET /v1/videos/1: status 404, want 200: the body"},
		{"missing", single(404), 0, true, 0, ""},
		{"not missing", single(200), 0, true, 0, "status 200, want 404"},
		{"broken", single(503), 0, false, 0, "status 503, want 200"},
		{"cut off", cut, 0, false, 0, "GET /v1/videos/1: "},
		{"batch", batch(batchAnswer([]uint64{1, 1}, 200)), 2, false, 40, ""},
		{"missing batch", batch(batchAnswer([]uint64{1, 1}, 404)), 2, true, 0, ""},
		{"batch of missing", batch(batchAnswer([]uint64{1, 1}, 404)), 2, false, 0, "status 404 for id 1, want 200"},
		{"batch too short", batch(batchAnswer([]uint64{1}, 200)), 2, false, 0, "no result for id 1"},
		{"batch of others", batch(batchAnswer([]uint64{1, 2}, 200)), 2, false, 0, "no result for id 1"},
		{"batch broken", single(500), 2, false, 0, "POST /v1/videos/lookup: status 500, want 200"},
		{"batch broken where missing", single(404), 2, true, 0, "status 404, want 200"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			target := serve(t, c.handler)
			target.Batch, target.Missing = c.batch, c.missing
			const requests = 20
			ids := make([]uint64, requests*max(1, c.batch))
			for i := range ids {
				ids[i] = 1
			}
			l, err := Closed(t.Context(), Settings{Target: target, Keys: &finite{Keys: Sequence(ids), left: int64(len(ids))},
				Clients: 2, Duration: time.Minute})
			if err != nil {
				t.Fatal(err)
			}
			if c.err == "" {
				if l.Errors != 0 || l.Error != "" || l.Requests != requests || l.Documents != c.documents {
					t.Errorf("%+v, want %d requests with %d documents", l, requests, c.documents)
				}
				return
			}
			if l.Errors != requests || l.Requests != 0 || l.Documents != 0 || l.Latency.Count != 0 ||
				!strings.Contains(l.Error, c.err) {
				t.Errorf("%+v, want %d errors, the first with %q", l, requests, c.err)
			}
		})
	}
}

func TestARequestThatFailsIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	target := serve(t, func(http.ResponseWriter, *http.Request) {
		asked.Add(1)
		panic(http.ErrAbortHandler) // closes the connection
	})
	l, err := Closed(t.Context(), Settings{Target: target, Keys: Once(20), Clients: 2, Duration: time.Minute})
	if err != nil || l.Errors != 20 || asked.Load() != 20 {
		t.Errorf("%d errors, %d requests were seen, %v; want 20", l.Errors, asked.Load(), err)
	}
}

// TestTheFirstErrorIsKept, of all clients.
func TestTheFirstErrorIsKept(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(500)
		_, _ = fmt.Fprintf(w, "number %d", n.Add(1))
	})
	l, err := Closed(t.Context(), Settings{Target: target, Keys: Once(30), Clients: 1, Duration: time.Minute})
	if err != nil || l.Errors != 30 || !strings.HasSuffix(l.Error, "number 1") {
		t.Errorf("%+v, %v", l, err)
	}
}

// stale answers with version 7, whatever is committed.
func stale(ledger *Ledger) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id, _ := strconv.Atoi(r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		if id == 3 { // becomes stale while the request is under way, which nobody can help
			ledger.Committed(3, uint64(time.Now().UnixNano()), time.Now())
		}
		w.Header().Set("Vidmeta-Version", "7")
		_, _ = io.WriteString(w, "{}")
	}
}

func TestStaleAnswersAreFound(t *testing.T) {
	t.Parallel()
	ledger := NewLedger(10)
	target := serve(t, stale(ledger))
	now := time.Now()
	ledger.Committed(1, 7, now.Add(-3*time.Second))
	ledger.Committed(2, 7, now.Add(-3*time.Second))
	ledger.Committed(2, 8, now.Add(-2*time.Second)) // which every answer lacks
	ledger.Committed(3, 7, now.Add(-3*time.Second))
	ids := []uint64{1, 2, 3, 4, 11} // 4 and 11 are not written to
	s := Settings{Target: target, Keys: &finite{Keys: Sequence(ids), left: int64(len(ids))}, Clients: 1,
		Duration: time.Minute, Ledger: ledger}
	l, err := Closed(t.Context(), s)
	if err != nil || l.Errors > 0 {
		t.Fatal(err, l.Error)
	}
	if l.Staleness.Checked != 3 || l.Staleness.Stale != 1 || l.Staleness.Late.Count != 1 {
		t.Errorf("%+v, want 3 checked, 1 stale", l.Staleness)
	}
	if late := l.Staleness.Late.P50; late < 2000 || late > 20_000 {
		t.Errorf("late by %v ms, want 2 s and what the test took until then", late)
	}

	target = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, batchAnswer([]uint64{1, 2, 4}, http.StatusOK))
	})
	target.Batch = 3
	s.Target, s.Keys = target, &finite{Keys: Sequence([]uint64{1, 2, 4}), left: 9}
	if l, err = Closed(t.Context(), s); err != nil || l.Errors > 0 {
		t.Fatal(err, l.Error)
	}
	if l.Staleness.Checked != 6 || l.Staleness.Stale != 3 || l.Documents != 9 {
		t.Errorf("batch: %+v, want 6 checked, 3 stale", l.Staleness)
	}
}

func TestAnOpenLoopGivesUpWhatIsTooLate(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	var sent atomic.Int64
	target := serve(t, func(w http.ResponseWriter, r *http.Request) {
		sent.Add(1)
		select {
		case <-release:
		case <-r.Context().Done():
		}
	})
	defer close(release)
	s := Settings{Target: target, Keys: Uniform(10), Clients: 2, Duration: 100 * time.Millisecond}
	l, err := Open(t.Context(), s, 100)
	if err != nil {
		t.Fatal(err)
	}
	// When the first two have timed out the next two are just about too late, and the other six after these at the latest.
	if l.Requests != 0 || l.Errors != 10 || !strings.Contains(l.Error, "timeout") || sent.Load() < 2 || sent.Load() > 4 {
		t.Errorf("%d were sent: %+v, want ten errors", sent.Load(), l)
	}
	if took := time.Duration(float64(l.Took) * float64(time.Second)); took < Timeout || took > 2*Timeout+s.Duration {
		t.Errorf("it took %v", took)
	}
}

func TestLoopsEndWithTheirContext(t *testing.T) {
	t.Parallel()
	reason := errors.New("enough")
	for name, run := range map[string]func(context.Context, Settings) (result.Load, error){
		"closed": Closed,
		"open":   func(ctx context.Context, s Settings) (result.Load, error) { return Open(ctx, s, 0.5) },
	} {
		ctx, cancel := context.WithCancelCause(t.Context())
		target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "{}")
			cancel(reason)
		})
		l, err := run(ctx, Settings{Target: target, Keys: Uniform(10), Clients: 2, Duration: time.Hour})
		if !errors.Is(err, reason) || l.Requests == 0 {
			t.Errorf("%s: %v after %d requests, want %v after some", name, err, l.Requests, reason)
		}
	}
}

func TestOriginIsWatched(t *testing.T) {
	t.Parallel()
	var n atomic.Int64
	target := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n.Add(3) // statements for each
		_, _ = io.WriteString(w, "{}")
	})
	s := Settings{Target: target, Keys: Uniform(10), Clients: 2, Duration: 1100 * time.Millisecond,
		Origin: func(context.Context) (int64, error) { return n.Load(), nil }}
	l, err := Open(t.Context(), s, 400)
	if err != nil || len(l.Timeline) < 4 {
		t.Fatalf("%v, timeline %+v", err, l.Timeline)
	}
	total, last := 0.0, result.Seconds(0)
	for _, m := range l.Timeline {
		if m.Origin == 0 {
			t.Errorf("nothing was counted until %v s: %+v", m.At, l.Timeline)
		}
		total += m.Origin * float64(m.At-last)
		last = m.At
	}
	if total < 900 || total > 1800 {
		t.Errorf("%.0f statements, want about 3 for each of 440 requests: %+v", total, l.Timeline)
	}
	broken := errors.New("broken")
	s.Origin = func(context.Context) (int64, error) { return 0, broken }
	if l, err = Open(t.Context(), s, 100); !errors.Is(err, broken) || l.Requests == 0 {
		t.Errorf("%v after %d requests, want the error of the counter", err, l.Requests)
	}
}

func TestSettingsAreChecked(t *testing.T) {
	t.Parallel()
	good := Settings{Target: Target{URL: "http://127.0.0.1:1"}, Keys: Once(1), Clients: 1, Duration: time.Second}
	for want, change := range map[string]func(*Settings){
		"Keys":         func(s *Settings) { s.Keys = nil },
		"Clients":      func(s *Settings) { s.Clients = 0 },
		"Duration":     func(s *Settings) { s.Duration = 0 },
		"Target.URL":   func(s *Settings) { s.Target.URL = "127.0.0.1:80" },
		"Target.Batch": func(s *Settings) { s.Target.Batch = 1001 },
	} {
		s := good
		change(&s)
		if _, err := Closed(t.Context(), s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := Open(t.Context(), s, 1); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, rate := range []float64{0, -1, math.NaN()} {
		if _, err := Open(t.Context(), good, rate); err == nil {
			t.Errorf("a rate of %v is taken", rate)
		}
	}
	l, err := Closed(t.Context(), good) // nobody listens there
	if err != nil || l.Errors != 1 || !strings.Contains(l.Error, "refused") {
		t.Errorf("%+v, %v, want one error", l, err)
	}
}
