package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"
)

// MaxLoad is the largest number of different ids, or public ids, that one call of a Store takes. A longer list would have
// to be several statements, and so several snapshots: the caller is to say where one ends.
const MaxLoad = 1024

// Errors of a Store that a caller may tell apart.
var (
	// ErrTooMany: a call with more than MaxLoad different ids.
	ErrTooMany = errors.New("too many ids for one snapshot")
	// ErrClosed: a call to a Store that has been closed.
	ErrClosed = errors.New("the store is closed")
)

// A Store reads documents from their tables, on MySQL and MariaDB. It is safe for concurrent use. One call is one
// statement in one round trip, whatever is asked of it; it blocks for a connection of the pool and for the server.
//
// It does not depend on the time zone, the charset or the sql_mode of the sessions. Their isolation must be READ
// COMMITTED or stronger and they must commit by themselves, as those that package mysqldb opens do.
type Store struct {
	documents statements
	versions  statements
	publicIDs statements
}

// NewStore returns a Store that reads by db, which remains the caller's and must be open for as long as the Store is in
// use. It does not touch the database. Close the Store to free its prepared statements.
func NewStore(db *sql.DB) *Store {
	return &Store{
		documents: statements{db: db, text: selectDocuments},
		versions:  statements{db: db, text: selectVersions},
		publicIDs: statements{db: db, text: selectPublicIDs},
	}
}

// Close frees the prepared statements. It lets calls that are under way end; later ones fail with ErrClosed.
func (s *Store) Close() error {
	return errors.Join(s.documents.close(), s.versions.close(), s.publicIDs.close())
}

// Load returns one Document for each id, in the order of ids, all of one snapshot that is not older than the call. An id
// may occur more than once; its documents share a Body. A video that does not exist has a nil Body, and the version
// under which it was deleted, or zero if there never was one. There are no documents if there is an error; a
// *VersionError tells of one among them that stands in the way.
func (s *Store) Load(ctx context.Context, ids []ID) ([]Document, error) {
	documents, err := s.read(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", describe(ids), err)
	}
	return documents, nil
}

func (s *Store) read(ctx context.Context, ids []ID) ([]Document, error) {
	if len(ids) == 0 {
		return nil, nil
	}
	batch := newBatch(ids)
	args := make([]any, len(batch.ids))
	for i, id := range batch.ids {
		args[i] = uint64(id)
	}
	rows, err := s.documents.query(ctx, args, parts)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	sc := newScanner()
	for rows.Next() {
		if err := sc.scan(rows, batch.find); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return batch.documents(ids), nil
}

// Resolve returns the id of the video that has each public id, in the order given, zero where there is none.
func (s *Store) Resolve(ctx context.Context, publicIDs []string) ([]ID, error) {
	ids, err := s.lookup(ctx, publicIDs)
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", describe(publicIDs), err)
	}
	return ids, nil
}

