package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"vidmeta/schema"
)

// batch is the body of a batch as a client would decode it.
type batch struct {
	Results []struct {
		ID      json.Number
		Status  int
		Version *uint64
		AsOf    *time.Time `json:"as_of"`
		Stale   bool
		Video   json.RawMessage
		Problem *struct {
			Type     string
			Status   int
			Instance string
		}
	}
}

func decodeBatch(t *testing.T, res *http.Response) (b batch) {
	t.Helper()
	body := bodyOf(t, res)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" ||
		res.Header.Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if err := json.Unmarshal([]byte(body), &b); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return b
}

func TestBatchKeepsOrderAndRepetitions(t *testing.T) {
	w := newWorld(t)
	now := time.Now()
	w.fake.put(18446744073709551615, "aaaaaaaaaaa", 5, `{"id":18446744073709551615}`)
	w.fake.change(18446744073709551615, func(a *schema.Answer) { a.AsOf, a.Stale = now.Add(-90*time.Second), true })
	w.fake.change(9, func(a *schema.Answer) { a.AsOf = now.Add(-time.Second); a.Version = 77; a.ID = 9 })
	w.fake.fail(5, schema.ErrOverloaded, schema.Trace{})
	w.fake.fail(6, errors.New("hunter2"), schema.Trace{})

	get := w.get("/v1/videos?ids=42,9,42,18446744073709551615")
	post := w.lookup(`{"ids":[42,9,42,18446744073709551615,5,6,6]}`)
	for _, res := range []*http.Response{get, post} {
		b := decodeBatch(t, res)
		want := []struct {
			id      string
			status  int
			version uint64
		}{{"42", 200, uint64(testVersion)}, {"9", 404, 77}, {"42", 200, uint64(testVersion)}, {"18446744073709551615", 200, 5},
			{"5", 503, 0}, {"6", 500, 0}, {"6", 500, 0}}
		if res == get {
			want = want[:4]
		}
		if len(b.Results) != len(want) {
			t.Fatalf("%d results", len(b.Results))
		}
		for i, r := range b.Results {
			if r.ID.String() != want[i].id || r.Status != want[i].status {
				t.Errorf("%d: %+v", i, r)
			}
			if r.Status == 200 || r.Status == 404 {
				if r.Version == nil || *r.Version != want[i].version || r.AsOf == nil {
					t.Errorf("%d: %+v", i, r)
				}
			} else if r.Version != nil || r.AsOf != nil {
				t.Errorf("%d: %+v", i, r)
			}
			if (r.Status == 200) != (r.Video != nil) || (r.Status == 200) == (r.Problem != nil) {
				t.Errorf("%d: %+v", i, r)
			}
			if p := r.Problem; p != nil && (p.Status != r.Status || p.Instance != "/v1/videos/"+want[i].id) {
				t.Errorf("%d: %+v", i, p)
			}
			if r.Stale != (want[i].version == 5) {
				t.Errorf("%d: stale %v", i, r.Stale)
			}
		}
		if string(b.Results[0].Video) != testBody {
			t.Errorf("video %s", b.Results[0].Video)
		}
		if age := res.Header.Get("Age"); age != "90" {
			t.Errorf("Age %s is not that of the oldest", age)
		}
	}
	if cc := get.Header.Get("Cache-Control"); !strings.HasPrefix(cc, "public, max-age=2") {
		t.Errorf("GET: %s", cc)
	}
	if cc := post.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("POST: %s", cc)
	}
	if cc := w.get("/v1/videos?ids=42,5").Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("GET with a failure: %s", cc)
	}
	if n := strings.Count(w.logs.String(), "level=ERROR"); n != 1 || !strings.Contains(w.logs.String(), "count=2 first_id=6") {
		t.Errorf("logged %d times: %s", n, w.logs)
	}
}

func TestBatchOfFailuresOnly(t *testing.T) {
	w := newWorld(t)
	w.fake.fail(5, schema.ErrUnavailable, schema.Trace{})
	res := w.get("/v1/videos?ids=5")
	b := decodeBatch(t, res)
	if b.Results[0].Status != 503 || b.Results[0].Problem.Type != "/problems/unavailable" {
		t.Errorf("%+v", b)
	}
	if res.Header["Age"] != nil || res.Header["Vidmeta-As-Of"] != nil {
		t.Errorf("as of when? %v", res.Header)
	}
}

