package api

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
)

// Values of header fields that every answer shares. Nobody may write to them; their capacity is their length, so an
// append elsewhere copies.
var (
	valueJSON        = []string{"application/json"}
	valueProblemJSON = []string{"application/problem+json"}
	valueNosniff     = []string{"nosniff"}
	valueNoStore     = []string{"no-store"}
	valueClose       = []string{"close"}
)

// maxInstance bounds how much of a request's path is repeated to it.
const maxInstance = 256

// fail answers with the problem that err is. It is the only place that writes an error, and the one that logs the
// errors nobody foresaw.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p, detail := problemOf(err, r.Context().Err() != nil)
	if p == problemInternal {
		s.log.LogAttrs(r.Context(), slog.LevelError, "request failed", append(requestAttrs(r), slog.Any("error", err))...)
	}
	h := w.Header()
	h["Cache-Control"] = valueNoStore
	if answered, ok := errors.AsType[*readError](err); ok {
		if status := appendCacheStatus(nil, &answered.trace, false, p.status); len(status) > 0 {
			h["Cache-Status"] = []string{string(status)}
		}
	}
	writeProblem(w, r, p, detail)
}

// requestAttrs says which request a log record is about.
func requestAttrs(r *http.Request) []slog.Attr {
	attrs := []slog.Attr{slog.String("method", r.Method), slog.String("path", clip(r.URL.EscapedPath(), maxInstance))}
	if id := requestID(r); id != nil {
		attrs = append(attrs, slog.String("request_id", id[0]))
	}
	return attrs
}

// writeProblem writes the whole answer but for the header fields that the caller has set.
func writeProblem(w http.ResponseWriter, r *http.Request, p *problem, detail string) {
	var instance string
	if path := r.URL.EscapedPath(); len(path) <= maxInstance {
		instance = path
	}
	body := appendProblem(nil, p, detail, instance)
	h := w.Header()
	h["Content-Type"] = valueProblemJSON
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = valueNosniff
	if p.retryAfter > 0 {
		h["Retry-After"] = []string{strconv.Itoa(p.retryAfter)}
	}
	w.WriteHeader(p.status)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that has left needs no answer, and there is nobody else to tell
	}
}

// appendProblem appends the RFC 9457 document. An empty instance is left out.
func appendProblem(b []byte, p *problem, detail, instance string) []byte {
	b = append(b, `{"type":"`...)
	b = append(b, problemPath...)
	b = append(b, p.name...)
	b = append(b, `","title":`...)
	b = appendJSONString(b, p.title)
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(p.status), 10)
	b = append(b, `,"detail":`...)
	b = appendJSONString(b, detail)
	if instance != "" {
		b = append(b, `,"instance":`...)
		b = appendJSONString(b, instance)
	}
	if p.retryAfter > 0 {
		b = append(b, `,"retry_after":`...)
		b = strconv.AppendInt(b, int64(p.retryAfter), 10)
	}
	return append(b, '}')
}

// appendJSONString appends s quoted. Plain ASCII, which is nearly all there is, is copied.
func appendJSONString(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			quoted, err := json.Marshal(s)
			if err != nil { // a string always marshals
				return append(b, `""`...)
			}
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// clip cuts s to at most n bytes, and says so.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return s[:n] + "…"
}
