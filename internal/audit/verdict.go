package audit

import (
	"vidmeta/cache"
	"vidmeta/schema"
)

// verdict is what a comparison of a tier with MySQL comes to.
type verdict string

const (
	nothing    verdict = "nothing"    // the tier holds nothing
	unserved   verdict = "unserved"   // it would not serve what it holds, at least not as fresh
	unanswered verdict = "unanswered" // the tier, or MySQL, could not be asked
	agrees     verdict = "agrees"
	older      verdict = "older"
	newer      verdict = "newer"
	differs    verdict = "differs" // another body, or one where there is none, under the same version
)

// disagrees reports whether a tier that holds something is wrong about it.
func (v verdict) disagrees() bool { return v == older || v == newer || v == differs }

// compared reports whether there was something to compare.
func (v verdict) compared() bool { return v == agrees || v.disagrees() }

// judge compares what a tier holds with what MySQL had before the tier was asked, and, where that was overtaken, with
// what it had after; after is nil if MySQL has not been asked again.
//
// A document that goes on changing is in agreement: whatever the tier holds is not older than before, and not newer than
// after.
func judge(h cache.Held, before schema.Document, after *schema.Document) verdict {
	switch {
	case h.State == cache.StateFailed:
		return unanswered
	case h.State == cache.StateNothing:
		return nothing
	case h.Why != "":
		return unserved
	case h.Version < before.Version:
		return older
	case h.Version == before.Version:
		return compareBodies(h, before)
	case after == nil:
		return unanswered
	case h.Version < after.Version:
		return agrees
	case h.Version == after.Version:
		return compareBodies(h, *after)
	}
	return newer
}

func compareBodies(h cache.Held, d schema.Document) verdict {
	if h.Digest != cache.Digest(d.Body) { // which is "" where there is no document
		return differs
	}
	return agrees
}
