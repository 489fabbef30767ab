package api

import (
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"vidmeta/schema"
)

// getBatch answers GET and HEAD /v1/videos?ids=1,2,3.
func (s *Server) getBatch(w http.ResponseWriter, r *http.Request, start time.Time, _ string) error {
	ids, err := parseQueryIDs(r.URL.RawQuery, s.cfg.MaxBatchGet)
	if err != nil {
		return err
	}
	return s.readMany(w, r, start, ids)
}

// postLookup answers POST /v1/videos/lookup. Its time begins when the body is there, which the HTTP server waits for.
func (s *Server) postLookup(w http.ResponseWriter, r *http.Request, _ time.Time, _ string) error {
	body, err := readLookupBody(r, s.cfg.MaxBody)
	if err != nil {
		return err
	}
	start := time.Now()
	ids, err := parseLookup(body, s.cfg.MaxBatchPost)
	if err != nil {
		return err
	}
	return s.readMany(w, r, start, ids)
}

// readMany reads ids and answers with one result for each, in their order.
func (s *Server) readMany(w http.ResponseWriter, r *http.Request, start time.Time, ids []schema.ID) error {
	o, err := s.readOptions(r, start)
	if err != nil {
		return err
	}
	ctx := withLazyDeadline(r.Context(), start.Add(s.cfg.Timeout))
	defer ctx.release()
	results := s.cfg.Reader.GetMany(ctx, ids, o)
	if err := r.Context().Err(); err != nil {
		return err // the client has left
	}
	if len(results) != len(ids) {
		return fmt.Errorf("read many: %d results for %d ids", len(results), len(ids))
	}
	s.logUnknown(r, ids, results)

	buf := s.buffers.Get().(*[]byte)
	*buf = appendResults((*buf)[:0], ids, results)
	s.writeBatch(w, r, start, *buf, results)
	if cap(*buf) <= maxPooledBuffer {
		s.buffers.Put(buf)
	}
	return nil
}

// maxPooledBuffer keeps the buffers of a few very large answers from staying for ever.
const maxPooledBuffer = 4 << 20

func (s *Server) writeBatch(w http.ResponseWriter, r *http.Request, start time.Time, body []byte, results []schema.Result) {
	now := time.Now()
	h := w.Header()
	var f fields
	asOf, complete := oldest(results)
	if !asOf.IsZero() {
		f.putAsOf(asOf, now)
	}
	f.putTiming(start, now)
	f.put("Content-Length", strconv.AppendInt(f.next(), int64(len(body)), 10))
	f.set(h)
	if complete && r.Method != http.MethodPost {
		h["Cache-Control"] = s.freshness
		h["Vary"] = valueVary
	} else {
		h["Cache-Control"] = valueNoStore
	}
	h["Content-Type"] = valueJSON
	h["X-Content-Type-Options"] = valueNosniff
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(body) // a client that has left needs no answer, and there is nobody else to tell
	}
}

// oldest returns the time as of which everything in the results is true, zero if there is nothing, and whether every
// id has an answer.
func oldest(results []schema.Result) (asOf time.Time, complete bool) {
	complete = true
	for i := range results {
		switch res := &results[i]; {
		case res.Err != nil:
			complete = false
		case asOf.IsZero() || res.AsOf.Before(asOf):
			asOf = res.AsOf
		}
	}
	return asOf, complete
}

// logUnknown logs the first error that nobody foresaw, and how many there are.
func (s *Server) logUnknown(r *http.Request, ids []schema.ID, results []schema.Result) {
	var first, n int
	for i := range results {
		if err := results[i].Err; err != nil {
			if p, _ := problemOf(err, false); p == problemInternal {
				if n == 0 {
					first = i
				}
				n++
			}
		}
	}
	if n > 0 {
		s.log.LogAttrs(r.Context(), slog.LevelError, "reads of a batch failed", append(requestAttrs(r),
			slog.Int("count", n), slog.Uint64("first_id", uint64(ids[first])), slog.Any("error", results[first].Err))...)
	}
}

// appendResults assembles the body of a batch around the bodies of its documents, which are copied as they are.
func appendResults(b []byte, ids []schema.ID, results []schema.Result) []byte {
	size := len(`{"results":[]}`)
	for i := range results {
		size += len(results[i].Body) + 128
		if !results[i].Exists() {
			size += 256
		}
	}
	if cap(b) < size {
		b = make([]byte, 0, size)
	}
	b = append(b, `{"results":[`...)
	for i := range results {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendResult(b, ids[i], &results[i])
	}
	return append(b, "]}"...)
}

func appendResult(b []byte, id schema.ID, res *schema.Result) []byte {
	b = append(b, `{"id":`...)
	b = strconv.AppendUint(b, uint64(id), 10)
	var p *problem
	status := http.StatusOK
	if res.Err != nil {
		p, _ = problemOf(res.Err, false)
	} else if !res.Exists() {
		p = problemVideoNotFound
	}
	if p != nil {
		status = p.status
	}
	b = append(b, `,"status":`...)
	b = strconv.AppendInt(b, int64(status), 10)
	if res.Err == nil {
		b = append(b, `,"version":`...)
		b = strconv.AppendUint(b, uint64(res.Version), 10)
		b = append(b, `,"as_of":"`...)
		b = appendAsOf(b, res.AsOf)
		b = append(b, '"')
		if res.Stale {
			b = append(b, `,"stale":true`...)
		}
	}
	if p == nil {
		b = append(b, `,"video":`...)
		b = append(b, res.Body...)
		return append(b, '}')
	}
	b = append(b, `,"problem":`...)
	var buf [40]byte
	instance := strconv.AppendUint(append(buf[:0], "/v1/videos/"...), uint64(id), 10)
	b = appendProblem(b, p, p.detail, string(instance))
	return append(b, '}')
}
