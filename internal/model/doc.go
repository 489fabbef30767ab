// Package model is a model of the protocol that keeps answers as true as they say, small enough that every order of
// events can be tried: one document, a few versions, MySQL, Redis and its failovers, sidecars, the feed, nodes and readers.
// No program uses it; its tests do, and docs/model.md says what they show.
package model
