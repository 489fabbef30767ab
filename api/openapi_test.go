package api

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/labstack/echo/v4"

	"vidmeta/schema"
)

func loadSpec(t *testing.T) (root node, doc resolver) {
	t.Helper()
	if err := json.Unmarshal(openapiJSON, &root); err != nil {
		t.Fatal(err)
	}
	return root, resolver{root}
}

// Every route is described, and everything described is a route.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	root, _ := loadSpec(t)
	described := make(map[string]bool)
	for path, item := range root["paths"].(node) {
		for method := range item.(node) {
			described[strings.ToUpper(method)+" "+path] = true
		}
	}
	registered := make(map[string]bool)
	for _, r := range newWorld(t).handler.(*echo.Echo).Routes() {
		var path []string
		for part := range strings.SplitSeq(r.Path, "/") {
			if name, ok := strings.CutPrefix(part, ":"); ok {
				part = "{" + name + "}"
			}
			path = append(path, part)
		}
		registered[r.Method+" "+strings.Join(path, "/")] = true
	}
	if !maps.Equal(described, registered) {
		t.Errorf("described  %v\nregistered %v", slices.Sorted(maps.Keys(described)), slices.Sorted(maps.Keys(registered)))
	}
}

func TestOpenAPIReferencesLead(t *testing.T) {
	root, doc := loadSpec(t)
	if root["openapi"] != "3.1.0" {
		t.Error(root["openapi"])
	}
	ids := make(map[string]bool)
	used := make(map[string]bool)
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(e)
			}
		case node:
			if ref, ok := v["$ref"].(string); ok {
				used[ref] = true
				if doc.resolve(v) == nil {
					t.Errorf("%s leads nowhere", ref)
				}
			}
			if id, ok := v["operationId"].(string); ok {
				if ids[id] {
					t.Errorf("two operations are called %s", id)
				}
				ids[id] = true
			}
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(root)
	for kind, items := range root["components"].(node) {
		for name := range items.(node) {
			if !used["#/components/"+kind+"/"+name] {
				t.Errorf("%s %s is used nowhere", kind, name)
			}
		}
	}
}

