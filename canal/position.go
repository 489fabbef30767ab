package canal

import (
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
	place  place        // where that was
	server string       // being read
	file   string       // being read; place follows when the file has said when it was begun
}

// parsePosition reads a checkpoint as checkpoint writes it. One of another flavour is an error.
func parsePosition(flavor Flavor, checkpoint string) (*position, error) {
	prefix, text, ok := strings.Cut(checkpoint, ":")
	if !ok || Flavor(prefix) != flavor {
		return nil, fmt.Errorf("checkpoint %q is not one of %s", checkpoint, flavor)
	}
	text, where, located := strings.Cut(text, " ")
	set, err := parseSet(flavor, text)
	if err != nil {
		return nil, fmt.Errorf("checkpoint %q: %w", checkpoint, err)
	}
	p := &position{flavor: flavor, set: set}
	if located {
		if p.place, err = parsePlace(where); err != nil {
			return nil, fmt.Errorf("checkpoint %q: %w", checkpoint, err)
		}
	}
	return p, nil
}

func parseSet(flavor Flavor, text string) (mysql.GTIDSet, error) {
	// MySQL breaks the lines of long sets.
	return mysql.ParseGTIDSet(string(flavor), strings.ReplaceAll(text, "\n", ""))
}

// checkpoint writes the position down, with its flavour and its place.
func (p *position) checkpoint() string {
	text := string(p.flavor) + ":" + p.set.String()
	if p.place.file != "" {
		text += " " + p.place.String()
	}
	return text
}

// contains reports whether every transaction of set has been read.
func (p *position) contains(set mysql.GTIDSet) bool { return p.set.Contain(set) }

// clone returns a copy that later transactions do not change.
func (p *position) clone() *position {
	return &position{flavor: p.flavor, set: p.set.Clone(), place: p.place, server: p.server, file: p.file}
}

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
