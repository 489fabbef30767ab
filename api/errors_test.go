package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labstack/echo/v4"

	"vidmeta/schema"
)

// Whatever a client sends, it gets a problem document and a 4xx.
func TestBadRequests(t *testing.T) {
	const lookup = "/v1/videos/lookup"
	many := func(n int) string {
		return strings.TrimSuffix(strings.Repeat("7,", n), ",")
	}
	huge := many(5 << 19)
	tests := []struct {
		method, target, body string
		status               int
		problem              string
		fields               []string
	}{
		{"GET", "/v1/videos/x", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/0", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/-1", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/+1", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/%2B1", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/%201", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/1%20", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/1%00", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/%E4%BD%A0", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/%22%3Cscript%3E", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/%FF", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/1.0", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/1e3", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/1_000", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/0x10", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/007", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/18446744073709551616", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/" + strings.Repeat("9", 50_000), "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/by-public-id", "", 400, "invalid-id", nil},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: x"}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: "}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: -1"}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: +1"}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: 9007199254740992"}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: 99999999999999999999999"}},
		{"GET", "/v1/videos/42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: 1", "Vidmeta-Min-Version: 1"}},
		{"GET", "/v1/videos?ids=42", "", 400, "invalid-min-version", []string{"Vidmeta-Min-Version: x"}},
		{"GET", "/v1/videos/by-public-id/short", "", 400, "invalid-public-id", nil},
		{"GET", "/v1/videos/by-public-id/dQw4w9WgXc%2F", "", 400, "invalid-public-id", nil},
		{"GET", "/v1/videos/by-public-id/dQw4w9WgXc.", "", 400, "invalid-public-id", nil},
		{"GET", "/v1/videos/by-public-id/dQw4w9WgXcQQ", "", 400, "invalid-public-id", nil},
		{"GET", "/v1/videos", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?id=1", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=,", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1,,2", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1,", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1,+2", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1,0", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1,-2", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1&ids=", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=18446744073709551616", "", 400, "invalid-ids", nil},
		{"GET", "/v1/videos?ids=1%zz", "", 400, "invalid-query", nil},
		{"GET", "/v1/videos?ids=1;2", "", 400, "invalid-query", nil},
		{"GET", "/v1/videos?ids=" + many(101), "", 400, "too-many-ids", nil},
		{"GET", "/v1/videos?ids=" + many(60) + "&ids=" + many(60), "", 400, "too-many-ids", nil},
		{"GET", "/v1/videos?ids=" + huge, "", 400, "too-many-ids", nil},
		{"POST", lookup, ``, 400, "invalid-body", nil},
		{"POST", lookup, ` `, 400, "invalid-body", nil},
		{"POST", lookup, `{`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1,]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[01]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[+1]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1]} x`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1]}{"ids":[1]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1],"fields":["title"]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1],"ids":[2]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":null,"ids":[2]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[1],"\u0069ds":[2]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"IDS":[1]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"Ids":[1],"ids":[2]}`, 400, "invalid-body", nil},
		{"POST", lookup, `{"idſ":[1]}`, 400, "invalid-body", nil},
		{"POST", lookup, `[1,2]`, 400, "invalid-body", nil},
		{"POST", lookup, `"x"`, 400, "invalid-body", nil},
		{"POST", lookup, "\xff\xfe", 400, "invalid-body", nil},
		{"POST", lookup, `null`, 400, "invalid-ids", nil},
		{"POST", lookup, `{}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":null}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":7}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":"1,2"}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":{"a":1}}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":["1"]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[[1,2]]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[null]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[1.5]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[1e3]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[0]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[-1]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":[18446744073709551616]}`, 400, "invalid-ids", nil},
		{"POST", lookup, `{"ids":["` + strings.Repeat("x", 60_000) + `"]}`, 400, "invalid-ids", nil},
		{"POST", lookup, strings.Repeat("[", 60_000), 400, "invalid-body", nil},
		{"POST", lookup, `{"ids":[` + many(1001) + `]}`, 400, "too-many-ids", nil},
		{"POST", lookup, `{"ids":[` + huge + `]}`, 413, "body-too-large", nil},
		{"POST", lookup, `{"ids":[1]}`, 415, "unsupported-media-type", []string{"Content-Type: text/plain"}},
		{"POST", lookup, `{"ids":[1]}`, 415, "unsupported-media-type", []string{"Content-Type: "}},
		{"POST", lookup, `{"ids":[1]}`, 415, "unsupported-media-type", []string{"Content-Type: application/x-www-form-urlencoded"}},
		{"POST", lookup, `{"ids":[1]}`, 415, "unsupported-media-type", []string{"Content-Type: application/json", "Content-Encoding: gzip"}},
		{"POST", "/v1/videos/42", `{}`, 405, "method-not-allowed", nil},
		{"PUT", "/v1/videos/42", `{}`, 405, "method-not-allowed", nil},
		{"DELETE", "/v1/videos/by-public-id/dQw4w9WgXcQ", ``, 405, "method-not-allowed", nil},
		{"POST", "/v1/videos", `{}`, 405, "method-not-allowed", nil},
		{"PUT", lookup, `{}`, 405, "method-not-allowed", nil},
		{"GET", lookup, ``, 405, "method-not-allowed", nil},
		{"HEAD", lookup, ``, 405, "", nil},
		{"POST", "/openapi.json", ``, 405, "method-not-allowed", nil},
		{"BREW", "/docs", ``, 405, "method-not-allowed", nil},
		{"GET", "/", "", 404, "no-such-route", nil},
		{"GET", "/v1", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/42/", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/42/x", "", 404, "no-such-route", nil},
		{"GET", "//v1/videos/42", "", 404, "no-such-route", nil},
		{"GET", "/v2/videos/42", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/by-public-id/", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/by-public-id/dQw4w9WgXcQ/", "", 404, "no-such-route", nil},
		{"GET", "/v1/videos/lookup/x", "", 404, "no-such-route", nil},
		{"GET", "/problems/x", "", 404, "no-such-route", nil},
	}
	w := newWorld(t)
	for _, tt := range tests {
		fields := tt.fields
		if tt.method == "POST" && fields == nil {
			fields = []string{"Content-Type: application/json"}
		}
		res := w.do(tt.method, tt.target, tt.body, fields...)
		name := fmt.Sprintf("%s %.60s %.40q %.60q", tt.method, tt.target, tt.body, tt.fields)
		if res.StatusCode != tt.status {
			t.Errorf("%s: status %d, want %d", name, res.StatusCode, tt.status)
		}
		if tt.status == 405 && !strings.Contains(res.Header.Get("Allow"), allowed(tt.target)) {
			t.Errorf("%s: Allow %q", name, res.Header.Get("Allow"))
		}
		if res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: Cache-Control %q", name, res.Header.Get("Cache-Control"))
		}
		if tt.method == "HEAD" {
			continue
		}
		if problem, _ := decodeProblem(t, res); problem != tt.problem {
			t.Errorf("%s: %s, want %s", name, problem, tt.problem)
		}
	}
	if logs := w.logs.String(); logs != "" {
		t.Errorf("bad requests were logged: %.500s", logs)
	}
}

