package schema

import (
	"bytes"
	"cmp"
	"slices"
)

// A video is the rows of one document, as they were read. Text that is nil was NULL.
type video struct {
	exists  bool // there is a row in videos
	version Version

	publicID     []byte
	title        []byte
	description  []byte
	kind         []byte
	channel      []byte
	category     []byte
	language     []byte
	releaseYear  number
	durationMS   number
	status       []byte
	thumbnailURL []byte
	publishedAt  instant
	createdAt    instant
	updatedAt    instant

	tags       [][]byte
	cast       []credit
	renditions []rendition
}

// A number is an unsigned integer that may be NULL.
type number struct {
	n     uint64
	valid bool
}

// An instant is a time in microseconds since 1970 UTC, before it if negative, that may be NULL.
type instant struct {
	micros int64
	valid  bool
}

// A credit is one row of video_cast.
type credit struct {
	position uint64
	name     []byte
}

// A rendition is one row of video_renditions.
type rendition struct {
	quality     []byte
	codec       []byte
	width       number
	height      number
	bitrateKbps number
	url         []byte
}

// order puts the lists in the order that they have in the document, which is the same whatever order the server
// returned them in: tags by their bytes, cast by position, renditions by falling height, then quality, then codec.
func (v *video) order() {
	slices.SortFunc(v.tags, bytes.Compare)
	slices.SortFunc(v.cast, func(a, b credit) int { return cmp.Compare(a.position, b.position) })
	slices.SortFunc(v.renditions, func(a, b rendition) int {
		return cmp.Or(
			cmp.Compare(b.height.n, a.height.n),
			bytes.Compare(a.quality, b.quality),
			bytes.Compare(a.codec, b.codec),
		)
	})
}

// appendJSON appends the document. HasPublicID knows how it begins.
func (v *video) appendJSON(dst []byte, id ID) []byte {
	dst = append(dst, bodyPrefix...)
	dst = appendUint(dst, uint64(id))
	dst = appendText(append(dst, publicIDKey...), v.publicID)
	dst = appendText(append(dst, `,"title":`...), v.title)
	dst = appendText(append(dst, `,"description":`...), v.description)
	dst = appendText(append(dst, `,"kind":`...), v.kind)
	dst = appendText(append(dst, `,"channel":`...), v.channel)
	dst = appendText(append(dst, `,"category":`...), v.category)
	dst = appendText(append(dst, `,"language":`...), v.language)
	dst = appendNumber(append(dst, `,"release_year":`...), v.releaseYear)
	dst = appendNumber(append(dst, `,"duration_ms":`...), v.durationMS)
	dst = appendText(append(dst, `,"status":`...), v.status)
	dst = appendText(append(dst, `,"thumbnail_url":`...), v.thumbnailURL)
	dst = appendInstant(append(dst, `,"published_at":`...), v.publishedAt)
	dst = appendInstant(append(dst, `,"created_at":`...), v.createdAt)
	dst = appendInstant(append(dst, `,"updated_at":`...), v.updatedAt)
	dst = append(dst, `,"tags":[`...)
	for i, tag := range v.tags {
		dst = appendText(separate(dst, i), tag)
	}
	dst = append(dst, `],"cast":[`...)
	for i := range v.cast {
		dst = appendText(separate(dst, i), v.cast[i].name)
	}
	dst = append(dst, `],"renditions":[`...)
	for i := range v.renditions {
		r := &v.renditions[i]
		dst = appendText(append(separate(dst, i), `{"quality":`...), r.quality)
		dst = appendText(append(dst, `,"codec":`...), r.codec)
		dst = appendNumber(append(dst, `,"width":`...), r.width)
		dst = appendNumber(append(dst, `,"height":`...), r.height)
		dst = appendNumber(append(dst, `,"bitrate_kbps":`...), r.bitrateKbps)
		dst = append(appendText(append(dst, `,"url":`...), r.url), '}')
	}
	dst = appendUint(append(dst, `],"version":`...), uint64(v.version))
	return append(dst, '}')
}

const (
	bodyPrefix  = `{"id":`
	publicIDKey = `,"public_id":`
)

// HasPublicID reports whether body, the Body of a Document that exists, carries a public id. It looks at the first few
// bytes only and allocates nothing. No body carries a public id that is not valid.
func HasPublicID(body []byte, publicID string) bool {
	rest, ok := bytes.CutPrefix(body, []byte(bodyPrefix))
	if !ok || !ValidPublicID(publicID) {
		return false
	}
	for len(rest) > 0 && '0' <= rest[0] && rest[0] <= '9' {
		rest = rest[1:]
	}
	// A valid public id has no character that JSON escapes.
	rest, ok = bytes.CutPrefix(rest, []byte(publicIDKey+`"`))
	return ok && len(rest) > len(publicID) && string(rest[:len(publicID)]) == publicID && rest[len(publicID)] == '"'
}

// PublicIDLen is the length of a public id, in characters, each one byte.
const PublicIDLen = 11

// inPublicID marks the bytes that a public id is made of.
var inPublicID = func() (t [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		t[c] = true
	}
	return t
}()

// ValidPublicID reports whether s has the form of a public id: 11 characters of A-Z, a-z, 0-9, _ and -. Case matters.
func ValidPublicID(s string) bool {
	if len(s) != PublicIDLen {
		return false
	}
	for i := range len(s) {
		if !inPublicID[s[i]] {
			return false
		}
	}
	return true
}
