package api

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed" // for the documentation
	"encoding/hex"
	"encoding/json"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed openapi.json
var openapiJSON []byte

//go:embed docs.html
var docsHTML string

// page is a document that does not change while the program runs.
type page struct {
	contentType []string
	security    []string // Content-Security-Policy, if any
	etag        []string
	length      []string
	body        []byte
}

// pageFreshness: the documentation changes with a release only.
var pageFreshness = []string{"public, max-age=300"}

func newPage(contentType, security string, body []byte) page {
	sum := sha256.Sum256(body)
	p := page{
		contentType: []string{contentType},
		etag:        []string{`"` + hex.EncodeToString(sum[:8]) + `"`},
		length:      []string{strconv.Itoa(len(body))},
		body:        body,
	}
	if security != "" {
		p.security = []string{security}
	}
	return p
}

// serve is a handler.
func (p *page) serve(w http.ResponseWriter, r *http.Request, _ time.Time, _ string) error {
	h := w.Header()
	h["Cache-Control"] = pageFreshness
	h["Etag"] = p.etag
	h["X-Content-Type-Options"] = valueNosniff
	for _, list := range r.Header["If-None-Match"] {
		if matchesETag(list, []byte(p.etag[0])) {
			w.WriteHeader(http.StatusNotModified)
			return nil
		}
	}
	if p.security != nil {
		h["Content-Security-Policy"] = p.security
	}
	h["Content-Type"] = p.contentType
	h["Content-Length"] = p.length
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(p.body) // a client that has left needs no answer, and there is nobody else to tell
	}
	return nil
}

// newPages returns the description of the interface for programs and for people: the second is rendered from the first.
func newPages() (openapi, docs page, err error) {
	html, err := renderDocs(openapiJSON)
	if err != nil {
		return page{}, page{}, err
	}
	openapi = newPage("application/json", "", openapiJSON)
	docs = newPage("text/html; charset=utf-8", "default-src 'none'; style-src 'unsafe-inline'", html)
	return openapi, docs, nil
}

// getProblem answers GET and HEAD /problems/{name}: what a problem's type, as a reference, leads to.
func (s *Server) getProblem(w http.ResponseWriter, r *http.Request, start time.Time, name string) error {
	for _, p := range problems {
		if p.name == name {
			text := p.title + " (status " + strconv.Itoa(p.status) + ")\n\n" + p.detail + "\n"
			if p.retryAfter > 0 {
				text += "\nWorth a retry after " + strconv.Itoa(p.retryAfter) + " s.\n"
			}
			pg := newPage("text/plain; charset=utf-8", "", []byte(text))
			return pg.serve(w, r, start, "")
		}
	}
	return reject(problemNoRoute, "There is no problem of that name.")
}

// node is a value of the OpenAPI document.
type node = map[string]any

// resolver follows the references within one OpenAPI document.
type resolver struct{ root node }

// resolve returns what v refers to, or v.
func (d resolver) resolve(v any) any {
	for {
		m, ok := v.(node)
		if !ok {
			return v
		}
		ref, ok := m["$ref"].(string)
		if !ok {
			return v
		}
		v = d.root
		for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
			part = strings.ReplaceAll(strings.ReplaceAll(part, "~1", "/"), "~0", "~")
			m, _ := v.(node)
			v = m[part]
		}
	}
}

// docsOperation is one operation as the page shows it.
type docsOperation struct {
	Method, Path string
	Operation    node
}

var methods = []string{"get", "head", "post", "put", "patch", "delete"}

// renderDocs turns the OpenAPI document into one HTML page that needs nothing else: no script, no other file.
func renderDocs(spec []byte) ([]byte, error) {
	var root node
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.UseNumber()
	if err := dec.Decode(&root); err != nil {
		return nil, err
	}
	doc := resolver{root}
	tmpl, err := template.New("docs").Funcs(template.FuncMap{
		"resolve":    doc.resolve,
		"operations": operations,
		"upper":      strings.ToUpper,
		"json":       indentJSON,
	}).Parse(docsHTML)
	if err != nil {
		return nil, err
	}
	var list []node
	for _, p := range problems {
		list = append(list, node{"URI": problemPath + p.name, "Status": p.status, "Title": p.title, "Detail": p.detail})
	}
	var out bytes.Buffer
	if err := tmpl.Execute(&out, node{"Spec": root, "Problems": list}); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// operations lists the operations of the paths, GET and HEAD of one path as one.
func operations(paths node) []docsOperation {
	var ops []docsOperation
	for path, item := range paths {
		item, _ := item.(node)
		for _, method := range methods {
			op, ok := item[method].(node)
			if !ok {
				continue
			}
			if _, ok := item["get"]; ok && method == "head" {
				continue
			}
			name := strings.ToUpper(method)
			if _, ok := item["head"]; ok && method == "get" {
				name = "GET, HEAD"
			}
			ops = append(ops, docsOperation{Method: name, Path: path, Operation: op})
		}
	}
	// In the order in which the document has them.
	place := func(op docsOperation) int { return bytes.Index(openapiJSON, strconv.AppendQuote(nil, op.Path)) }
	slices.SortFunc(ops, func(a, b docsOperation) int { return cmp.Compare(place(a), place(b)) })
	return ops
}

func indentJSON(v any) (string, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	err := enc.Encode(v)
	return strings.TrimSpace(b.String()), err
}