func allowed(target string) string {
	if strings.HasSuffix(target, "/lookup") {
		return "POST"
	}
	return "GET, HEAD"
}

func TestOddButGoodRequests(t *testing.T) {
	w := newWorld(t)
	for _, target := range []string{
		"/v1/videos?ids=42%2C7", "/v1/videos?ids=42&ids=7", "/v1/videos?x=1&ids=42", "/v1/videos?ids=18446744073709551615",
		"/v1/videos/42?x=y", "/v1/videos/42?%zz",
	} {
		if res := w.get(target, "Accept: image/png"); res.StatusCode != 200 {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	for _, body := range []string{
		`{"ids":[42]}`, " {\n\"ids\" :\t[ 42 ,\n 7 ] }\n ", `{"ids":[18446744073709551615]}`,
	} {
		if res := w.lookup(body); res.StatusCode != 200 {
			t.Errorf("%s: %d", body, res.StatusCode)
		}
	}
	for _, contentType := range []string{"application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"} {
		res := w.do("POST", "/v1/videos/lookup", `{"ids":[42]}`, "Content-Type: "+contentType)
		if res.StatusCode != 200 {
			t.Errorf("%s: %d", contentType, res.StatusCode)
		}
	}
}

// What a read ends with decides the status; what nobody foresaw is a 500 that tells nothing and is logged once.
func TestErrorsOfReads(t *testing.T) {
	secret := errors.New("dial tcp 10.1.2.3:3306: password=hunter2")
	tests := []struct {
		err        error
		status     int
		problem    string
		retryAfter string
		logged     bool
	}{
		{schema.ErrOverloaded, 503, "overloaded", "1", false},
		{fmt.Errorf("get 5: %w", schema.ErrOverloaded), 503, "overloaded", "1", false},
		{fmt.Errorf("%w: %w", schema.ErrUnavailable, secret), 503, "unavailable", "2", false},
		{schema.ErrNotYetVisible, 503, "not-yet-visible", "1", false},
		{schema.ErrNotCached, 504, "not-cached", "", false},
		{context.DeadlineExceeded, 503, "timeout", "1", false},
		{fmt.Errorf("load: %w", context.Canceled), 503, "unavailable", "2", false}, // and the client is still there
		{errors.Join(secret, schema.ErrOverloaded), 503, "overloaded", "1", false},
		{secret, 500, "internal", "", true},
		{errPanic, 500, "internal", "", true},
		{echo.NewHTTPError(http.StatusRequestEntityTooLarge, "x"), 413, "body-too-large", "", false},
		{fmt.Errorf("wrapped: %w", echo.ErrUnsupportedMediaType), 415, "unsupported-media-type", "", false},
		{echo.NewHTTPError(http.StatusTeapot, "hunter2"), 400, "bad-request", "", false},
		{echo.NewHTTPError(http.StatusInternalServerError, "hunter2"), 500, "internal", "", true},
		{fmt.Errorf("read: %w", &http.MaxBytesError{Limit: 7}), 413, "body-too-large", "", false},
	}
	for _, tt := range tests {
		w := newWorld(t)
		w.fake.fail(5, tt.err, schema.Trace{})
		res := w.get("/v1/videos/5", "X-Request-Id: r-1")
		problem, doc := decodeProblem(t, res)
		if res.StatusCode != tt.status || problem != tt.problem || res.Header.Get("Retry-After") != tt.retryAfter {
			t.Errorf("%v: %d %s %v", tt.err, res.StatusCode, problem, res.Header)
		}
		if res.Header.Get("Cache-Control") != "no-store" || doc["instance"] != "/v1/videos/5" {
			t.Errorf("%v: %v %v", tt.err, res.Header, doc)
		}
		if strings.Contains(fmt.Sprint(doc), "hunter2") || strings.Contains(fmt.Sprint(res.Header), "hunter2") {
			t.Errorf("%v leaks", tt.err)
		}
		want := 0
		if tt.logged {
			want = 1
		}
		if n := strings.Count(w.logs.String(), "level=ERROR"); n != want {
			t.Errorf("%v: logged %d times: %s", tt.err, n, w.logs)
		}
		if tt.logged && (!strings.Contains(w.logs.String(), "/v1/videos/5") || !strings.Contains(w.logs.String(), "r-1")) {
			t.Errorf("%v: the log does not say which request: %s", tt.err, w.logs)
		}
	}
}

func TestFailedReadSaysWhichTiersWereAsked(t *testing.T) {
	w := newWorld(t)
	w.fake.fail(5, schema.ErrUnavailable, schema.Trace{
		schema.TierLocal:  {Outcome: schema.Miss},
		schema.TierRedis:  {Outcome: schema.Failed},
		schema.TierOrigin: {Outcome: schema.Failed},
	})
	const want = "vidmeta-redis; fwd=bypass; fwd-status=503; detail=cache-failed, vidmeta-local; fwd=miss"
	if got := w.get("/v1/videos/5").Header.Get("Cache-Status"); got != want {
		t.Error(got)
	}
}

func TestClientGone(t *testing.T) {
	for _, target := range []string{"/v1/videos/5", "/v1/videos?ids=5"} {
		w := newWorld(t)
		g := w.fake.block(5)
		ctx, cancel := context.WithCancel(context.Background())
		rec := httptest.NewRecorder()
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.Handler().ServeHTTP(rec, httptest.NewRequest("GET", target, nil).WithContext(ctx))
		}()
		<-g.entered
		cancel()
		<-done
		if rec.Code != statusClientGone || w.logs.String() != "" {
			t.Errorf("%s: %d %s", target, rec.Code, w.logs)
		}
	}
}

// A panic after the first byte must not look like a whole answer.
func TestPanicAfterTheHeaderBreaksTheConnection(t *testing.T) {
	w := newWorld(t)
	h := w.on(routeDocs, "", func(rw http.ResponseWriter, _ *http.Request, _ time.Time, _ string) error {
		rw.Header().Set("Content-Length", "10")
		io.WriteString(rw, "half")
		panic("in the middle")
	})
	e := echo.New()
	e.GET("/", h)
	srv := httptest.NewServer(e)
	srv.Config.ErrorLog = nil
	defer srv.Close()
	res, err := http.Get(srv.URL)
	if err == nil {
		_, err = io.ReadAll(res.Body)
		res.Body.Close()
	}
	if err == nil {
		t.Error("half an answer was taken for a whole one")
	}
	if !strings.Contains(w.logs.String(), "in the middle") {
		t.Error("not logged")
	}
}

func TestProblemsAreDescribed(t *testing.T) {
	w := newWorld(t)
	seen := make(map[string]bool)
	for _, p := range problems {
		res := w.get(problemPath + p.name)
		body := bodyOf(t, res)
		if res.StatusCode != 200 || !strings.Contains(body, p.detail) || !strings.Contains(body, strconv.Itoa(p.status)) {
			t.Errorf("%s: %d %s", p.name, res.StatusCode, body)
		}
		if seen[p.name] || p.status < 400 || p.title == "" {
			t.Errorf("%+v", p)
		}
		seen[p.name] = true
	}
}
