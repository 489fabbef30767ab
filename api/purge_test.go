package api

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"vidmeta/schema"
)

func TestPurge(t *testing.T) {
	var purged []schema.ID
	var sick error
	a := newTestAdmin(t, AdminConfig{Purge: func(_ context.Context, ids []schema.ID) error {
		purged = append(purged, ids...)
		return sick
	}})
	post := func(contentType, body string) (status int, answer string) {
		r := httptest.NewRequest(http.MethodPost, "/v1/purge", strings.NewReader(body))
		r.Host = "localhost"
		r.Header.Set("Content-Type", contentType)
		rec := httptest.NewRecorder()
		a.Handler().ServeHTTP(rec, r)
		return rec.Code, rec.Body.String()
	}
	if status, answer := post("application/json", `{"ids":[7,8,7]}`); status != 200 || answer != "{\"purged\":3}\n" || !slices.Equal(purged, []schema.ID{7, 8, 7}) {
		t.Errorf("%d %s, purged %v", status, answer, purged)
	}
	purged = nil
	for _, c := range []struct {
		contentType, body, problem string
		status                     int
	}{
		{"text/plain", `{"ids":[7]}`, "unsupported-media-type", 415},
		{"application/json", `{"ids":[]}`, "invalid-ids", 400},
		{"application/json", `{"ids":[0]}`, "invalid-ids", 400},
		{"application/json", `{"all":true}`, "invalid-body", 400},
		{"application/json", `{"ids":[1` + strings.Repeat(",1", DefaultMaxBatchPost) + `]}`, "too-many-ids", 400},
		{"application/json", strings.Repeat(" ", 1<<17), "body-too-large", 413},
	} {
		if status, answer := post(c.contentType, c.body); status != c.status || !strings.Contains(answer, "/problems/"+c.problem) {
			t.Errorf("%.20s: %d %s", c.body, status, answer)
		}
	}
	if len(purged) > 0 {
		t.Errorf("refused requests purged %v", purged)
	}
	sick = errors.New("no master of slot 7")
	if status, answer := post("application/json", `{"ids":[7]}`); status != 503 || !strings.Contains(answer, "no master of slot 7") {
		t.Errorf("%d %s", status, answer)
	}
	if res := ask(a, http.MethodGet, "/v1/purge"); res.StatusCode != 405 {
		t.Errorf("GET: %d", res.StatusCode)
	}
	if res := ask(newTestAdmin(t, AdminConfig{}), http.MethodPost, "/v1/purge"); res.StatusCode != 404 {
		t.Errorf("where there is nothing to purge: %d", res.StatusCode)
	}
}
