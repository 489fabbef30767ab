package canal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// status is what a server says of itself at one moment.
type status struct {
	server   string        // which one it is
	set      mysql.GTIDSet // what it has logged; every commit that ended before is among it
	readOnly bool
}

var (
	errMoved   = errors.New("another server answers now")
	errAnother = errors.New("the server has begun another binlog")
)

// identity is the expression by which a server says which one it is.
func identity(flavor Flavor) string {
	if flavor == MariaDB {
		return "SHA1(CONCAT_WS('/', @@server_id, @@hostname, @@port, @@datadir))"
	}
	return "@@server_uuid"
}

// statusColumns are the expressions that scan reads.
func statusColumns(flavor Flavor) string {
	set := "@@GLOBAL.gtid_executed"
	if flavor == MariaDB {
		set = "@@GLOBAL.gtid_binlog_pos"
	}
	return identity(flavor) + ", " + set + ", @@GLOBAL.read_only"
}

// scanStatus reads the columns of statusColumns after others.
func scanStatus(row *sql.Row, flavor Flavor, others ...any) (s status, err error) {
	var set, readOnly string
	if err := row.Scan(append(others, &s.server, &set, &readOnly)...); err != nil {
		return s, err
	}
	s.readOnly = readOnly != "0" && readOnly != "OFF"
	if s.set, err = parseSet(flavor, set); err != nil {
		return s, fmt.Errorf("GTID position %q: %w", set, err)
	}
	return s, nil
}

// askAnew asks whichever server a connection leads to that is not used for anything else after it. If the pool keeps no
// idle ones, it has just been opened. A server that does not answer within lockIdle is an error.
func askAnew(ctx context.Context, db *sql.DB, flavor Flavor) (status, error) {
	ctx, cancel := context.WithTimeout(ctx, lockIdle*time.Second)
	defer cancel()
	conn, err := db.Conn(ctx)
	if err != nil {
		return status{}, fmt.Errorf("ask for the GTID position: %w", err)
	}
	defer conn.Close()
	s, err := scanStatus(conn.QueryRowContext(ctx, "SELECT "+statusColumns(flavor)), flavor)
	if err != nil {
		return s, fmt.Errorf("ask for the GTID position: %w", err)
	}
	_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	return s, nil
}

// follows returns why s cannot be what the server of an earlier status has come to.
func (s status) follows(earlier status) error {
	switch {
	case s.server != earlier.server:
		return fmt.Errorf("%w: %s after %s", errMoved, s.server, earlier.server)
	case !s.set.Contain(earlier.set):
		return fmt.Errorf("%w: it is at %s after %s", errAnother, s.set, earlier.set)
	}
	return nil
}
