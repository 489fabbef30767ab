package arm

import (
	"context"
	"io"
	"log"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"

	"vidmeta/schema"
)

const route = "/v1/videos/"

// lookup finds one document. One that does not exist is a document without a body, not an error; its version is zero where
// a cache does not keep it.
type lookup func(ctx context.Context, id schema.ID) (schema.Document, error)

// tally counts the reads of a Go arm.
type tally struct {
	reads  atomic.Int64 // answered with 200 or 404
	local  atomic.Int64 // out of those, by the tier in the process
	redis  atomic.Int64
	failed atomic.Int64 // answered otherwise
}

// tiers returns the reads that each tier answered. What neither the process nor Redis has answered was MySQL's, also for
// reads that joined the load of another. Meanwhile reads may be under way.
func (t *tally) tiers() map[string]int64 {
	reads, local, redis := t.reads.Load(), t.local.Load(), t.redis.Load()
	return map[string]int64{"local": local, "redis": redis, "origin": max(0, reads-local-redis), "failed": t.failed.Load()}
}

// documents makes the handler of an arm that looks documents up.
func documents(open func(*parts) (lookup, error)) func(*parts) (http.Handler, error) {
	return func(p *parts) (http.Handler, error) {
		find, err := open(p)
		if err != nil {
			return nil, err
		}
		p.find = find
		a := &answerer{
			find: find, tally: p.tally,
			freshness: []string{"public, max-age=" + strconv.FormatInt(int64(p.TTL/time.Second), 10)},
		}
		e := newEcho()
		e.GET(route+":id", a.getVideo)
		return e, nil
	}
}

// newEcho returns a router set up as vidmeta's.
func newEcho() *echo.Echo {
	e := echo.New()
	e.Logger.SetOutput(io.Discard)
	e.IPExtractor = echo.ExtractIPDirect()
	return e
}

// answerer writes what vidmeta writes, as far as it has a meaning without vidmeta's tiers.
type answerer struct {
	find      lookup
	tally     *tally
	freshness []string
}

// Values that all answers share.
var (
	valueJSON    = []string{"application/json"}
	valueProblem = []string{"application/problem+json"}
	valueNosniff = []string{"nosniff"}
)

const (
	notFound   = `{"type":"about:blank","title":"Not Found","status":404}`
	badRequest = `{"type":"about:blank","title":"Bad Request","status":400}`
	broken     = `{"type":"about:blank","title":"Internal Server Error","status":500}`
)

func (a *answerer) getVideo(c echo.Context) error {
	w := c.Response()
	h := w.Header()
	id, err := strconv.ParseUint(c.Param("id"), 10, 64)
	if err != nil || id == 0 {
		a.tally.failed.Add(1)
		return problem(w, http.StatusBadRequest, badRequest)
	}
	d, err := a.find(c.Request().Context(), schema.ID(id))
	if err != nil {
		if a.tally.failed.Add(1) == 1 {
			log.Printf("the first read that failed: %v", err)
		}
		return problem(w, http.StatusInternalServerError, broken)
	}
	a.tally.reads.Add(1)
	h["Cache-Control"] = a.freshness
	version := strconv.FormatUint(uint64(d.Version), 10)
	if d.Version != 0 {
		h["Vidmeta-Version"] = []string{version}
	}
	if !d.Exists() {
		return problem(w, http.StatusNotFound, notFound)
	}
	h["Etag"] = []string{`"` + version + `"`}
	h["Last-Modified"] = []string{time.UnixMicro(int64(d.Version)).UTC().Format(http.TimeFormat)}
	h["Content-Length"] = []string{strconv.Itoa(len(d.Body))}
	h["Content-Type"] = valueJSON
	h["X-Content-Type-Options"] = valueNosniff
	w.WriteHeader(http.StatusOK)
	_, err = w.Write(d.Body)
	return err
}

func problem(w http.ResponseWriter, status int, body string) error {
	h := w.Header()
	h["Content-Type"] = valueProblem
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	w.WriteHeader(status)
	_, err := io.WriteString(w, body)
	return err
}
