// Package history holds what clients of the service did and saw, and tells whether the service kept its promises.
//
// Whoever writes, reads or looks into Redis tells a [Recorder]; afterwards [History.Check] goes through all of it. It
// knows nothing of how the service works: only what was sent, what came back, and when.
package history

import (
	"fmt"
	"sync"
	"time"
)

// Time is a point in time, in microseconds since 1970. All times of one history are of one clock, but for the as-of of
// answers, which are what the service says.
type Time int64

// Now returns the time.
func Now() Time { return Time(time.Now().UnixMicro()) }

// At returns t as a Time.
func At(t time.Time) Time { return Time(t.UnixMicro()) }

// String returns the time of day in UTC.
func (t Time) String() string { return time.UnixMicro(int64(t)).UTC().Format("15:04:05.000000") }

// Sub returns the duration t-u.
func (t Time) Sub(u Time) time.Duration { return time.Duration(t-u) * time.Microsecond }

// Add returns the time d after t.
func (t Time) Add(d time.Duration) Time { return t + Time(d.Microseconds()) }

// State says whether there is a document.
type State string

// The states of a document. The empty one means that it is not known.
const (
	Live   State = "live"
	Absent State = "absent"
)

// Commit is a transaction that gave a document a version. What was there before the history began is one, too.
type Commit struct {
	ID      uint64 `json:"id"`
	Version uint64 `json:"version"`
	State   State  `json:"state,omitempty"` // after it
	// Begin is when COMMIT was sent, End when the answer was there. An End of 0 means that no answer came: the commit may
	// have happened at any time since Begin, or not at all.
	Begin Time `json:"begin"`
	End   Time `json:"end,omitempty"`
	// By is who did it and how.
	By string `json:"by,omitempty"`
}

// Answer is what the service said of one document.
type Answer struct {
	ID      uint64 `json:"id"`
	Version uint64 `json:"version"`
	State   State  `json:"state"`
	Body    uint64 `json:"body,omitempty"` // a hash of the body, 0 without one
	AsOf    Time   `json:"as_of"`          // as the service says
	Begin   Time   `json:"begin"`          // when the request was sent
	End     Time   `json:"end"`            // when the answer was there
	// Min is the version that the request asked for at least.
	Min uint64 `json:"min,omitempty"`
	// Client names who asked, if it is one that passes on what it has seen: its answers must not fall. Each request of a
	// client begins after the one before has ended.
	Client string `json:"client,omitempty"`
	// By is the node and the kind of request, Path the way of the answer through the tiers.
	By   string `json:"by,omitempty"`
	Path string `json:"path,omitempty"`
}

// Sample is what one process of Redis held under a key at some time between Begin and End.
type Sample struct {
	Key     string `json:"key"`
	Version uint64 `json:"version,omitempty"` // 0: nothing was there
	// Process is the life of a Redis process as a master: two of them need not agree, as a failover may lose writes.
	Process string `json:"process"`
	Begin   Time   `json:"begin"`
	End     Time   `json:"end"`
}

// Load is one load of one document from the origin, on behalf of however many requests, since no cache held it.
type Load struct {
	ID    uint64 `json:"id"`
	Begin Time   `json:"begin"`
	End   Time   `json:"end"`
	By    string `json:"by,omitempty"`
}

// Incident is something that was done to the service.
type Incident struct {
	Name  string `json:"name"`
	Begin Time   `json:"begin"`
	End   Time   `json:"end"`
	// Unversioned says that it changed documents without giving them versions, as TRUNCATE does: bodies from before may
	// differ from bodies from after it.
	Unversioned bool `json:"unversioned,omitempty"`
}

// History is everything that was seen, in no particular order.
type History struct {
	Commits   []Commit
	Answers   []Answer
	Samples   []Sample
	Loads     []Load
	Incidents []Incident
}

// String returns how much it holds.
func (h *History) String() string {
	return fmt.Sprintf("%d commits, %d answers, %d samples of Redis, %d loads, %d incidents",
		len(h.Commits), len(h.Answers), len(h.Samples), len(h.Loads), len(h.Incidents))
}

// Recorder gathers a history from many goroutines. The zero value is empty and ready.
type Recorder struct {
	mu sync.Mutex
	h  History
}

// Commit records a commit.
func (r *Recorder) Commit(c Commit) { record(r, &r.h.Commits, c) }

// Answer records an answer.
func (r *Recorder) Answer(a Answer) { record(r, &r.h.Answers, a) }

// Sample records a look into Redis.
func (r *Recorder) Sample(s Sample) { record(r, &r.h.Samples, s) }

// Load records a load from the origin.
func (r *Recorder) Load(l Load) { record(r, &r.h.Loads, l) }

// Incident records something that was done to the service.
func (r *Recorder) Incident(i Incident) { record(r, &r.h.Incidents, i) }

func record[E any](r *Recorder, to *[]E, e E) {
	r.mu.Lock()
	defer r.mu.Unlock()
	*to = append(*to, e)
}

// Take returns what has been recorded and begins anew.
func (r *Recorder) Take() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	r.h = History{}
	return &h
}

// History returns what has been recorded so far. The recorder may go on.
func (r *Recorder) History() *History {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.h
	return &h
}