func TestBatchLimits(t *testing.T) {
	w := newWorld(t)
	ids := func(n int) string { return strings.TrimSuffix(strings.Repeat("18446744073709551615,", n), ",") }
	if b := decodeBatch(t, w.get("/v1/videos?ids="+ids(100))); len(b.Results) != 100 {
		t.Errorf("%d results", len(b.Results))
	}
	if b := decodeBatch(t, w.lookup(`{"ids":[`+ids(1000)+`]}`)); len(b.Results) != 1000 {
		t.Errorf("%d results", len(b.Results))
	}
	w = newWorld(t, func(c *Config) { c.MaxBatchGet, c.MaxBatchPost, c.MaxBody = 1, 2, 30 })
	for want, res := range map[string]*http.Response{
		"too-many-ids":   w.get("/v1/videos?ids=1,2"),
		"body-too-large": w.lookup(`{"ids":[1,                       2]}`),
	} {
		if got, _ := decodeProblem(t, res); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got, _ := decodeProblem(t, w.lookup(`{"ids":[1,2,3]}`)); got != "too-many-ids" {
		t.Error(got)
	}
}

// A body of unknown length is bounded as well, and what is too much is read away so that the client sees the answer.
func TestChunkedBodyTooLarge(t *testing.T) {
	w := newWorld(t)
	srv := newTestServer(t, w)
	body := struct{ *strings.Reader }{strings.NewReader(`{"ids":[` + strings.Repeat("1,", 2<<20) + `1]}`)}
	req, err := http.NewRequest("POST", srv+"/v1/videos/lookup", body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, _ := decodeProblem(t, res); got != "body-too-large" {
		t.Error(got)
	}
}

type shortReader struct{ *fakeReader }

func (r shortReader) GetMany(ctx context.Context, ids []schema.ID, o schema.ReadOptions) []schema.Result {
	return r.fakeReader.GetMany(ctx, ids[1:], o)
}

func TestBatchWithResultsMissing(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Reader = shortReader{newFake()} })
	res := w.get("/v1/videos?ids=1,2")
	if got, _ := decodeProblem(t, res); got != "internal" || w.logs.String() == "" {
		t.Errorf("%s %s", got, w.logs)
	}
}

func FuzzIDs(f *testing.F) {
	for _, s := range []string{"1", "1,2,3", "", ",", "1,", "+1", "00", "18446744073709551616", "18446744073709551615", "18446744073709551609", "99999999999999999999", `[1]`, `["a,b"]`, `{"x":[1,2]}`, "null", `"\u0031"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		check := func(ids []schema.ID, err error, limit int) {
			if err != nil {
				if _, ok := errors.AsType[*requestError](err); !ok {
					t.Fatalf("%q: %v", s, err)
				}
				return
			}
			if len(ids) == 0 || len(ids) > limit {
				t.Fatalf("%q: %d ids", s, len(ids))
			}
			for _, id := range ids {
				if id == 0 {
					t.Fatalf("%q: zero", s)
				}
			}
		}
		ids, err := parseQueryIDs("ids="+s, 5)
		check(ids, err, 5)
		for _, body := range []string{s, `{"ids":` + s + `}`, `{"ids":[` + s + `]}`} {
			ids, err := parseLookup([]byte(body), 5)
			check(ids, err, 5)
			if err == nil { // then it means the same to package json
				var want struct{ IDs []schema.ID }
				if err := json.Unmarshal([]byte(body), &want); err != nil || fmt.Sprint(want.IDs) != fmt.Sprint(ids) {
					t.Fatalf("%q: %v, want %v (%v)", body, ids, want.IDs, err)
				}
			}
		}
		id, ok := parseID(s)
		want, err := strconv.ParseUint(s, 10, 64)
		if good := err == nil && want != 0 && s[0] != '0'; ok != good || ok && uint64(id) != want {
			t.Fatalf("%q: %d %v, want %d %v", s, id, ok, want, good)
		}
		if id, err := parsePathID(&url.URL{RawPath: s}, s); err == nil && id == 0 {
			t.Fatalf("%q: zero", s)
		}
	})
}
