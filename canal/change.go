package canal

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-mysql-org/go-mysql/replication"

	"vidmeta/schema"
)

// meaning is what one binlog event means to the caches.
type meaning struct {
	begins  bool            // a transaction begins
	ends    bool            // the transaction has ended
	changes []schema.Change // documents that have reached versions
	drop    string          // why everything has to go, or ""
}

// preparedXA is FL_PREPARED_XA of MariaDB's Gtid_log_event (sql/log_event.h).
const preparedXA = 64

// watcher tells what events mean for one database. It is given them in order.
type watcher struct {
	database string
	open     bool           // within a transaction that an event of its own will end
	xa       bool           // of two phases, whose rows show when nobody can tell
	drop     string         // why everything has to go when the transaction has ended, or ""
	inText   *regexp.Regexp // the database's name
	ours     *regexp.Regexp // the name of a table of ours, or anything about triggers
}

func newWatcher(database string) *watcher {
	names := []string{schema.VersionTable, "TRIGGER"}
	for _, t := range schema.Tables {
		names = append(names, regexp.QuoteMeta(t))
	}
	anyOf := func(names ...string) *regexp.Regexp {
		return regexp.MustCompile(`(?i)\b(` + strings.Join(names, "|") + `)\b`)
	}
	return &watcher{database: database, inText: anyOf(regexp.QuoteMeta(database)), ours: anyOf(names...)}
}

// decodeRows decodes the rows of the version table and passes over those of all others. It is called with the header of
// each rows event.
func (w *watcher) decodeRows(e *replication.RowsEvent, data []byte) error {
	pos, err := e.DecodeHeader(data)
	if err != nil {
		return err
	}
	if string(e.Table.Table) != schema.VersionTable || string(e.Table.Schema) != w.database {
		return nil
	}
	return e.DecodeData(pos, data)
}

// meaningOf says what an event means. These are the patterns, of one transaction each:
//
//	GTID  QUERY(BEGIN)  { TABLE_MAP  ROWS }  XID            rows; MariaDB has no QUERY(BEGIN)
//	GTID  QUERY(BEGIN)  { TABLE_MAP  ROWS }  QUERY(COMMIT)  rows of a table without transactions
//	GTID  QUERY(BEGIN)  QUERY(text)  XID                    a statement logged as text
//	GTID  QUERY(text)                                       DDL, or anything that commits by itself
//	GTID  QUERY(XA START)  ROWS  QUERY(XA END)  XA_PREPARE  the first phase of XA, or both: its rows show now or later;
//	                                                        MariaDB says so in the flags of the GTID instead
//	GTID  QUERY(XA COMMIT)                                  the second phase: its rows are named nowhere near
//	TRANSACTION_PAYLOAD                                     any of these but the GTID, compressed
func (w *watcher) meaningOf(e *replication.BinlogEvent) (m meaning, err error) {
	if m, err = w.ofEvent(e); err != nil {
		return m, err
	}
	if m.drop != "" {
		w.drop = m.drop
	}
	m.drop = ""
	if !w.open || m.begins { // nothing of what it is for can be seen before
		m.drop, w.drop = w.drop, ""
	}
	return m, nil
}

func (w *watcher) ofEvent(e *replication.BinlogEvent) (meaning, error) {
	switch ev := e.Event.(type) {
	case *replication.MariadbGTIDEvent, *replication.GTIDEvent, *replication.GtidTaggedLogEvent:
		maria, ok := ev.(*replication.MariadbGTIDEvent)
		w.open, w.xa = ok && !maria.IsStandalone(), ok && maria.Flags&preparedXA != 0
		return meaning{begins: true}, nil
	case *replication.XIDEvent:
		w.open = false
		return meaning{ends: true}, nil
	case *replication.ExecuteLoadQueryEvent:
		return meaning{drop: "LOAD DATA was logged as a statement"}, nil
	case *replication.RowsEvent:
		return w.rows(ev)
	case *replication.QueryEvent:
		return w.query(string(ev.Schema), string(ev.Query)), nil
	}
	switch e.Header.EventType {
	case replication.XA_PREPARE_LOG_EVENT:
		w.open = false
		return meaning{ends: true}, nil
	case replication.INCIDENT_EVENT:
		return meaning{drop: "the server says that it has lost events", ends: !w.open}, nil
	}
	return meaning{}, nil
}

