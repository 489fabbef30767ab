//go:build !race

package load

// allocated is how many allocations a request may make.
const allocated = 0
