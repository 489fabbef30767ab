package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// client makes one request at a time, and counts what comes of it. It allocates nothing per request, so that the cores
// are left to what is measured.
type client struct {
	http   *fasthttp.HostClient // shared; it has a connection for each client
	target Target
	keys   Keys
	ledger *Ledger // nil: no answer is judged
	random *rand.Rand
	began  time.Time // of the loop
	until  time.Duration
	tally  *tally
	count  *atomic.Int64 // shared, nil: nobody asks

	req  *fasthttp.Request
	res  *fasthttp.Response
	ids  []uint64 // of the request under way
	text []byte   // its path or body, then what is looked for in its answer
}

const (
	videos      = "/v1/videos/"
	lookup      = "/v1/videos/lookup"
	versionName = "Vidmeta-Version"
)

func newClient(s *Settings, addr string, shared *fasthttp.HostClient, n int, began time.Time) *client {
	c := &client{
		http: shared, target: s.Target, keys: s.Keys, ledger: s.Ledger,
		random: rand.New(rand.NewPCG(s.Seed, uint64(n))),
		began:  began, until: s.Duration,
		tally: newTally(s.Duration), count: s.Answered,
		req: fasthttp.AcquireRequest(), res: fasthttp.AcquireResponse(),
	}
	c.req.Header.SetHost(addr)
	if s.Target.Batch > 0 {
		c.req.Header.SetMethod(http.MethodPost)
		c.req.Header.SetContentType("application/json")
		c.req.SetRequestURI(lookup)
	}
	return c
}

func (c *client) close() {
	fasthttp.ReleaseRequest(c.req)
	fasthttp.ReleaseResponse(c.res)
}

// next draws what to ask for, and reports whether there is anything left.
func (c *client) next() bool {
	c.ids = c.ids[:0]
	for range max(1, c.target.Batch) {
		id := c.keys.Next(c.random)
		if id == 0 {
			break
		}
		c.ids = append(c.ids, id)
	}
	if len(c.ids) == 0 {
		return false
	}
	if c.target.Batch == 0 {
		c.text = strconv.AppendUint(append(c.text[:0], videos...), c.ids[0], 10)
		c.req.SetRequestURIBytes(c.text)
		return true
	}
	c.text = append(c.text[:0], `{"ids":[`...)
	for i, id := range c.ids {
		if i > 0 {
			c.text = append(c.text, ',')
		}
		c.text = strconv.AppendUint(c.text, id, 10)
	}
	c.text = append(c.text, "]}"...)
	c.req.SetBodyRaw(c.text)
	return true
}

// ask sends what next has drawn, and counts the answer with its latency since it was due, or since now if due is zero.
func (c *client) ask(due time.Time) {
	sent := time.Now()
	if due.IsZero() {
		due = sent
	}
	err := c.http.DoTimeout(c.req, c.res, Timeout)
	ended := time.Now()
	at := ended.Sub(c.began)
	documents := 0
	if err == nil {
		documents, err = c.look(sent)
	}
	if err != nil {
		c.tally.failed(at, fmt.Errorf("%s %s: %w", c.req.Header.Method(), c.req.RequestURI(), err))
		return
	}
	c.tally.answered(at, ended.Sub(due), documents)
	if c.count != nil {
		c.count.Add(1)
	}
}

// look checks an answer, and returns how many documents are in it.
func (c *client) look(sent time.Time) (documents int, err error) {
	want := c.target.status()
	if c.target.Batch > 0 {
		want = http.StatusOK
	}
	if got := c.res.StatusCode(); got != want {
		body := c.res.Body()
		return 0, fmt.Errorf("status %d, want %d: %s", got, want, body[:min(len(body), 200)])
	}
	if c.target.Batch > 0 {
		return c.lookBatch(sent)
	}
	if c.ledger != nil {
		// An answer without a version, which is above 0, cannot be judged, and is not counted as checked.
		if version, _ := number(c.res.Header.Peek(versionName)); version > 0 {
			c.tally.judged(c.ledger.Check(c.ids[0], version, sent))
		}
	}
	if c.target.Missing {
		return 0, nil
	}
	return 1, nil
}

// lookBatch checks the answer to a lookup, {"results":[{"id":1,"status":200,"version":5,...,"video":{...}},...]} in the
// order of the ids. To decode it would cost more than to serve it. What it looks for cannot be part of a string, where
// quotes are escaped, and neither a video nor a problem begins like that.
func (c *client) lookBatch(sent time.Time) (documents int, err error) {
	rest, want := c.res.Body(), uint64(c.target.status())
	for _, id := range c.ids {
		c.text = strconv.AppendUint(append(c.text[:0], `{"id":`...), id, 10)
		c.text = append(c.text, `,"status":`...)
		i := bytes.Index(rest, c.text)
		if i < 0 {
			return 0, fmt.Errorf("the answer has no result for id %d in its place", id)
		}
		status, more := number(rest[i+len(c.text):])
		if rest = more; status != want {
			return 0, fmt.Errorf("status %d for id %d, want %d", status, id, want)
		}
		if status == http.StatusOK {
			documents++
		}
		if text, ok := bytes.CutPrefix(rest, []byte(`,"version":`)); ok && c.ledger != nil {
			version, _ := number(text)
			c.tally.judged(c.ledger.Check(id, version, sent))
		}
	}
	return documents, nil
}

// number returns the number that text begins with, 0 if it does not, and what is behind it.
func number(text []byte) (n uint64, rest []byte) {
	for len(text) > 0 && '0' <= text[0] && text[0] <= '9' {
		n = n*10 + uint64(text[0]-'0')
		text = text[1:]
	}
	return n, text
}
