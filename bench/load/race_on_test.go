//go:build race

package load

// allocated is how many allocations a request may make. The race detector has pools forget at random what they hold.
const allocated = 8
