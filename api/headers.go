package api

import (
	"net/http"
	"strconv"
	"time"

	"vidmeta/schema"
)

// valueVary: a request with Vidmeta-Min-Version must not be answered by a cache downstream from what it keeps for
// requests without.
var valueVary = []string{"Vidmeta-Min-Version"}

// fields gathers the values of an answer's own header fields in one buffer, to make one string and one slice of all.
type fields struct {
	buf  [512]byte
	n    int // bytes used of buf; a value that does not fit is cut, none comes near
	keys [maxFields]string
	ends [maxFields]int
	len  int
}

const maxFields = 8

// next returns the free part of the buffer, to append the next value to.
func (f *fields) next() []byte { return f.buf[f.n:f.n:len(f.buf)] }

// put takes what was appended to next as the value of key, which is in Go's canonical form.
func (f *fields) put(key string, value []byte) {
	f.n += min(len(value), len(f.buf)-f.n)
	f.keys[f.len], f.ends[f.len] = key, f.n
	f.len++
}

// set moves all values into h: two allocations.
func (f *fields) set(h http.Header) {
	all := string(f.buf[:f.n])
	values := make([]string, f.len)
	start := 0
	for i := range values {
		values[i] = all[start:f.ends[i]]
		h[f.keys[i]] = values[i : i+1 : i+1]
		start = f.ends[i]
	}
}

// putState adds the fields that every answer about a document has, existing or not, changed or not.
func (f *fields) putState(a *schema.Answer, start, now time.Time, status int) {
	f.put("Vidmeta-Version", strconv.AppendUint(f.next(), uint64(a.Version), 10))
	f.putAsOf(a.AsOf, now)
	if b := appendCacheStatus(f.next(), &a.Trace, a.Stale, status); len(b) > 0 {
		f.put("Cache-Status", b)
	}
	f.putTiming(start, now)
}

// putAsOf adds the time as of which the answer is true, as a time and as an age.
func (f *fields) putAsOf(asOf, now time.Time) {
	f.put("Age", appendSeconds(f.next(), now.Sub(asOf)))
	f.put("Vidmeta-As-Of", appendAsOf(f.next(), asOf))
}

// putTiming adds what the service itself has needed, in milliseconds.
func (f *fields) putTiming(start, now time.Time) {
	b := append(f.next(), "total;dur="...)
	us := max(0, now.Sub(start).Microseconds())
	b = strconv.AppendInt(b, us/1000, 10)
	b = append(b, '.', byte('0'+us/100%10), byte('0'+us/10%10), byte('0'+us%10))
	f.put("Server-Timing", b)
}

func appendETag(b []byte, v schema.Version) []byte {
	b = append(b, '"')
	b = strconv.AppendUint(b, uint64(v), 10)
	return append(b, '"')
}

// lastModified returns the second to announce for a version, which is the microsecond of the last change. It is
// rounded up, and it is never after what the answer is known to show: so two versions of one second are told apart,
// unless a transaction was open from before that second's end until after the answer's as-of. The entity tag has no
// such gap, and a client that sends both is judged by the tag.
func lastModified(v schema.Version, asOf time.Time) int64 {
	const second = 1_000_000
	return min((int64(v)+second-1)/second, max(0, asOf.Unix()))
}

// setCommon sets the fields that every response has, whatever it says.
func (s *Server) setCommon(h http.Header, r *http.Request) {
	if id := requestID(r); id != nil {
		h["X-Request-Id"] = id
	}
	if s.draining.Load() {
		h["Connection"] = valueClose // the client's next request is for somebody else
	}
}

// maxRequestID bounds the request ids that are repeated.
const maxRequestID = 128

// requestID returns the request's X-Request-Id if it has one that can be repeated as it is.
func requestID(r *http.Request) []string {
	id := r.Header["X-Request-Id"]
	if len(id) != 1 || id[0] == "" || len(id[0]) > maxRequestID {
		return nil
	}
	for i := range len(id[0]) {
		if c := id[0][i]; c <= ' ' || c > '~' {
			return nil
		}
	}
	return id[:1:1]
}
