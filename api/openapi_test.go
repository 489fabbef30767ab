package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
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

// Examples are of their schemas, and the words in them are those that the tables have.
func TestExamplesAreOfTheirSchemas(t *testing.T) {
	root, doc := loadSpec(t)
	words := tableWords(t)
	video := doc.resolve(node{"$ref": "#/components/schemas/Video"}).(node)["properties"].(node)
	for column, values := range words {
		for _, word := range values {
			if said, _ := video[column].(node)["description"].(string); !strings.Contains(said, word) {
				t.Errorf("%s: the description has no %s", column, word)
			}
		}
	}
	seen := 0
	var walk func(at string, v any)
	walk = func(at string, v any) {
		m, _ := v.(node)
		if list, ok := v.([]any); ok {
			for i, e := range list {
				walk(fmt.Sprintf("%s/%d", at, i), e)
			}
		}
		if _, isVideo := m["public_id"].(string); isVideo {
			seen++
			for column, values := range words {
				if word, _ := m[column].(string); !slices.Contains(values, word) {
					t.Errorf("%s: %s is %q, the table has %q", at, column, word, values)
				}
			}
		}
		if s, ok := m["schema"]; ok {
			if one, ok := m["example"]; ok {
				doc.fits(t, at, one, s)
			}
			examples, _ := m["examples"].(node)
			for name, e := range examples {
				doc.fits(t, at+"/"+name, doc.resolve(e).(node)["value"], s)
			}
		}
		for name, e := range m {
			walk(at+"/"+name, e)
		}
	}
	walk("", root)
	if seen == 0 || len(words) != 2 {
		t.Errorf("%d examples of videos, words %v", seen, words)
	}
}

// tableWords returns the values of each ENUM of videos.
func tableWords(t *testing.T) map[string][]string {
	t.Helper()
	text, err := schema.Migrations.ReadFile("sql/00001_documents.sql")
	if err != nil {
		t.Fatal(err)
	}
	words := make(map[string][]string)
	for _, m := range regexp.MustCompile(`(\w+)\s+ENUM\('([^)]*)'\)`).FindAllStringSubmatch(string(text), -1) {
		words[m[1]] = strings.Split(m[2], "', '")
	}
	return words
}

// fits fails the test if a value is none of a schema, as far as the description goes: types, enums, patterns and members.
func (d resolver) fits(t *testing.T, at string, v, of any) {
	t.Helper()
	s, _ := d.resolve(of).(node)
	is := "null"
	switch v := v.(type) {
	case string:
		is = "string"
		if p, ok := s["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			t.Errorf("%s: %q does not match %s", at, v, p)
		}
	case float64:
		is = "integer"
	case bool:
		is = "boolean"
	case []any:
		is = "array"
		for i, e := range v {
			d.fits(t, fmt.Sprintf("%s/%d", at, i), e, s["items"])
		}
	case node:
		is = "object"
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, ok := v[name.(string)]; !ok {
				t.Errorf("%s: %v is missing", at, name)
			}
		}
		members, _ := s["properties"].(node)
		for name, e := range v {
			if _, ok := members[name]; !ok {
				t.Errorf("%s: %s is not described", at, name)
			}
			d.fits(t, at+"/"+name, e, members[name])
		}
	}
	types, several := s["type"].([]any)
	if one, ok := s["type"].(string); ok && one != is || several && !slices.Contains(types, any(is)) {
		t.Errorf("%s: %v is no %v", at, v, s["type"])
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, v) {
		t.Errorf("%s: %v is none of %v", at, v, enum)
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
