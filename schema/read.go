package schema

import (
	"errors"
	"time"
)

// Errors that a read can end with. Anything else is a fault of the program or of a tier, and carries its own text.
var (
	// ErrOverloaded: the limit on origin loads is reached and the queue before it is full. Worth a retry in a second.
	ErrOverloaded = errors.New("too many origin loads under way")
	// ErrUnavailable: no tier that could have answered within the bound was able to.
	ErrUnavailable = errors.New("no tier could answer")
	// ErrNotCached: the request forbade to load (only-if-cached) and no tier holds a fitting answer.
	ErrNotCached = errors.New("not cached")
	// ErrNotYetVisible: the origin still answers with a version older than one that is known to exist.
	ErrNotYetVisible = errors.New("the origin does not show the version asked for")
)

// ReadOptions is what one request asks of the answer. The zero value asks for the service's defaults.
type ReadOptions struct {
	// Now is the time of the request; ages are reckoned from it. Zero means time.Now().
	Now time.Time
	// MaxAge is how far the as-of of the answer may lie before Now. Zero means the service's default; use NoCache to
	// ask for zero.
	MaxAge time.Duration
	// MaxStale is how much older than MaxAge the answer may be, if that lets it come at once; it is renewed in the
	// background then. The service's bound for errors holds all the same. Zero means that the request says nothing of it:
	// then the service's stale-while-revalidate holds, unless MaxAge is set.
	MaxStale time.Duration
	// NoCache asks for an answer as of Now or later, which only the origin can give.
	NoCache bool
	// OnlyIfCached forbids a load from the origin; a read that would need one ends with ErrNotCached.
	OnlyIfCached bool
	// MinVersion refuses every answer older than this version, from whatever tier: read your own writes.
	MinVersion Version
}

// Answer is what a read found.
type Answer struct {
	// Document is the document, or the knowledge that it does not exist (Body nil).
	Document
	// AsOf is the time as of which the answer is known to be true: it shows every commit that ended before AsOf.
	AsOf time.Time
	// Stale says that the answer is older than was asked for, and is given because nothing better could be had in time.
	Stale bool
	// Trace says which tiers were asked and what each had.
	Trace Trace
}

// Result is one answer of a read of many.
type Result struct {
	Answer
	// Err is why there is no answer, nil if there is one.
	Err error
}

// Tier is one of the places that an answer can come from.
type Tier uint8

// The tiers in the order in which they are asked.
const (
	TierLocal Tier = iota
	TierRedis
	TierOrigin
	tiers
)

// String returns the tier's name as it stands in metrics and in Cache-Status.
func (t Tier) String() string { return [...]string{"local", "redis", "origin"}[t] }

// Outcome is what a tier had to say to one read.
type Outcome uint8

// The outcomes of asking a tier.
const (
	NotAsked Outcome = iota
	Hit              // held an answer that fits
	Miss             // held nothing
	Stale            // held an answer too old, or of too low a version, for this request
	Bypassed         // was passed over because the request asked for it
	Failed           // could not answer: an error, a time-out, an open breaker
)

// String returns the outcome's name as it stands in metrics.
func (o Outcome) String() string {
	return [...]string{"not_asked", "hit", "miss", "stale", "bypassed", "failed"}[o]
}

// Step is what one tier had to say, for Cache-Status.
type Step struct {
	Outcome   Outcome
	Collapsed bool          // the read joined a load that another request had begun
	Stored    bool          // the answer was stored in this tier
	TTL       time.Duration // what is left of the entry's life in this tier, with Hit
}

// Trace is indexed by Tier.
type Trace [tiers]Step
