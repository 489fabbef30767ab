package api

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"vidmeta/schema"
)

func TestCacheStatus(t *testing.T) {
	type step = schema.Step
	trace := func(local, redis, origin step) schema.Trace { return schema.Trace{local, redis, origin} }
	tests := []struct {
		trace  schema.Trace
		stale  bool
		status int
		want   string
	}{
		{schema.Trace{}, false, 200, ""},
		{trace(step{Outcome: schema.Hit, TTL: 1500 * time.Millisecond}, step{}, step{}), false, 200, "vidmeta-local; hit; ttl=1"},
		{trace(step{Outcome: schema.Miss, Stored: true}, step{Outcome: schema.Hit, TTL: 3410 * time.Second}, step{}), false, 200,
			"vidmeta-redis; hit; ttl=3410, vidmeta-local; fwd=miss; stored"},
		{trace(step{Outcome: schema.Miss, Stored: true}, step{Outcome: schema.Miss, Stored: true}, step{Outcome: schema.Hit}), false, 200,
			"vidmeta-redis; fwd=miss; fwd-status=200; stored, vidmeta-local; fwd=miss; stored"},
		// A load that another request had begun.
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Hit, Collapsed: true}, step{}), false, 200,
			"vidmeta-redis; hit, vidmeta-local; fwd=miss; collapsed"},
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Miss, Collapsed: true}, step{Outcome: schema.Hit, Collapsed: true}), false, 404,
			"vidmeta-redis; fwd=miss; fwd-status=404; collapsed, vidmeta-local; fwd=miss; collapsed"},
		{trace(step{Outcome: schema.Bypassed}, step{Outcome: schema.Bypassed}, step{Outcome: schema.Hit, Collapsed: true}), false, 200,
			"vidmeta-redis; fwd=request; fwd-status=200; collapsed, vidmeta-local; fwd=request"},
		{trace(step{Outcome: schema.Stale}, step{Outcome: schema.Hit}, step{}), false, 200, "vidmeta-redis; hit, vidmeta-local; fwd=stale"},
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Failed}, step{Outcome: schema.Hit}), false, 200,
			"vidmeta-redis; fwd=bypass; fwd-status=200; detail=cache-failed, vidmeta-local; fwd=miss"},
		{trace(step{Outcome: schema.Stale}, step{Outcome: schema.Miss}, step{Outcome: schema.Failed}), true, 200,
			"vidmeta-redis; fwd=miss; fwd-status=503; detail=origin-failed, vidmeta-local; fwd=stale; detail=served-stale"},
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Stale}, step{Outcome: schema.Failed}), true, 200,
			"vidmeta-redis; fwd=stale; fwd-status=503; detail=served-stale, vidmeta-local; fwd=miss"},
		// The load did not end in time.
		{trace(step{Outcome: schema.Miss}, step{}, step{}), false, 503, "vidmeta-local; fwd=miss; fwd-status=503; detail=no-answer"},
		{trace(step{Outcome: schema.Stale}, step{}, step{}), true, 200, "vidmeta-local; fwd=stale; fwd-status=503; detail=served-stale"},
		{trace(step{Outcome: schema.Bypassed}, step{}, step{}), false, 503, "vidmeta-local; fwd=request; fwd-status=503; detail=no-answer"},
		// Nor did that of another node, which held the lease.
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Miss}, step{}), false, 503,
			"vidmeta-redis; fwd=miss; fwd-status=503; detail=no-answer, vidmeta-local; fwd=miss"},
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Stale}, step{}), true, 200,
			"vidmeta-redis; fwd=stale; fwd-status=503; detail=served-stale, vidmeta-local; fwd=miss"},
		// The origin failed, or took too long.
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Miss}, step{Outcome: schema.Failed}), false, 503,
			"vidmeta-redis; fwd=miss; fwd-status=503; detail=origin-failed, vidmeta-local; fwd=miss"},
		// Within stale-while-revalidate: answered at once.
		{trace(step{Outcome: schema.Hit, TTL: 7 * time.Second}, step{}, step{}), true, 200, "vidmeta-local; hit; ttl=7; detail=served-stale"},
		// Only-if-cached.
		{trace(step{Outcome: schema.Miss}, step{Outcome: schema.Stale}, step{}), false, 504, "vidmeta-redis; detail=not-forwarded, vidmeta-local; fwd=miss"},
		{trace(step{Outcome: schema.Miss}, step{}, step{}), false, 504, "vidmeta-local; detail=not-forwarded"},
		// Redis was not asked at all.
		{trace(step{Outcome: schema.Miss}, step{}, step{Outcome: schema.Hit}), false, 200, "vidmeta-local; fwd=miss; fwd-status=200"},
	}
	for _, tt := range tests {
		if got := string(appendCacheStatus(nil, &tt.trace, tt.stale, tt.status)); got != tt.want {
			t.Errorf("%+v:\n got %s\nwant %s", tt.trace, got, tt.want)
		}
	}
}

