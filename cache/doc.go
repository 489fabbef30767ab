// Package cache answers reads of documents out of three tiers: Ristretto in the process, Redis, and the origin.
//
// Chain is the way in. One read of one missing document goes through these steps, each a file of its own:
//
//	local.go    an entry is served if its stamp still equals the fence's and its as-of is recent enough
//	front.go    where entries that are read are found without a lock; turnover.go: what leaves when the tier is full
//	flight.go   concurrent reads of one document become one load, detached from any caller
//	redis.go    plain reads, gathered per node by batch.go: what arrives during a round trip is the next one
//	lease.go    on a miss one loader in the whole fleet gets the right to load and fill
//	breaker.go  what keeps reads from waiting for a server that hangs
//	origin.go   concurrent loads become one statement, under a limit
//	fence.go    what keeps a late load from being served
//	feed.go, subscriber.go   the stream that tells every node what has changed, and how far it has been told
//
// Times inside the package are microseconds since 1970, as versions are.
//
// Locks: none of ours is held while another of ours is taken, and none across a call to Redis or MySQL.
package cache
