package cache

import (
	"strings"
	"time"

	"vidmeta/schema"
)

// Replay is a local tier by itself, to be asked for what a recorded trace asks for. It belongs to one goroutine.
type Replay struct {
	local *Local
	body  []byte
}

// NewReplay returns an empty tier with room for a number of documents of one size, whose entries live for a day. Close it.
func NewReplay(room int) (*Replay, error) {
	const least = 1 << 20 // what a tier must have at least
	size := max(1, least/room+1-entryOverhead)
	l, err := NewLocal(LocalConfig{
		MaxBytes: int64(room) * int64(size+entryOverhead), TTL: 24 * time.Hour,
	}, NewFence())
	if err != nil {
		return nil, err
	}
	return &Replay{local: l, body: []byte(strings.Repeat("x", size))}, nil
}

// Get reports whether the tier holds a document that it would serve.
func (r *Replay) Get(id uint64) bool {
	_, valid := r.local.get(schema.ID(id), time.Now().UnixMicro())
	return valid
}

// Put stores a document as a load does. It blocks until the document is there to be read.
func (r *Replay) Put(id uint64) {
	d, now := schema.Document{ID: schema.ID(id), Version: 1, Body: r.body}, time.Now().UnixMicro()
	r.local.put(now, arrival{doc: d, stamp: r.local.fence.Stamp(d.ID), asOf: now})
}

// Close ends the tier.
func (r *Replay) Close() { r.local.Close() }