func (s *Store) lookup(ctx context.Context, publicIDs []string) ([]ID, error) {
	ids := make([]ID, len(publicIDs))
	wanted := make(map[string]ID, len(publicIDs))
	args := make([]any, 0, len(publicIDs))
	for _, p := range publicIDs {
		if _, again := wanted[p]; !again && ValidPublicID(p) {
			wanted[p] = 0
			args = append(args, p)
		}
	}
	if len(args) == 0 {
		return ids, nil
	}
	rows, err := s.publicIDs.query(ctx, args, 1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var id uint64
		var p string
		if err := rows.Scan(&id, &p); err != nil {
			return nil, err
		}
		wanted[p] = ID(id)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	for i, p := range publicIDs {
		ids[i] = wanted[p]
	}
	return ids, nil
}

// describe names the ids of a call in an error, the first ones if they are many.
func describe[T any](ids []T) string {
	const most = 3
	if len(ids) > most {
		return fmt.Sprintf("%v and %d more", ids[:most], len(ids)-most)
	}
	return fmt.Sprint(ids)
}

// A batch gathers the videos of one call of Load.
type batch struct {
	ids    []ID // each once
	videos []video
	index  map[ID]int // into both; nil for a single id
}

func newBatch(ids []ID) *batch {
	if len(ids) == 1 {
		return &batch{ids: ids, videos: make([]video, 1)}
	}
	b := &batch{ids: make([]ID, 0, len(ids)), index: make(map[ID]int, len(ids))}
	for _, id := range ids {
		if _, again := b.index[id]; !again {
			b.index[id] = len(b.ids)
			b.ids = append(b.ids, id)
		}
	}
	b.videos = make([]video, len(b.ids))
	return b
}

// find returns the video with an id of the batch, nil for other ids.
func (b *batch) find(id ID) *video {
	if b.index == nil {
		if id != b.ids[0] {
			return nil
		}
		return &b.videos[0]
	}
	i, ok := b.index[id]
	if !ok {
		return nil
	}
	return &b.videos[i]
}

// documents renders the videos, one document for each of ids.
func (b *batch) documents(ids []ID) []Document {
	once := make([]Document, len(b.ids))
	var scratch []byte
	for i, id := range b.ids {
		v := &b.videos[i]
		once[i] = Document{ID: id, Version: v.version}
		if v.exists {
			v.order()
			scratch = v.appendJSON(scratch[:0], id)
			once[i].Body = append(make([]byte, 0, len(scratch)), scratch...)
		}
	}
	if len(once) == len(ids) {
		return once
	}
	all := make([]Document, len(ids))
	for i, id := range ids {
		all[i] = once[b.index[id]]
	}
	return all
}

// sizes are the numbers of ids that statements are prepared for. A list is padded up to the next one with its last id,
// so that a few statements serve every length.
var sizes = [...]int{1, 4, 16, 64, 256, MaxLoad}

// statements are one SELECT, prepared when first needed for each of the sizes. database/sql prepares it again on every
// connection, so it outlives connections and restarts of the server.
type statements struct {
	db   *sql.DB
	text func(ids int) string

	mu       sync.Mutex // held for no longer than it takes to read or write what follows
	prepared [len(sizes)]*sql.Stmt
	closed   bool
}

// query runs the statement with args, repeated as often as the statement has lists.
func (s *statements) query(ctx context.Context, args []any, lists int) (*sql.Rows, error) {
	class := 0
	for class < len(sizes) && sizes[class] < len(args) {
		class++
	}
	if class == len(sizes) {
		return nil, fmt.Errorf("%w: %d, at most %d", ErrTooMany, len(args), MaxLoad)
	}
	stmt, err := s.prepare(ctx, class)
	if err != nil {
		return nil, err
	}
	size := sizes[class]
	all := make([]any, 0, size*lists)
	for range lists {
		all = append(all, args...)
		for i := len(args); i < size; i++ {
			all = append(all, args[len(args)-1])
		}
	}
	return stmt.QueryContext(ctx, all...)
}

// prepare returns the statement of a class of sizes. Callers do not wait for one another: of two that prepare the same,
// one frees its own again.
func (s *statements) prepare(ctx context.Context, class int) (*sql.Stmt, error) {
	stmt, err := s.publish(class, nil)
	if stmt != nil || err != nil {
		return stmt, err
	}
	stmt, err = s.db.PrepareContext(ctx, s.text(sizes[class]))
	if err != nil {
		return nil, err
	}
	winner, err := s.publish(class, stmt)
	if winner != stmt {
		_ = stmt.Close()
	}
	return winner, err
}

// publish returns the statement that is in use for a class, having put stmt there if there was none.
func (s *statements) publish(class int, stmt *sql.Stmt) (*sql.Stmt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, ErrClosed
	}
	if s.prepared[class] == nil {
		s.prepared[class] = stmt
	}
	return s.prepared[class], nil
}

func (s *statements) close() error {
	s.mu.Lock()
	prepared := s.prepared
	s.prepared, s.closed = [len(sizes)]*sql.Stmt{}, true
	s.mu.Unlock()
	var err error
	for _, stmt := range prepared {
		if stmt != nil {
			err = errors.Join(err, stmt.Close())
		}
	}
	return err
}

// selectPublicIDs is the statement that looks up a number of public ids.
func selectPublicIDs(n int) string {
	return "SELECT id, public_id FROM videos WHERE public_id IN (?" + strings.Repeat(",?", n-1) + ")"
}
