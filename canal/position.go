package canal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	"github.com/google/uuid"
)

// Flavor is a kind of server, as go-mysql names it.
type Flavor string

// The flavours of server.
const (
	MySQL   Flavor = mysql.MySQLFlavor
	MariaDB Flavor = mysql.MariaDBFlavor
)

// position is the set of transactions that have been read to their end.
type position struct {
	flavor Flavor
	set    mysql.GTIDSet
	next   func() error // adds the transaction being read; nil between transactions
}

// parsePosition reads a checkpoint as checkpoint writes it. One of another flavour is an error.
func parsePosition(flavor Flavor, checkpoint string) (*position, error) {
	prefix, text, ok := strings.Cut(checkpoint, ":")
	if !ok || Flavor(prefix) != flavor {
		return nil, fmt.Errorf("checkpoint %q is not one of %s", checkpoint, flavor)
	}
	set, err := parseSet(flavor, text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %q: %w", checkpoint, err)
	}
	return &position{flavor: flavor, set: set}, nil
}

func parseSet(flavor Flavor, text string) (mysql.GTIDSet, error) {
	// MySQL breaks the lines of long sets.
	return mysql.ParseGTIDSet(string(flavor), strings.ReplaceAll(text, "\n", ""))
}

// currentSet asks the server for the transactions that it has logged. Every commit that ended before is among them.
func currentSet(ctx context.Context, db *sql.DB, flavor Flavor) (mysql.GTIDSet, error) {
	query := "SELECT @@GLOBAL.gtid_executed"
	if flavor == MariaDB {
		query = "SELECT @@GLOBAL.gtid_binlog_pos"
	}
	var text string
	if err := db.QueryRowContext(ctx, query).Scan(&text); err != nil {
		return nil, fmt.Errorf("ask for the GTID position: %w", err)
	}
	set, err := parseSet(flavor, text)
	if err != nil {
		return nil, fmt.Errorf("GTID position %q: %w", text, err)
	}
	return set, nil
}

// checkpoint writes the position down, with its flavour.
func (p *position) checkpoint() string { return string(p.flavor) + ":" + p.set.String() }

// contains reports whether every transaction of set has been read.
func (p *position) contains(set mysql.GTIDSet) bool { return p.set.Contain(set) }

// clone returns a copy that later transactions do not change.
func (p *position) clone() *position { return &position{flavor: p.flavor, set: p.set.Clone()} }

var errTransactionID = errors.New("a transaction without GTID: the server must run with GTIDs")

// begin notes the transaction that the events to come belong to. One that was not seen to end has ended now.
func (p *position) begin(e replication.Event) error {
	if err := p.commit(); err != nil {
		return err
	}
	switch e := e.(type) {
	case *replication.MariadbGTIDEvent:
		gtid := e.GTID
		p.next = func() error { return p.set.(*mysql.MariadbGTIDSet).AddSet(&gtid) }
	case *replication.GTIDEvent:
		return p.beginMySQL(e.SID, e.Tag, e.GNO)
	case *replication.GtidTaggedLogEvent:
		return p.beginMySQL(e.SID, e.Tag, e.GNO)
	}
	return nil
}

func (p *position) beginMySQL(sid []byte, tag mysql.Tag, gno int64) error {
	if gno == 0 {
		return errTransactionID
	}
	id, err := uuid.FromBytes(sid)
	if err != nil {
		return fmt.Errorf("GTID event: %w", err)
	}
	p.next = func() error {
		p.set.(*mysql.MysqlGTIDSet).AddGTIDWithTag(id, tag, gno)
		return nil
	}
	return nil
}

// commit adds the transaction whose last event has been read.
func (p *position) commit() error {
	if p.next == nil {
		return nil
	}
	err := p.next()
	p.next = nil
	return err
}
