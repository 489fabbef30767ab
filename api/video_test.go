package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vidmeta/schema"
)

func TestHeadersOfAHit(t *testing.T) {
	w := newWorld(t)
	asOf := time.Now().Add(-1500 * time.Millisecond).Truncate(time.Millisecond).Add(999 * time.Microsecond)
	w.fake.change(testID, func(a *schema.Answer) { a.AsOf = asOf })
	res := w.get("/v1/videos/42")
	if res.StatusCode != 200 || bodyOf(t, res) != testBody {
		t.Fatalf("status %d", res.StatusCode)
	}
	timing := res.Header.Get("Server-Timing")
	if ms, err := strconv.ParseFloat(strings.TrimPrefix(timing, "total;dur="), 64); err != nil || ms < 0 || ms > 1000 {
		t.Errorf("Server-Timing: %q", timing)
	}
	res.Header.Del("Server-Timing")
	want := map[string]string{
		"Age":                    "1",
		"Cache-Control":          "public, max-age=2, stale-while-revalidate=30, stale-if-error=3600",
		"Cache-Status":           "vidmeta-local; hit; ttl=12",
		"Content-Length":         strconv.Itoa(len(testBody)),
		"Content-Type":           "application/json",
		"Etag":                   `"1795163400123456"`,
		"Last-Modified":          "Thu, 20 Nov 2026 08:30:01 GMT", // rounded up
		"Vary":                   "Vidmeta-Min-Version",
		"Vidmeta-As-Of":          asOf.UTC().Truncate(time.Millisecond).Format("2006-01-02T15:04:05.000Z"), // rounded down
		"Vidmeta-Version":        "1795163400123456",
		"X-Content-Type-Options": "nosniff",
	}
	want["Last-Modified"] = time.UnixMicro(int64(testVersion)).Truncate(time.Second).Add(time.Second).UTC().Format(http.TimeFormat)
	if asOf.Unix() < int64(testVersion)/1e6 { // a clock before the test was written
		want["Last-Modified"] = asOf.UTC().Format(http.TimeFormat)
	}
	compareHeaders(t, res.Header, want)
}

func compareHeaders(t *testing.T, got http.Header, want map[string]string) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if g := got[name]; len(g) != 1 || g[0] != want[name] {
			t.Errorf("%s: %q, want %q", name, g, want[name])
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("unexpected %s: %q", name, got[name])
		}
	}
}

func TestNotFoundSaysAsOfWhen(t *testing.T) {
	w := newWorld(t)
	w.fake.change(7, func(a *schema.Answer) {
		a.Document = schema.Document{ID: 7, Version: 99}
		a.AsOf = time.Now().Add(-time.Minute)
		a.Trace = localHit
	})
	res := w.get("/v1/videos/7")
	body := bodyOf(t, res)
	if want := `{"type":"/problems/video-not-found","title":"Video not found","status":404,"detail":"There is no such video.","instance":"/v1/videos/7"}`; body != want {
		t.Errorf("body %s", body)
	}
	h := res.Header
	if res.StatusCode != 404 || h.Get("Content-Type") != "application/problem+json" || h.Get("Vidmeta-Version") != "99" ||
		h.Get("Age") != "60" || h.Get("Vidmeta-As-Of") == "" || h.Get("Etag") != "" || h.Get("Cache-Status") == "" ||
		!strings.HasPrefix(h.Get("Cache-Control"), "public, max-age=2") {
		t.Errorf("%d %v", res.StatusCode, h)
	}
}

func TestByPublicID(t *testing.T) {
	w := newWorld(t)
	res := w.get("/v1/videos/by-public-id/" + testPublicID)
	if res.StatusCode != 200 || bodyOf(t, res) != testBody || res.Header.Get("Content-Location") != "/v1/videos/42" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	res = w.get("/v1/videos/by-public-id/aaaaaaaaaaa")
	if res.StatusCode != 404 || res.Header.Get("Vidmeta-Version") != "0" || res.Header.Get("Age") != "0" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
}

func TestPercentEncodedPath(t *testing.T) {
	w := newWorld(t)
	for target, want := range map[string]int{
		"/v1/videos/%34%32": 200, "/v1/videos/by-public-id/dQw4w9WgXc%51": 200,
		"/v1/videos/%2534%2532": 400, "/v1/videos/by-public-id/dQw4w9WgXc%2551": 400, // encoded twice
		"/v1/videos/%2534%32": 400,
	} {
		if res := w.get(target); res.StatusCode != want {
			t.Errorf("%s: %d, want %d", target, res.StatusCode, want)
		}
	}
}

