// Package load asks a server for videos as many clients would, and says how well it answered: which ids are asked for,
// closed and open loops, answers that lack a change, and the writers that make those changes.
package load
