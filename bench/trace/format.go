package trace

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// formats appends the requests that a reader has to a trace.
var formats = map[string]func(*bufio.Reader, *Trace) error{
	"uint32":  func(r *bufio.Reader, t *Trace) error { return scanWords(r, t, 4) },
	"int64":   func(r *bufio.Reader, t *Trace) error { return scanWords(r, t, 8) },
	"youtube": scanYouTube,
}

// numbering gives the n-th distinct key the number n.
type numbering[K comparable] map[K]uint32

func (n numbering[K]) add(t *Trace, key K) {
	id, ok := n[key]
	if !ok {
		id = uint32(len(n) + 1)
		n[key] = id
	}
	t.IDs = append(t.IDs, id)
	t.Keys = len(n)
}

func scanWords(r *bufio.Reader, t *Trace, size int) error {
	ids, word := numbering[uint64]{}, make([]byte, 8)
	for {
		switch _, err := io.ReadFull(r, word[8-size:]); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return err
		}
		ids.add(t, binary.BigEndian.Uint64(word))
	}
}

// youtubeID is what YouTube calls a video. The recorders wrote UMASS and six digits where they could not read one.
var (
	youtubeID  = regexp.MustCompile(`^[A-Za-z0-9_-]{11}$`)
	unreadable = regexp.MustCompile(`^UMASS\d{6}$`)
)

// scanYouTube takes requests for videos whose id could be read; of other requests, of placeholders and of a last line
// that was cut off nothing is known.
func scanYouTube(r *bufio.Reader, t *Trace) error {
	ids, lines := numbering[string]{}, bufio.NewScanner(r)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || fields[3] != "GETVIDEO" {
			continue
		}
		id, _, _ := strings.Cut(fields[4], "&")
		if youtubeID.MatchString(id) && !unreadable.MatchString(id) {
			ids.add(t, id)
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("is this a YouTube trace of UMass? %w", err)
	}
	return nil
}
