package canal

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// place is where in the files of a server's binlog a position was reached. GTIDs alone do not tell that the server has
// begun to count anew, after RESET MASTER or after a crash that took the end of its binlog: it then gives the numbers
// that the position holds to other transactions. The zero value is no place.
type place struct {
	server  string // as identity gives it
	created uint32 // when the server began the file, in seconds since 1970
	offset  uint32 // how much of the file had been read, at least; it wraps beyond 4 GiB
	file    string
}

// String writes a place down as parsePlace reads it.
func (p place) String() string {
	return fmt.Sprintf("%s %d %d %s", p.server, p.created, p.offset, p.file)
}

func parsePlace(text string) (p place, err error) {
	fields := strings.SplitN(text, " ", 4)
	if len(fields) != 4 {
		return p, fmt.Errorf("%q is no place in a binlog", text)
	}
	created, err1 := strconv.ParseUint(fields[1], 10, 32)
	offset, err2 := strconv.ParseUint(fields[2], 10, 32)
	if err := errors.Join(err1, err2); err != nil {
		return p, fmt.Errorf("%q is no place in a binlog: %w", text, err)
	}
	return place{server: fields[0], created: uint32(created), offset: uint32(offset), file: fields[3]}, nil
}

// locate notes where an event stands. Within a transaction the place stays where the transaction began. It does not go back
// to a file that is passed over because all of it is known, nor within the file that it is in.
func (p *position) locate(e *replication.BinlogEvent) {
	h := e.Header
	switch ev := e.Event.(type) {
	case *replication.RotateEvent:
		p.file = string(ev.NextLogName)
	case *replication.FormatDescriptionEvent: // the first of each file, and of each connection
		begun := place{server: p.server, created: h.Timestamp, file: p.file}
		known := begun.server == p.place.server && p.place.file != ""
		if known && (begun.created < p.place.created || begun.created == p.place.created && begun.file == p.place.file) {
			break
		}
		p.place = begun
	case *replication.MariadbGTIDEvent, *replication.GTIDEvent, *replication.GtidTaggedLogEvent:
		p.advance(h.LogPos - min(h.LogPos, h.EventSize)) // everything before it has been read
	default:
		if p.next == nil {
			p.advance(h.LogPos)
		}
	}
}

func (p *position) advance(offset uint32) {
	if p.file == p.place.file {
		p.place.offset = max(p.place.offset, offset)
	}
}

// stands reports whether the server still has the file of a place, begun when it was, and read as far as it was. If
// another server has taken over, GTIDs have to do: then it is true. It asks by a connection of its own.
func (p place) stands(ctx context.Context, srv Server) (bool, error) {
	switch {
	case p.file == "":
		return false, nil
	case p.server != srv.identity:
		return true, nil
	}
	srv.ServerID = 0 // the stream goes by it
	syncer, err := srv.newSyncer(newWatcher(srv.Database), nil)
	if err != nil {
		return false, err
	}
	defer closeSyncer(syncer)
	events, err := syncer.StartSync(mysql.Position{Name: p.file, Pos: p.offset})
	for err == nil {
		var e *replication.BinlogEvent
		if e, err = events.GetEvent(ctx); err != nil {
			break
		}
		if _, ok := e.Event.(*replication.FormatDescriptionEvent); ok {
			return e.Header.Timestamp == p.created, nil
		}
	}
	if err = srv.explain(err); errors.Is(err, errPurged) {
		return false, nil
	}
	return false, err
}
