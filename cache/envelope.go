package cache

import (
	"errors"
	"strconv"

	"vidmeta/schema"
)

// Kind says what an envelope holds.
type Kind byte

// The kinds of an envelope.
const (
	Live   Kind = 'L' // a document
	Absent Kind = 'A' // the knowledge that the document does not exist at this version
)

// Envelope is what the redis tier stores under the key of a document.
//
// Its encoding is a header of fixed width and the body as it is, so that a script can compare versions with string.sub
// and a reader can use the body without copying:
//
//	offset  width
//	0       1      format, '1'
//	1       1      kind
//	2       16     version            decimal, zero-padded: compared as strings, as Lua's numbers are doubles
//	18      16     loaded-at          microseconds since 1970, decimal
//	34      16     expires-at         microseconds since 1970, decimal
//	50             body
type Envelope struct {
	Kind      Kind
	Version   schema.Version
	LoadedAt  int64
	ExpiresAt int64
	Body      []byte
}

const (
	envelopeFormat = '1'
	digits         = 16 // of schema.MaxVersion, and of microseconds since 1970 until the year 2286
	headerLen      = 2 + 3*digits
)

var errEnvelope = errors.New("not an envelope of this format")

// Append appends the encoding of e to dst.
func (e Envelope) Append(dst []byte) []byte {
	dst = append(dst, envelopeFormat, byte(e.Kind))
	dst = appendDigits(dst, uint64(e.Version))
	dst = appendDigits(dst, uint64(e.LoadedAt))
	dst = appendDigits(dst, uint64(e.ExpiresAt))
	return append(dst, e.Body...)
}

// ParseEnvelope decodes b. The body of the result shares b's memory.
func ParseEnvelope(b []byte) (Envelope, error) {
	if len(b) < headerLen || b[0] != envelopeFormat {
		return Envelope{}, errEnvelope
	}
	e := Envelope{Kind: Kind(b[1])}
	version, ok1 := parseDigits(b[2:18])
	loaded, ok2 := parseDigits(b[18:34])
	expires, ok3 := parseDigits(b[34:50])
	if !ok1 || !ok2 || !ok3 || version > uint64(schema.MaxVersion) {
		return Envelope{}, errEnvelope
	}
	e.Version, e.LoadedAt, e.ExpiresAt = schema.Version(version), int64(loaded), int64(expires)
	switch body := b[headerLen:len(b):len(b)]; {
	case e.Kind == Live && len(body) > 0:
		e.Body = body
	case e.Kind == Absent && len(body) == 0:
	default:
		return Envelope{}, errEnvelope
	}
	return e, nil
}

// envelopeOf wraps a document as loaded at a time, to be kept until another.
func envelopeOf(d schema.Document, loadedAt, expiresAt int64) Envelope {
	kind := Live
	if !d.Exists() {
		kind = Absent
	}
	return Envelope{Kind: kind, Version: d.Version, LoadedAt: loadedAt, ExpiresAt: expiresAt, Body: d.Body}
}

func appendDigits(dst []byte, n uint64) []byte {
	var buf [20]byte
	s := strconv.AppendUint(buf[:0], n, 10)
	for range digits - len(s) {
		dst = append(dst, '0')
	}
	return append(dst, s...)
}

func parseDigits(b []byte) (n uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
