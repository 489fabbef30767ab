//go:build race

package api

// raceAllocs: under the race detector sync.Pool forgets on purpose, and Echo makes a context now and then.
const raceAllocs = 20