// member is what RFC 9211 and RFC 9651 allow of a member, as far as it is used here.
var member = regexp.MustCompile(`^vidmeta-(local|redis)(; hit(; ttl=\d+)?|; fwd=(bypass|request|stale|miss)(; fwd-status=\d{3})?)?` +
	`(; collapsed)?(; stored)?(; detail=[a-z-]+)?$`)

// Every combination is a well-formed list that says each thing at most once, and fits the buffer with all the rest.
// All but what the request forbade has been forwarded, unless it was answered.
func TestCacheStatusIsWellFormed(t *testing.T) {
	var longest int
	outcomes := []schema.Outcome{schema.NotAsked, schema.Hit, schema.Miss, schema.Stale, schema.Bypassed, schema.Failed}
	flags := []schema.Step{{}, {Collapsed: true, Stored: true, TTL: 1<<63 - 1}}
	for n := range len(outcomes) * len(outcomes) * len(outcomes) * 8 * 4 {
		var trace schema.Trace
		m := n
		for tier := range trace {
			trace[tier] = flags[m%2]
			m /= 2
		}
		for tier := range trace {
			trace[tier].Outcome = outcomes[m%len(outcomes)]
			m /= len(outcomes)
		}
		status := []int{http.StatusOK, http.StatusOK, http.StatusServiceUnavailable, http.StatusGatewayTimeout}[m]
		got := string(appendCacheStatus(nil, &trace, m == 1, status))
		longest = max(longest, len(got))
		if got == "" {
			if trace[schema.TierLocal].Outcome != schema.NotAsked || trace[schema.TierRedis].Outcome != schema.NotAsked {
				t.Errorf("%+v: nothing", trace)
			}
			continue
		}
		members := strings.Split(got, ", ")
		for _, m := range members {
			if !member.MatchString(m) {
				t.Fatalf("%+v: %q", trace, m)
			}
			if status != http.StatusGatewayTimeout && !strings.Contains(m, "; hit") && !strings.Contains(m, "; fwd=") {
				t.Fatalf("%+v: %d: %q", trace, status, m)
			}
		}
		if len(members) == 2 && members[0][:13] != "vidmeta-redis" {
			t.Errorf("not in order: %s", got)
		}
	}
	var f fields
	start := time.Unix(0, 0)
	a := schema.Answer{Document: schema.Document{Version: 1<<64 - 1}, AsOf: start}
	f.putState(&a, start, time.Unix(1<<40, 0), 200)
	f.put("Etag", appendETag(f.next(), a.Version))
	f.put("Last-Modified", start.UTC().AppendFormat(f.next(), "Mon, 02 Jan 2006 15:04:05 GMT"))
	f.put("Content-Length", append(f.next(), "18446744073709551615"...))
	if f.n+longest > len(f.buf) || f.len >= maxFields+1 {
		t.Errorf("%d bytes and %d of Cache-Status do not fit %d", f.n, longest, len(f.buf))
	}
}
