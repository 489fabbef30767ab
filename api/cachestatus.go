package api

import (
	"net/http"
	"strconv"

	"vidmeta/schema"
)

// caches are the tiers that are caches, in the order of Cache-Status.
var caches = [...]struct {
	tier schema.Tier
	name string
}{{schema.TierRedis, "vidmeta-redis"}, {schema.TierLocal, "vidmeta-local"}}

// appendCacheStatus appends the RFC 9211 list: one member per cache that was asked, the one nearest the origin first
// and the one nearest the user last, as the RFC has it. The origin is no cache; what it said stands with the last
// cache before it, as fwd-status. status is that of the answer.
//
//	hit in this process      vidmeta-local; hit; ttl=12
//	hit in Redis             vidmeta-redis; hit; ttl=3410, vidmeta-local; fwd=miss; stored
//	loaded                   vidmeta-redis; fwd=miss; fwd-status=200; stored, vidmeta-local; fwd=miss; stored
//	origin away, kept answer vidmeta-redis; fwd=miss; fwd-status=503; detail=origin-failed, vidmeta-local; fwd=stale; detail=served-stale
//	no answer in time        vidmeta-local; fwd=miss; fwd-status=503; detail=no-answer
//	only-if-cached           vidmeta-redis; detail=not-forwarded, vidmeta-local; fwd=miss
//
// Only a request that forbids it, which ends with 504, is not forwarded. Where nothing is known of the next tier, the
// reader had no time to wait for it, or for another node that was asking the origin.
func appendCacheStatus(b []byte, t *schema.Trace, stale bool, status int) []byte {
	origin := &t[schema.TierOrigin]
	next := origin // what the cache at hand asks if it has no answer itself
	empty := len(b)
	for i, c := range caches {
		step := &t[c.tier]
		if step.Outcome == schema.NotAsked {
			continue
		}
		if len(b) > empty {
			b = append(b, ", "...)
		}
		b = append(b, c.name...)

		held := step.Outcome == schema.Hit || step.Outcome == schema.Stale
		served := held && (i == len(caches)-1 || t[caches[i+1].tier].Outcome != schema.Stale) // if anything stale was
		asked := next.Outcome != schema.NotAsked
		forwarded := step.Outcome != schema.Hit && (asked || status != http.StatusGatewayTimeout)
		b = appendReason(b, step, forwarded)
		if forwarded && next == origin {
			b = appendOrigin(b, origin, status)
		}
		// Whoever joined a load found the next tier being asked already: it is this cache's question that was shared.
		if forwarded && next.Collapsed {
			b = append(b, "; collapsed"...)
		}
		if step.Stored {
			b = append(b, "; stored"...)
		}
		switch {
		case stale && served:
			b = append(b, "; detail=served-stale"...)
		case step.Outcome == schema.Failed:
			b = append(b, "; detail=cache-failed"...)
		case forwarded && next == origin && origin.Outcome == schema.Failed:
			b = append(b, "; detail=origin-failed"...)
		case forwarded && !asked:
			b = append(b, "; detail=no-answer"...)
		case !forwarded && step.Outcome != schema.Hit:
			b = append(b, "; detail=not-forwarded"...)
		}
		next = step
	}
	return b
}

// appendReason says that a cache answered, or why it asked further. A cache that did neither, since the request
// forbade to ask further, gets nothing here.
func appendReason(b []byte, s *schema.Step, forwarded bool) []byte {
	if s.Outcome == schema.Hit {
		b = append(b, "; hit"...)
		if s.TTL > 0 {
			b = appendSeconds(append(b, "; ttl="...), s.TTL)
		}
		return b
	}
	if !forwarded {
		return b
	}
	b = append(b, "; fwd="...)
	switch s.Outcome {
	case schema.Stale:
		return append(b, "stale"...)
	case schema.Bypassed:
		return append(b, "request"...)
	case schema.Failed:
		return append(b, "bypass"...)
	}
	return append(b, "miss"...)
}

// appendOrigin says what came back from the origin, 503 if nothing did. Without it the RFC has the reader assume the
// answer's own status, which would be wrong for a kept answer.
func appendOrigin(b []byte, origin *schema.Step, status int) []byte {
	if origin.Outcome != schema.Hit {
		status = http.StatusServiceUnavailable
	}
	return strconv.AppendInt(append(b, "; fwd-status="...), int64(status), 10)
}