// A HEAD has the header fields of the GET and nothing else, on every route and for every outcome.
func TestHeadIsGetWithoutABody(t *testing.T) {
	w := newWorld(t)
	w.fake.fail(5, schema.ErrOverloaded, schema.Trace{})
	asOf := time.Now().Add(-time.Second)
	w.fake.change(testID, func(a *schema.Answer) { a.AsOf = asOf })
	w.fake.change(7, func(a *schema.Answer) { a.AsOf = asOf })
	for _, target := range []string{
		"/v1/videos/42", "/v1/videos/7", "/v1/videos/5", "/v1/videos/x", "/v1/videos/by-public-id/" + testPublicID,
		"/v1/videos/by-public-id/x", "/v1/videos?ids=42,7,42,5", "/v1/videos?ids=", "/v1/videos", "/openapi.json", "/docs",
		"/problems/overloaded", "/problems/x", "/nowhere",
	} {
		get, head := w.get(target), w.do(http.MethodHead, target, "")
		if head.StatusCode != get.StatusCode {
			t.Errorf("%s: HEAD %d, GET %d", target, head.StatusCode, get.StatusCode)
		}
		body := bodyOf(t, get)
		if b := bodyOf(t, head); b != "" {
			t.Errorf("%s: HEAD has a body: %q", target, b)
		}
		if n := get.Header.Get("Content-Length"); n != strconv.Itoa(len(body)) {
			t.Errorf("%s: Content-Length %s for %d bytes", target, n, len(body))
		}
		get.Header.Del("Server-Timing")
		head.Header.Del("Server-Timing")
		if !maps.EqualFunc(get.Header, head.Header, slices.Equal) {
			t.Errorf("%s:\n HEAD %v\n GET  %v", target, head.Header, get.Header)
		}
	}
}

func TestConditional(t *testing.T) {
	w := newWorld(t)
	modified := time.UnixMicro(int64(testVersion)).Truncate(time.Second)
	w.fake.change(testID, func(a *schema.Answer) { a.AsOf = modified.Add(time.Hour) })
	at := func(d time.Duration) string {
		return "If-Modified-Since: " + modified.Add(d).UTC().Format(http.TimeFormat)
	}
	tests := []struct {
		fields []string
		want   int
	}{
		{nil, 200},
		{[]string{`If-None-Match: "1795163400123456"`}, 304},
		{[]string{`If-None-Match: W/"1795163400123456"`}, 304},
		{[]string{`If-None-Match: *`}, 304},
		{[]string{`If-None-Match: "1", W/"2" ,"1795163400123456"`}, 304},
		{[]string{`If-None-Match: "1"`, `If-None-Match: "1795163400123456"`}, 304},
		{[]string{`If-None-Match: "a,b", "1795163400123456"`}, 304},
		{[]string{`If-None-Match: ,, "1795163400123456"`}, 304},
		{[]string{`If-None-Match: "1795163400123457"`}, 200},
		{[]string{`If-None-Match: 1795163400123456`}, 200},
		{[]string{`If-None-Match: "1795163400123456`}, 200},
		{[]string{`If-None-Match: "1" "1795163400123456"`}, 200},
		{[]string{`If-None-Match: `}, 200},
		{[]string{at(time.Second)}, 304},
		{[]string{at(time.Hour)}, 304},
		{[]string{at(0)}, 200}, // the change was later in that second
		{[]string{at(-time.Second)}, 200},
		{[]string{"If-Modified-Since: yesterday"}, 200},
		{[]string{`If-None-Match: "1"`, at(time.Hour)}, 200}, // the tag decides
	}
	for _, tt := range tests {
		res := w.get("/v1/videos/42", tt.fields...)
		if res.StatusCode != tt.want {
			t.Errorf("%q: %d, want %d", tt.fields, res.StatusCode, tt.want)
		}
		if tt.want != 304 {
			continue
		}
		if body := bodyOf(t, res); body != "" {
			t.Errorf("%q: 304 with a body", tt.fields)
		}
		for _, name := range []string{"Etag", "Cache-Control", "Vary", "Age", "Vidmeta-As-Of", "Vidmeta-Version"} {
			if res.Header.Get(name) == "" {
				t.Errorf("%q: 304 without %s", tt.fields, name)
			}
		}
		for _, name := range []string{"Content-Type", "Content-Length", "Last-Modified"} {
			if res.Header.Get(name) != "" {
				t.Errorf("%q: 304 with %s", tt.fields, name)
			}
		}
	}
	if res := w.get("/v1/videos/7", "If-None-Match: *"); res.StatusCode != 404 {
		t.Errorf("a condition on what does not exist: %d", res.StatusCode)
	}
}

