package api

import (
	"net/http"
	"strconv"
	"time"

	"vidmeta/schema"
)

// readError is why a read has no answer, with the tiers that were asked for it.
type readError struct {
	err   error
	trace schema.Trace
}

func (e *readError) Error() string { return e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

// getVideo answers GET and HEAD /v1/videos/{id}.
func (s *Server) getVideo(w http.ResponseWriter, r *http.Request, start time.Time, param string) error {
	id, err := parsePathID(r.URL, param)
	if err != nil {
		if param == "lookup" { // a path of its own, which the router takes for an id with any other method
			w.Header()["Allow"] = []string{http.MethodPost}
			return reject(problemMethod, "%s", problemMethod.detail)
		}
		return err
	}
	o, err := s.readOptions(r, start)
	if err != nil {
		return err
	}
	ctx := withLazyDeadline(r.Context(), start.Add(s.cfg.Timeout))
	defer ctx.release()
	answer, err := s.cfg.Reader.Get(ctx, id, o)
	if err != nil {
		return &readError{err: err, trace: answer.Trace}
	}
	s.writeAnswer(w, r, start, &answer)
	return nil
}

// getByPublicID answers GET and HEAD /v1/videos/by-public-id/{public_id}.
func (s *Server) getByPublicID(w http.ResponseWriter, r *http.Request, start time.Time, param string) error {
	publicID, err := parsePublicID(r.URL, param)
	if err != nil {
		return err
	}
	o, err := s.readOptions(r, start)
	if err != nil {
		return err
	}
	ctx := withLazyDeadline(r.Context(), start.Add(s.cfg.Timeout))
	defer ctx.release()
	answer, err := s.cfg.Reader.GetByPublicID(ctx, publicID, o)
	if err != nil {
		return &readError{err: err, trace: answer.Trace}
	}
	if answer.Exists() {
		w.Header()["Content-Location"] = []string{string(strconv.AppendUint([]byte("/v1/videos/"), uint64(answer.ID), 10))}
	}
	s.writeAnswer(w, r, start, &answer)
	return nil
}

// writeAnswer writes what is known of one document: 200, 304 or 404.
func (s *Server) writeAnswer(w http.ResponseWriter, r *http.Request, start time.Time, a *schema.Answer) {
	now := time.Now()
	h := w.Header()
	h["Cache-Control"] = s.freshness
	h["Vary"] = valueVary

	var f fields
	if !a.Exists() {
		f.putState(a, start, now, http.StatusNotFound)
		f.set(h)
		writeProblem(w, r, problemVideoNotFound, problemVideoNotFound.detail)
		return
	}

	f.putState(a, start, now, http.StatusOK)
	f.put("Etag", appendETag(f.next(), a.Version))
	if notModified(r, a.Version) {
		f.set(h)
		w.WriteHeader(http.StatusNotModified)
		return
	}
	f.put("Last-Modified", appendHTTPDate(f.next(), lastModified(a.Version, a.AsOf)))
	f.put("Content-Length", strconv.AppendInt(f.next(), int64(len(a.Body)), 10))
	f.set(h)
	h["Content-Type"] = valueJSON
	h["X-Content-Type-Options"] = valueNosniff
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		w.Write(a.Body) // a client that has left needs no answer, and there is nobody else to tell
	}
}
