package cache

// Mechanisms names parts of a chain that can be left out, to measure what each is worth. Answers are as true without them,
// and cost more. The zero value leaves nothing out, which is right for everything but measurements.
type Mechanisms struct {
	// Local: reads neither ask nor fill the local tier, of documents and of public ids.
	Local bool
	// Coalescing: no two reads share a load, be it in the process or by waiting for the holder of a lease in Redis. Whoever
	// finds the lease taken loads at once and leaves the filling to its holder. Loads of one document may still be gathered
	// into one statement, unless Batching is left out too.
	Coalescing bool
	// Batching: each question to Redis is a round trip of its own, as many at once as there are connections, and each load
	// a statement of its own.
	Batching bool
	// Jitter: every TTL is exactly what is configured, so what was stored together ends together.
	Jitter bool
}