// What an answer announces as Last-Modified must not match a later change of the same second.
func TestLastModifiedTellsChangesOfOneSecondApart(t *testing.T) {
	second := time.Date(2026, 11, 20, 8, 30, 10, 0, time.UTC)
	old := schema.Version(second.Add(300 * time.Millisecond).UnixMicro())
	// Seen within the same second: announced as before the change, so the client gets it again, once.
	lm := lastModified(old, second.Add(400*time.Millisecond))
	if lm != second.Unix() {
		t.Errorf("within the second: %d", lm-second.Unix())
	}
	r := &http.Request{Header: http.Header{"If-Modified-Since": {time.Unix(lm, 0).UTC().Format(http.TimeFormat)}}}
	if notModified(r, schema.Version(second.Add(700*time.Millisecond).UnixMicro())) {
		t.Error("the second change of one second was missed")
	}
	if lm := lastModified(old, second.Add(time.Hour)); lm != second.Unix()+1 {
		t.Errorf("later: %d", lm-second.Unix())
	}
	if lm := lastModified(schema.MaxVersion, second); lm != second.Unix() {
		t.Errorf("a version from the future: %d", lm)
	}
	if lm := lastModified(3, time.Time{}); lm != 0 {
		t.Errorf("nothing known: %d", lm)
	}
}

func TestAgeIsNeverNegative(t *testing.T) {
	w := newWorld(t)
	w.fake.change(testID, func(a *schema.Answer) { a.AsOf = time.Now().Add(time.Minute) })
	if age := w.get("/v1/videos/42").Header.Get("Age"); age != "0" {
		t.Errorf("Age: %s", age)
	}
}

func TestRequestOptions(t *testing.T) {
	w := newWorld(t)
	tests := []struct {
		fields []string
		want   schema.ReadOptions
	}{
		{nil, schema.ReadOptions{}},
		{[]string{"Cache-Control: no-cache"}, schema.ReadOptions{NoCache: true}},
		{[]string{"Cache-Control: max-age=0"}, schema.ReadOptions{NoCache: true}},
		{[]string{"Cache-Control: max-age=1"}, schema.ReadOptions{MaxAge: time.Second}},
		{[]string{"Cache-Control: max-age=2"}, schema.ReadOptions{MaxAge: 2 * time.Second}},
		{[]string{"Cache-Control: max-age=86400"}, schema.ReadOptions{MaxAge: 2 * time.Second}}, // not more than the service's own
		{[]string{"Cache-Control: max-stale=9"}, schema.ReadOptions{MaxAge: 2 * time.Second, MaxStale: 9 * time.Second}},
		{[]string{"Cache-Control: max-stale"}, schema.ReadOptions{MaxAge: 2 * time.Second, MaxStale: maxDeltaSeconds * time.Second}},
		{[]string{"Cache-Control: max-stale=0"}, schema.ReadOptions{MaxAge: 2 * time.Second}},
		{[]string{"Cache-Control: max-age=1, max-stale=9"}, schema.ReadOptions{MaxAge: time.Second, MaxStale: 9 * time.Second}},
		{[]string{"Cache-Control: max-age=0, max-stale=9"}, schema.ReadOptions{MaxAge: time.Microsecond, MaxStale: 9 * time.Second}},
		{[]string{"Cache-Control: max-age=0, max-stale=0"}, schema.ReadOptions{NoCache: true}},
		{[]string{"Cache-Control: no-cache, max-stale=9"}, schema.ReadOptions{NoCache: true}},
		{[]string{"Cache-Control: only-if-cached, max-stale=9"}, schema.ReadOptions{OnlyIfCached: true, MaxAge: 2 * time.Second, MaxStale: 9 * time.Second}},
		{[]string{"Cache-Control: max-stale=9", "Cache-Control: ONLY-IF-CACHED ,", "Cache-Control: \"max-age\", max-age = \"1\""},
			schema.ReadOptions{OnlyIfCached: true, MaxAge: time.Second, MaxStale: 9 * time.Second}},
		{[]string{"Cache-Control: max-age=-1", "Cache-Control: max-stale=-1"}, schema.ReadOptions{}},
		{[]string{"Cache-Control: max-age=99999999999999999999", "Cache-Control: max-age=1"}, schema.ReadOptions{MaxAge: time.Second}},
		{[]string{"Cache-Control: only-if-cached, max-age=1"}, schema.ReadOptions{OnlyIfCached: true, MaxAge: time.Second}},
		{[]string{"Cache-Control: max-age=x"}, schema.ReadOptions{}},
		{[]string{"Vidmeta-Min-Version: 17"}, schema.ReadOptions{MinVersion: 17}},
		{[]string{"Vidmeta-Min-Version: 9007199254740991"}, schema.ReadOptions{MinVersion: schema.MaxVersion}},
	}
	for _, target := range []string{"/v1/videos/42", "/v1/videos/by-public-id/" + testPublicID, "/v1/videos?ids=42"} {
		for _, tt := range tests {
			if res := w.get(target, tt.fields...); res.StatusCode != 200 {
				t.Errorf("%s %q: %d", target, tt.fields, res.StatusCode)
			}
			got := w.fake.options()
			if got.Now.IsZero() {
				t.Errorf("%s: no Now", target)
			}
			got.Now = time.Time{}
			if got != tt.want {
				t.Errorf("%s %q: %+v, want %+v", target, tt.fields, got, tt.want)
			}
		}
	}
}

