package arm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// Bounds of vidmeta's own reads of MySQL, and the connections that it has besides those for loads.
const (
	originTimeout    = 2 * time.Second
	statementTimeout = originTimeout - 200*time.Millisecond
	spareConns       = 4
)

// parts are what Go arms are made of.
type parts struct {
	Settings
	tally *tally
	store *schema.Store // once origin has been called
	ahead prefetched
	find  lookup // what the arm answers with

	closers []func() error
}

// later has f called at the end, before what was said earlier.
func (p *parts) later(f func() error) { p.closers = append(p.closers, f) }

func (p *parts) close() {
	for _, f := range slices.Backward(p.closers) {
		_ = f() // the process ends
	}
}

// origin returns the lookup in MySQL, through as many connections as vidmeta has.
func (p *parts) origin() (lookup, error) {
	db, err := mysqldb.Open(p.MySQL, mysqldb.Pool{MaxOpen: p.OriginWidth + spareConns, StatementTimeout: statementTimeout})
	if err != nil {
		return nil, err
	}
	p.later(db.Close)
	if err := db.Ping(); err != nil {
		return nil, fmt.Errorf("reach MySQL: %w", err)
	}
	store := schema.NewStore(db)
	p.later(store.Close)
	p.store = store
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		if d, ok := p.ahead.get(id); ok {
			return d, nil
		}
		ctx, cancel := context.WithTimeout(ctx, originTimeout)
		defer cancel()
		all, err := store.Load(ctx, []schema.ID{id})
		if err != nil {
			return schema.Document{}, err
		}
		return all[0], nil
	}, nil
}

// client returns a client of Redis with the library's own defaults.
func (p *parts) client() redis.UniversalClient {
	c := redis.NewUniversalClient(&redis.UniversalOptions{Addrs: p.Redis})
	p.later(c.Close)
	return c
}

// key is under what Redis keeps a document. Each arm has keys of its own: they write values in different ways.
func (p *parts) key(id schema.ID) string { return p.Name + ":" + strconv.FormatUint(uint64(id), 10) }

// idOf is the inverse of key.
func (p *parts) idOf(key string) (schema.ID, error) {
	id, err := strconv.ParseUint(strings.TrimPrefix(key, p.Name+":"), 10, 64)
	return schema.ID(id), err
}

// versionBytes is the width of the version in a value.
const versionBytes = 8

// value is a document as caches of bytes keep it: the version, then the body. That of a document that does not exist has
// no body.
func value(d schema.Document) []byte {
	b := make([]byte, 0, versionBytes+len(d.Body))
	return append(binary.BigEndian.AppendUint64(b, uint64(d.Version)), d.Body...)
}

// document is the inverse of value. The document keeps b.
func document(id schema.ID, b []byte) (schema.Document, error) {
	if len(b) < versionBytes {
		return schema.Document{}, fmt.Errorf("video %d: %d bytes are no document", id, len(b))
	}
	d := schema.Document{ID: id, Version: schema.Version(binary.BigEndian.Uint64(b))}
	if len(b) > versionBytes {
		d.Body = b[versionBytes:]
	}
	return d, nil
}

// errMissing is what libraries are told that want to hear of a document that does not exist as an error.
var errMissing = errors.New("no such video")
