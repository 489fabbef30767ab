package schema

import (
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// The parts of a document, one for each table that it is read from. The first column of every row says which it is.
const (
	partVersion = iota
	partVideo
	partTag
	partCredit
	partRendition
	parts
)

// Columns of a row after the part and the id. What a part does not use is NULL.
const (
	numbers  = 3
	instants = 3
	texts    = 9
)

// selects has, for each part, the table and what it puts into the columns. Every text is turned into the bytes of its
// UTF-8, so that neither the collations of the tables nor the charset of the session have a say in the UNION; every time
// is turned into microseconds since 1970, and so does not depend on the session's time zone: UNIX_TIMESTAMP gives what a
// TIMESTAMP column holds, and a DATETIME is taken for UTC as it stands.
var selects = [parts]struct {
	table, id string
	numbers   []string
	instants  []string
	texts     []string
}{
	partVersion: {table: VersionTable, id: "video_id", numbers: []string{"version"}},
	partVideo: {table: "videos", id: "id",
		numbers: []string{"release_year", "duration_ms"},
		instants: []string{
			"TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', published_at)",
			"CAST(UNIX_TIMESTAMP(created_at) * 1000000 AS SIGNED)",
			"CAST(UNIX_TIMESTAMP(updated_at) * 1000000 AS SIGNED)",
		},
		texts: []string{
			"public_id", "title", "description", "kind", "channel", "category", "language", "status", "thumbnail_url",
		}},
	partTag:    {table: "video_tags", id: "video_id", texts: []string{"tag"}},
	partCredit: {table: "video_cast", id: "video_id", numbers: []string{"position"}, texts: []string{"name"}},
	partRendition: {table: "video_renditions", id: "video_id",
		numbers: []string{"width", "height", "bitrate_kbps"}, texts: []string{"quality", "codec", "url"}},
}

// selectPart is the SELECT of one part for a number of ids.
func selectPart(part, ids int) string {
	s := selects[part]
	var b strings.Builder
	fmt.Fprintf(&b, "SELECT %d, %s", part, s.id)
	pad := func(expressions []string, width int, format string) {
		for i := range width {
			if i < len(expressions) {
				fmt.Fprintf(&b, ", "+format, expressions[i])
			} else {
				b.WriteString(", NULL")
			}
		}
	}
	pad(s.numbers, numbers, "CAST(%s AS UNSIGNED)")
	pad(s.instants, instants, "%s")
	pad(s.texts, texts, "CAST(CONVERT(%s USING utf8mb4) AS BINARY)")
	fmt.Fprintf(&b, " FROM %s WHERE %s IN (?%s)", s.table, s.id, strings.Repeat(",?", ids-1))
	return b.String()
}

// selectDocuments is the one statement that reads every part of a number of documents. One statement is one read view,
// and so one snapshot. Its parameters are the ids, once for each part.
func selectDocuments(ids int) string {
	arms := make([]string, parts)
	for part := range arms {
		arms[part] = selectPart(part, ids)
	}
	return strings.Join(arms, " UNION ALL ")
}

// A scanner takes rows apart into videos. Scan hands it memory of the driver that is good for the duration of one call
// only, so what is kept is copied, into chunks that many values share.
type scanner struct {
	part     numberColumn
	id       numberColumn
	numbers  [numbers]numberColumn
	instants [instants]instantColumn
	texts    [texts]textColumn
	dest     []any

	chunk []byte
}

func newScanner() *scanner {
	s := &scanner{dest: make([]any, 0, 2+numbers+instants+texts)}
	s.dest = append(s.dest, &s.part, &s.id)
	for i := range s.numbers {
		s.dest = append(s.dest, &s.numbers[i])
	}
	for i := range s.instants {
		s.dest = append(s.dest, &s.instants[i])
	}
	for i := range s.texts {
		s.texts[i].scanner = s
		s.dest = append(s.dest, &s.texts[i])
	}
	return s
}

// scan adds the current row to the video that find knows for its id.
func (s *scanner) scan(rows *sql.Rows, find func(ID) *video) error {
	if err := rows.Scan(s.dest...); err != nil {
		return err
	}
	v := find(ID(s.id.n))
	if v == nil {
		return fmt.Errorf("a row of video %d, which was not asked for", s.id.n)
	}
	n, at, t := &s.numbers, &s.instants, &s.texts
	switch s.part.n {
	case partVersion:
		v.version = Version(n[0].n)
		if v.version > MaxVersion {
			return &VersionError{ID: ID(s.id.n), Version: v.version}
		}
	case partVideo:
		v.exists = true
		v.releaseYear, v.durationMS = n[0].number, n[1].number
		v.publishedAt, v.createdAt, v.updatedAt = at[0].instant, at[1].instant, at[2].instant
		v.publicID, v.title, v.description, v.kind = t[0].text, t[1].text, t[2].text, t[3].text
		v.channel, v.category, v.language = t[4].text, t[5].text, t[6].text
		v.status, v.thumbnailURL = t[7].text, t[8].text
	case partTag:
		v.tags = append(v.tags, t[0].text)
	case partCredit:
		v.cast = append(v.cast, credit{position: n[0].n, name: t[0].text})
	case partRendition:
		v.renditions = append(v.renditions, rendition{
			quality: t[0].text, codec: t[1].text, url: t[2].text,
			width: n[0].number, height: n[1].number, bitrateKbps: n[2].number,
		})
	default:
		return fmt.Errorf("a row of part %d, which there is not", s.part.n)
	}
	return nil
}

const chunkSize = 8 << 10

// keep copies b. The result is never nil.
func (s *scanner) keep(b []byte) []byte {
	if cap(s.chunk)-len(s.chunk) < len(b) || s.chunk == nil {
		s.chunk = make([]byte, 0, max(chunkSize, len(b)))
	}
	start := len(s.chunk)
	s.chunk = append(s.chunk, b...)
	return s.chunk[start:len(s.chunk):len(s.chunk)]
}

// The columns implement sql.Scanner. Drivers deliver integers as they are, or as their digits.
type (
	numberColumn  struct{ number }
	instantColumn struct{ instant }
	textColumn    struct {
		text    []byte
		scanner *scanner
	}
)

func (c *numberColumn) Scan(src any) (err error) {
	switch src := src.(type) {
	case nil:
		c.number = number{}
		return nil
	case uint64:
		c.number = number{src, true}
		return nil
	case int64:
		if src < 0 {
			return fmt.Errorf("a negative number: %d", src)
		}
		c.number = number{uint64(src), true}
		return nil
	case []byte:
		n, err := strconv.ParseUint(string(src), 10, 64)
		c.number = number{n, true}
		return err
	}
	return fmt.Errorf("a %T where a number belongs", src)
}

func (c *instantColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		c.instant = instant{}
		return nil
	case int64:
		c.instant = instant{src, true}
		return nil
	case []byte:
		n, err := strconv.ParseInt(string(src), 10, 64)
		c.instant = instant{n, true}
		return err
	}
	return fmt.Errorf("a %T where a time belongs", src)
}

func (c *textColumn) Scan(src any) error {
	switch src := src.(type) {
	case nil:
		c.text = nil
		return nil
	case []byte:
		c.text = c.scanner.keep(src)
		return nil
	}
	return fmt.Errorf("a %T where text belongs", src)
}