// rows reads the version table's rows, (video_id, version). With binlog_row_image=MINIMAL an update's after-image lacks
// the id, which its before-image has, and the before-image the version.
func (w *watcher) rows(e *replication.RowsEvent) (meaning, error) {
	switch {
	case len(e.Rows) == 0:
		return meaning{}, nil
	case w.xa:
		return meaning{drop: "rows were written in an XA transaction"}, nil
	}
	step := 2 // also of updates with parts of JSON, which have no type in the library
	switch e.Type() {
	case replication.EnumRowsEventTypeDelete:
		return meaning{drop: "rows were deleted from " + schema.VersionTable}, nil
	case replication.EnumRowsEventTypeInsert:
		step = 1
	}
	m := meaning{changes: make([]schema.Change, 0, len(e.Rows)/step)}
	for row := range slices.Chunk(e.Rows, step) {
		id, ok := unsigned(row[step-1], 0)
		if before, had := unsigned(row[0], 0); !ok {
			id, ok = before, had
		} else if had && before != id {
			return meaning{drop: "ids were changed in " + schema.VersionTable}, nil
		}
		version, hasVersion := unsigned(row[step-1], 1)
		if !ok || !hasVersion {
			return meaning{}, fmt.Errorf("a row event of %s without id and version: %v", schema.VersionTable, row)
		}
		if before, had := unsigned(row[0], 1); had && version < before {
			version = min(before, uint64(schema.MaxVersion)) + 1 // as in the queue
		}
		m.changes = append(m.changes, schema.Change{ID: schema.ID(id), Version: schema.Version(version)})
	}
	return m, nil
}

// unsigned returns a BIGINT UNSIGNED column of a row, which arrives as int64 where the binlog does not say UNSIGNED.
func unsigned(row []any, column int) (uint64, bool) {
	if column >= len(row) {
		return 0, false
	}
	switch v := row[column].(type) {
	case int64:
		return uint64(v), true
	case uint64:
		return v, true
	}
	return 0, false
}

// query judges a statement by its text and the database it ran in. What ends a transaction is judged by the transaction,
// since a statement may begin with anything; whether it touches a table of ours, by its mention, and when in doubt for
// dropping everything, since such statements are rare.
func (w *watcher) query(database, text string) meaning {
	words := strings.Fields(strings.ToUpper(text[:min(len(text), 64)]))
	words = append(words, "", "")
	first, second := words[0], words[1]
	switch {
	case first == "BEGIN":
		w.open = true
		return meaning{}
	case first == "XA" && second == "START":
		w.open, w.xa = true, true
		return meaning{}
	case first == "XA" && (second == "COMMIT" || second == "ROLLBACK"):
		w.open = false
		m := meaning{ends: true}
		if second == "COMMIT" {
			m.drop = "an XA transaction was committed"
		}
		return m
	case (first == "COMMIT" || first == "ROLLBACK") && second == "":
		w.open = false
		return meaning{ends: true}
	}
	m := meaning{ends: !w.open}
	if w.changesDocuments(first, second, database, text) {
		m.drop = "a statement that is not of rows: " + text[:min(len(text), 120)]
	}
	return m
}

func (w *watcher) changesDocuments(first, second, database, text string) bool {
	switch first {
	case "FLUSH", "GRANT", "OPTIMIZE", "REVOKE":
		return false // changes no row
	case "ANALYZE": // MariaDB's ANALYZE UPDATE does what it analyses
		if second == "TABLE" || second == "LOCAL" || second == "NO_WRITE_TO_BINLOG" {
			return false
		}
	}
	if wholeDatabase.MatchString(text) && w.inText.MatchString(text) {
		return true
	}
	if !strings.ContainsAny(text, "#\"\\") && !strings.Contains(text, "--") && !strings.Contains(text, "/*") {
		text = quoted.ReplaceAllString(text, "$1''")
	}
	return w.ours.MatchString(text) && (database == w.database || w.inText.MatchString(text))
}

var (
	// quoted matches string literals, whose words name no table, and as its group names in backticks, where there is nothing
	// else that an apostrophe may be part of.
	quoted = regexp.MustCompile("(`(?:[^`]|``)*`)|'(?:[^']|'')*'")
	// wholeDatabase matches what may do away with a database, with comments anywhere.
	wholeDatabase = regexp.MustCompile(`(?is)\b(?:DROP|ALTER)\b.*\b(?:DATABASE|SCHEMA)\b`)
)