// What the service really answers is described: the status, each header field, and for problems an example of the type.
func TestAnswersAreDescribed(t *testing.T) {
	root, doc := loadSpec(t)
	w := newWorld(t)
	for id, err := range map[schema.ID]error{3: schema.ErrNotCached, 4: schema.ErrNotYetVisible, 5: schema.ErrOverloaded, 6: errPanic} {
		w.fake.fail(id, err, schema.Trace{schema.TierLocal: {Outcome: schema.Miss}})
	}
	const one, alias, many, lookup = "/v1/videos/{id}", "/v1/videos/by-public-id/{public_id}", "/v1/videos", "/v1/videos/lookup"
	for _, tt := range []struct{ path, method, target, body, field string }{
		{one, "GET", "/v1/videos/42", "", ""},
		{one, "GET", "/v1/videos/42", "", "If-None-Match: *"},
		{one, "GET", "/v1/videos/42", "", "X-Request-Id: x"},
		{one, "GET", "/v1/videos/42", "", "Vidmeta-Min-Version: x"},
		{one, "GET", "/v1/videos/7", "", ""},
		{one, "GET", "/v1/videos/0", "", ""},
		{one, "GET", "/v1/videos/3", "", ""},
		{one, "GET", "/v1/videos/4", "", ""},
		{one, "GET", "/v1/videos/5", "", ""},
		{one, "GET", "/v1/videos/6", "", ""},
		{one, "HEAD", "/v1/videos/42", "", ""},
		{one, "HEAD", "/v1/videos/7", "", ""},
		{alias, "GET", "/v1/videos/by-public-id/" + testPublicID, "", ""},
		{alias, "HEAD", "/v1/videos/by-public-id/" + testPublicID, "", ""},
		{alias, "GET", "/v1/videos/by-public-id/x", "", ""},
		{alias, "GET", "/v1/videos/by-public-id/aaaaaaaaaaa", "", ""},
		{many, "GET", "/v1/videos?ids=42,7,5", "", ""},
		{many, "GET", "/v1/videos?ids=42,7", "", ""},
		{many, "GET", "/v1/videos?ids=x", "", ""},
		{many, "GET", "/v1/videos?ids=%zz", "", ""},
		{many, "GET", "/v1/videos?ids=" + strings.Repeat("1,", 100) + "1", "", ""},
		{many, "HEAD", "/v1/videos?ids=42", "", ""},
		{lookup, "POST", lookup, `{"ids":[42,7,5]}`, "Content-Type: application/json"},
		{lookup, "POST", lookup, `{"ids":[x]}`, "Content-Type: application/json"},
		{lookup, "POST", lookup, `{"ids":[1]}`, "Content-Type: x/y"},
		{lookup, "POST", lookup, strings.Repeat(" ", 1<<20), "Content-Type: application/json"},
		{"/openapi.json", "GET", "/openapi.json", "", ""},
		{"/openapi.json", "GET", "/openapi.json", "", "If-None-Match: *"},
		{"/docs", "GET", "/docs", "", ""},
		{"/problems/{name}", "GET", "/problems/internal", "", ""},
		{"/problems/{name}", "GET", "/problems/x", "", ""},
	} {
		var fields []string
		if tt.field != "" {
			fields = []string{tt.field}
		}
		res := w.do(tt.method, tt.target, tt.body, fields...)
		name := tt.method + " " + tt.target[:min(len(tt.target), 60)] + " " + tt.field + " " + res.Status
		op := root["paths"].(node)[tt.path].(node)[strings.ToLower(tt.method)].(node)
		described, ok := doc.resolve(op["responses"].(node)[res.Status[:3]]).(node)
		if !ok {
			t.Errorf("%s: the status is not described", name)
			continue
		}
		headers, _ := described["headers"].(node)
		for field := range res.Header {
			known := field == "Content-Type" || field == "Content-Security-Policy"
			for h := range headers {
				known = known || http.CanonicalHeaderKey(h) == field
			}
			if !known {
				t.Errorf("%s: %s is not described", name, field)
			}
		}
		contentType, _, _ := strings.Cut(res.Header.Get("Content-Type"), ";")
		if contentType == "" {
			continue
		}
		content, _ := described["content"].(node)
		media, ok := content[contentType].(node)
		if !ok {
			if tt.method != "HEAD" {
				t.Errorf("%s: %s is not described", name, contentType)
			}
			continue
		}
		if contentType == "application/problem+json" && tt.method != "HEAD" {
			problem, _ := decodeProblem(t, res)
			if examples, _ := json.Marshal(media["examples"]); !strings.Contains(string(examples), problemPath+problem) {
				t.Errorf("%s: no example of %s", name, problem)
			}
		}
	}
}

// Each example of a problem is what the service would write.
func TestProblemExamplesAreReal(t *testing.T) {
	root, _ := loadSpec(t)
	byURI := make(map[string]*problem)
	for _, p := range problems {
		byURI[problemPath+p.name] = p
	}
	seen := make(map[*problem]bool)
	var walk func(v any)
	walk = func(v any) {
		m, _ := v.(node)
		if list, ok := v.([]any); ok {
			for _, e := range list {
				walk(e)
			}
		}
		if uri, ok := m["type"].(string); ok && strings.HasPrefix(uri, problemPath) {
			p := byURI[uri]
			if p == nil {
				t.Errorf("there is no %s", uri)
				return
			}
			seen[p] = true
			after, _ := m["retry_after"].(float64)
			if m["title"] != p.title || m["status"] != float64(p.status) || int(after) != p.retryAfter {
				t.Errorf("%v", m)
			}
		}
		for _, e := range m {
			walk(e)
		}
	}
	walk(root)
	for _, p := range problems {
		if !seen[p] && p != problemBadRequest && p != problemClientGone {
			t.Errorf("no example of %s", p.name)
		}
	}
}

func TestDocsShowEverything(t *testing.T) {
	root, _ := loadSpec(t)
	res := newWorld(t).get("/docs")
	body := bodyOf(t, res)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	for path := range root["paths"].(node) {
		if !strings.Contains(body, path) {
			t.Errorf("%s is missing", path)
		}
	}
	for _, p := range problems {
		if !strings.Contains(body, problemPath+p.name) {
			t.Errorf("%s is missing", p.name)
		}
	}
	for _, bad := range []string{"<script", "src=", "https://cdn.js", "map[", "&lt;nil&gt;", "&lt;no value&gt;"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %s", bad)
		}
	}
}
