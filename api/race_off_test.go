//go:build !race

package api

const raceAllocs = 0
