package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"

	"vidmeta/internal/history"
	"vidmeta/schema"
)

// manner is how a reader asks.
type manner string

// The manners.
const (
	plain   manner = "plain"
	strict  manner = "max-age=1"
	noCache manner = "no-cache"
	session manner = "min-version" // of what it has seen last
	listed  manner = "ids"         // some at once
	lookup  manner = "lookup"      // many at once
)

// reader reads from one node and records what it is told. One goroutine uses it.
type reader struct {
	*workload
	node int
	name string
	seen map[schema.ID]uint64 // versions, in the manner session
}

func (w *workload) newReader(node int, name string) *reader {
	return &reader{workload: w, node: node, name: name, seen: map[schema.ID]uint64{}}
}

// refusal is an answer that is honest about not being one.
type refusal struct {
	status int
	body   string
}

func (r *refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.body) }

// any reads in some manner.
func (r *reader) any(ctx context.Context) error {
	switch rand.N(20) {
	case 0, 1:
		return r.get(ctx, r.pick(), strict)
	case 2:
		return r.get(ctx, r.pick(), noCache)
	case 3, 4, 5, 6:
		return r.get(ctx, r.pick(), session)
	case 7:
		return r.many(ctx, listed, 20)
	case 8:
		return r.many(ctx, lookup, 50)
	}
	return r.get(ctx, r.pick(), plain)
}

// ask sends a request. A refusal with 503 or 504 is a *refusal, any other status than 200 and 404 another error.
func (r *reader) ask(ctx context.Context, method, path string, header map[string]string, body []byte) (res *http.Response, answer []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+r.nodes[r.node].Addr()+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	if res, err = client.Do(req); err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if answer, err = io.ReadAll(res.Body); err != nil {
		return nil, nil, err
	}
	switch res.StatusCode {
	case http.StatusOK, http.StatusNotFound:
		return res, answer, nil
	case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return nil, nil, &refusal{res.StatusCode, string(answer)}
	}
	return nil, nil, fmt.Errorf("node %d: %s %s: %s: %s", r.node+1, method, path, res.Status, answer)
}

// get reads one document.
func (r *reader) get(ctx context.Context, id schema.ID, how manner) error {
	a := history.Answer{ID: uint64(id), State: history.Absent, By: fmt.Sprintf("node-%d, %s", r.node+1, how)}
	header := map[string]string{}
	switch how {
	case strict, noCache:
		header["Cache-Control"] = string(how)
	case session:
		a.Client, a.Min = r.name, r.seen[id]
		header["Vidmeta-Min-Version"] = strconv.FormatUint(a.Min, 10)
	}
	a.Begin = history.Now()
	res, body, err := r.ask(ctx, "GET", fmt.Sprintf("/v1/videos/%d", id), header, nil)
	a.End = history.Now()
	if err != nil {
		return err
	}
	a.Path = res.Header.Get("Cache-Status")
	if a.Version, err = strconv.ParseUint(res.Header.Get("Vidmeta-Version"), 10, 64); err != nil {
		return fmt.Errorf("node %d, video %d: Vidmeta-Version: %w", r.node+1, id, err)
	}
	asOf, err := time.Parse(time.RFC3339, res.Header.Get("Vidmeta-As-Of"))
	if err != nil {
		return fmt.Errorf("node %d, video %d: Vidmeta-As-Of: %w", r.node+1, id, err)
	}
	a.AsOf = history.At(asOf)
	if res.StatusCode == http.StatusOK {
		a.State, a.Body = history.Live, maphash.Bytes(r.seed, body)
	}
	if how == session {
		r.seen[id] = max(r.seen[id], a.Version)
	}
	if !r.noted(r.node, a.Begin) {
		return nil
	}
	r.recorder.Answer(a)
	// A load that filled Redis had its lease.
	inRedis, _, _ := strings.Cut(a.Path, ",")
	if strings.HasPrefix(inRedis, "vidmeta-redis; fwd=miss") && strings.Contains(inRedis, "; stored") && !strings.Contains(inRedis, "; collapsed") {
		r.recorder.Load(history.Load{ID: a.ID, Begin: a.Begin, End: a.End, By: a.By})
	}
	return nil
}

// many reads up to n documents at once. Those that are refused one by one are left out.
func (r *reader) many(ctx context.Context, how manner, n int) error {
	var ids []string
	for range n {
		ids = append(ids, fmt.Sprint(r.pick()))
	}
	method, path, header, body := "GET", "/v1/videos?ids="+strings.Join(ids, ","), map[string]string{}, []byte(nil)
	if how == lookup {
		method, path, header["Content-Type"] = "POST", "/v1/videos/lookup", "application/json"
		body = []byte(`{"ids":[` + strings.Join(ids, ",") + `]}`)
	}
	begin := history.Now()
	_, text, err := r.ask(ctx, method, path, header, body)
	end := history.Now()
	if err != nil {
		return err
	}
	results, err := parseResults(text)
	if err != nil {
		return fmt.Errorf("node %d, %s: %w", r.node+1, how, err)
	}
	for _, res := range results {
		a := history.Answer{ID: res.ID, Version: res.Version, State: history.Absent, AsOf: history.At(res.AsOf),
			Begin: begin, End: end, By: fmt.Sprintf("node-%d, %s", r.node+1, how)}
		switch res.Status {
		case http.StatusOK:
			a.State, a.Body = history.Live, maphash.Bytes(r.seed, res.Video)
		case http.StatusNotFound:
		case http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			continue
		default:
			return fmt.Errorf("node %d, %s: status %d of %d", r.node+1, how, res.Status, res.ID)
		}
		if r.noted(r.node, begin) {
			r.recorder.Answer(a)
		}
	}
	return nil
}

// result is one answer among many.
type result struct {
	ID      uint64          `json:"id"`
	Status  int             `json:"status"`
	Version uint64          `json:"version"`
	AsOf    time.Time       `json:"as_of"`
	Video   json.RawMessage `json:"video"`
}

func parseResults(text []byte) ([]result, error) {
	var all struct {
		Results []result `json:"results"`
	}
	err := json.Unmarshal(text, &all)
	return all.Results, err
}
