package schema

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
)

// A Snapshot reads as Store.Load does in the other way that gives one snapshot: a read-only transaction of one prepared
// statement for each table, on a connection of its own. It is here to be compared with; see docs/loading-documents.md.
type Snapshot struct {
	conn  *sql.Conn
	size  int
	stmts [parts]*sql.Stmt
}

func NewSnapshot(ctx context.Context, db *sql.DB, size int) (*Snapshot, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	s := &Snapshot{conn: conn, size: size}
	for part := range s.stmts {
		if s.stmts[part], err = conn.PrepareContext(ctx, selectPart(part, size)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *Snapshot) Close() error { return s.conn.Close() }

// Load takes exactly as many ids as the Snapshot is for.
func (s *Snapshot) Load(ctx context.Context, ids []ID) ([]Document, error) {
	if _, err := s.conn.ExecContext(ctx, "START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return nil, err
	}
	b := newBatch(ids)
	args := make([]any, len(ids))
	for i, id := range ids {
		args[i] = uint64(id)
	}
	for _, stmt := range s.stmts {
		if err := s.read(ctx, stmt, args, b); err != nil {
			return nil, err
		}
	}
	if _, err := s.conn.ExecContext(ctx, "COMMIT"); err != nil {
		return nil, err
	}
	return b.documents(ids), nil
}

func (s *Snapshot) read(ctx context.Context, stmt *sql.Stmt, args []any, b *batch) error {
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	sc := newScanner()
	for rows.Next() {
		if err := sc.scan(rows, b.find); err != nil {
			return err
		}
	}
	return rows.Err()
}

// LoadByText is Store.Load with a statement that is not prepared: the ids stand in its text.
func LoadByText(ctx context.Context, db *sql.DB, ids []ID) ([]Document, error) {
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(ids), " ", ","), "[]")
	text := strings.ReplaceAll(selectDocuments(1), "(?)", "("+list+")")
	rows, err := db.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	b := newBatch(ids)
	sc := newScanner()
	for rows.Next() {
		if err := sc.scan(rows, b.find); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return b.documents(ids), nil
}
