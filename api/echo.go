package api

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"time"

	"github.com/labstack/echo/v4"
)

// This file is all that knows Echo.

// handler answers one request that began at start; param is the variable part of the path. It writes the answer or
// returns an error, never both.
type handler func(w http.ResponseWriter, r *http.Request, start time.Time, param string) error

// newRouter registers every route of s.
func newRouter(s *Server) *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.IPExtractor = echo.ExtractIPDirect()
	e.HTTPErrorHandler = s.unrouted

	read := []string{http.MethodGet, http.MethodHead}
	e.Match(read, "/v1/videos/:id", s.on(routeVideo, "id", s.getVideo))
	e.Match(read, "/v1/videos/by-public-id/:public_id", s.on(routePublicID, "public_id", s.getByPublicID))
	e.Match(read, "/v1/videos", s.on(routeBatch, "", s.getBatch))
	e.POST("/v1/videos/lookup", s.on(routeLookup, "", s.postLookup))
	e.Match(read, "/openapi.json", s.on(routeOpenAPI, "", s.openapi.serve))
	e.Match(read, "/docs", s.on(routeDocs, "", s.docs.serve))
	e.Match(read, problemPath+":name", s.on(routeProblem, "name", s.getProblem))
	return e
}

// on wraps a handler in what every request needs.
func (s *Server) on(rt route, param string, h handler) echo.HandlerFunc {
	return func(c echo.Context) error {
		start := time.Now()
		w, r := c.Response(), c.Request()
		s.metrics.inFlight.Inc()
		defer s.finish(rt, w, r, start)
		s.setCommon(w.Header(), r)
		var value string
		if param != "" {
			value = c.Param(param)
		}
		if err := h(w, r, start, value); err != nil {
			s.fail(w, r, err)
		}
		return nil
	}
}

// finish is deferred by on: it counts the request and survives a panic in its handler.
func (s *Server) finish(rt route, w *echo.Response, r *http.Request, start time.Time) {
	broken := false
	if p := recover(); p != nil {
		broken = w.Committed
		if p != http.ErrAbortHandler {
			s.log.LogAttrs(r.Context(), slog.LevelError, "panic in a handler",
				append(requestAttrs(r), slog.Any("panic", p), slog.String("stack", string(debug.Stack())))...)
		} else {
			broken = true
		}
		if !broken {
			clear(w.Header())
			w.Header()["Cache-Control"] = valueNoStore
			writeProblem(w, r, problemInternal, problemInternal.detail)
		}
	}
	s.metrics.inFlight.Dec()
	s.metrics.done(rt, w.Status, start)
	if broken {
		panic(http.ErrAbortHandler) // the client must not take half an answer for a whole one
	}
}

// unrouted answers what the router itself refuses.
func (s *Server) unrouted(err error, c echo.Context) {
	start := time.Now()
	w, r := c.Response(), c.Request()
	if w.Committed {
		return
	}
	s.setCommon(w.Header(), r)
	s.fail(w, r, err)
	s.metrics.done(routeOther, w.Status, start)
}

// routerStatus returns the status that the router ended a request with, wrapped or not.
func routerStatus(err error) (int, bool) {
	if he, ok := errors.AsType[*echo.HTTPError](err); ok {
		return he.Code, true
	}
	return 0, false
}