func TestRequestID(t *testing.T) {
	w := newWorld(t)
	if got := w.get("/v1/videos/42", "X-Request-Id: abc").Header.Get("X-Request-Id"); got != "abc" {
		t.Errorf("%q", got)
	}
	for _, id := range []string{"", "a b", "é", strings.Repeat("x", 129)} {
		if got := w.get("/v1/videos/42", "X-Request-Id: "+id).Header["X-Request-Id"]; got != nil {
			t.Errorf("%q: %q", id, got)
		}
	}
}

func TestConfigNamesTheField(t *testing.T) {
	for field, cfg := range map[string]Config{
		"Reader":       {},
		"MaxAge":       {Reader: newFake(), MaxAge: -1},
		"Timeout":      {Reader: newFake(), Timeout: -1},
		"MaxBatchGet":  {Reader: newFake(), MaxBatchGet: -1},
		"MaxBatchPost": {Reader: newFake(), MaxBatchPost: -1},
		"MaxBody":      {Reader: newFake(), MaxBody: -1},
		"DrainDelay":   {Reader: newFake(), DrainDelay: -1},
		"DrainTimeout": {Reader: newFake(), DrainTimeout: -1},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "Config."+field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
}

func TestFreshnessOfConfig(t *testing.T) {
	w := newWorld(t, func(c *Config) {
		c.MaxAge, c.StaleWhileRevalidate, c.StaleIfError = 2500*time.Millisecond, -1, time.Minute
	})
	if got := w.get("/v1/videos/42").Header.Get("Cache-Control"); got != "public, max-age=2, stale-if-error=60" {
		t.Error(got)
	}
}

// decodeProblem fails the test unless res is a well-formed problem document whose members agree with the answer.
func decodeProblem(t *testing.T, res *http.Response) (name string, doc map[string]any) {
	t.Helper()
	body := bodyOf(t, res)
	if err := json.Unmarshal([]byte(body), &doc); err != nil {
		t.Fatalf("%v: %q", err, body)
	}
	if ct := res.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("Content-Type %q", ct)
	}
	if doc["status"] != float64(res.StatusCode) {
		t.Errorf("status %v in a %d", doc["status"], res.StatusCode)
	}
	uri, _ := doc["type"].(string)
	name, ok := strings.CutPrefix(uri, "/problems/")
	if !ok || doc["title"] == "" || doc["detail"] == "" || doc["title"] == nil || doc["detail"] == nil {
		t.Errorf("incomplete: %s", body)
	}
	if after := res.Header.Get("Retry-After"); after != "" && after != fmt.Sprint(doc["retry_after"]) {
		t.Errorf("Retry-After %s, retry_after %v", after, doc["retry_after"])
	}
	if strings.ContainsAny(body, "\n") || len(body) > 2000 {
		t.Errorf("%d bytes: %.200s", len(body), body)
	}
	return name, doc
}
