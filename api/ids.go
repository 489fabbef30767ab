package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"vidmeta/schema"
)

// parseID reads a video id: decimal digits, no sign, no spaces, no leading zeros, not zero, within 64 bits.
func parseID[T string | []byte](s T) (schema.ID, bool) {
	if len(s) == 0 || len(s) > len("18446744073709551615") || s[0] == '0' {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		d := uint64(s[i] - '0') // above 9 for whatever is no digit
		if d > 9 || n > (math.MaxUint64-d)/10 {
			return 0, false
		}
		n = n*10 + d
	}
	return schema.ID(n), true
}

// parsePathID reads the id that is a parameter of u's path, percent-encoded or not.
func parsePathID(u *url.URL, s string) (schema.ID, error) {
	if id, ok := parseID(s); ok {
		return id, nil
	}
	if strings.IndexByte(s, '/') >= 0 { // the router lets the last parameter of a path take the rest of it
		return 0, reject(problemNoRoute, "%s", problemNoRoute.detail)
	}
	s = decoded(u, s)
	if id, ok := parseID(s); ok {
		return id, nil
	}
	return 0, reject(problemInvalidID, "%q is not a video id. %s", clip(s, 64), problemInvalidID.detail)
}

// parsePublicID reads the public id that is a parameter of u's path, percent-encoded or not.
func parsePublicID(u *url.URL, s string) (string, error) {
	if schema.ValidPublicID(s) {
		return s, nil
	}
	if strings.IndexByte(s, '/') >= 0 {
		return "", reject(problemNoRoute, "%s", problemNoRoute.detail)
	}
	s = decoded(u, s)
	if schema.ValidPublicID(s) {
		return s, nil
	}
	return "", reject(problemInvalidPublicID, "%q is not a public id. %s", clip(s, 64), problemInvalidPublicID.detail)
}

// decoded returns a parameter of a path as it is meant. The router takes it from RawPath as it came, but where there is no
// RawPath from Path, which is decoded already.
func decoded(u *url.URL, s string) string {
	if plain, err := url.PathUnescape(s); err == nil && u.RawPath != "" {
		return plain
	}
	return s
}

// parseQueryIDs reads ids=1,2,3 out of a query string. The parameter may be repeated; the lists are joined.
func parseQueryIDs(rawQuery string, limit int) ([]schema.ID, error) {
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, reject(problemInvalidQuery, "%s", problemInvalidQuery.detail)
	}
	lists, ok := query["ids"]
	if !ok {
		return nil, reject(problemInvalidIDs, "The query parameter ids is missing; write ids=1,2,3.")
	}
	n := len(lists)
	for _, list := range lists {
		n += strings.Count(list, ",")
	}
	if n > limit {
		return nil, tooMany(n, limit)
	}
	ids := make([]schema.ID, 0, n)
	for _, list := range lists {
		for item := range strings.SplitSeq(list, ",") {
			id, ok := parseID(item)
			if !ok {
				return nil, notAnID(len(ids), item)
			}
			ids = append(ids, id)
		}
	}
	return ids, nil
}

func tooMany(n, limit int) error {
	return reject(problemTooManyIDs, "%d ids were asked for; the limit of this request is %d.", n, limit)
}

func notAnID(index int, item string) error {
	return reject(problemInvalidIDs, "ids[%d] is %q. %s", index, clip(item, 64), problemInvalidID.detail)
}

// lookupRequest is the body of POST /v1/videos/lookup: an object with the one member ids, once. Package json would take IDS
// for ids, and the last of two for both. The array is kept as it came: its numbers are too large for a float64, and its
// errors are to name the culprit.
type lookupRequest struct{ ids json.RawMessage }

// memberError says what is wrong with the members of an object.
type memberError string

func (e memberError) Error() string { return string(e) }

// UnmarshalJSON takes the object apart, which package json has found to be well-formed.
func (r *lookupRequest) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return memberError("It is not that.")
	}
	for dec.More() {
		name, err := dec.Token()
		switch {
		case err != nil:
			return err
		case name != "ids":
			return memberError(fmt.Sprintf("It has a member that means nothing here: %s.", clip(fmt.Sprintf("%q", name), 64)))
		case r.ids != nil:
			return memberError(`It has the member "ids" twice.`)
		}
		if err := dec.Decode(&r.ids); err != nil {
			return err
		}
	}
	return nil
}

// parse reads the array.
func (r *lookupRequest) parse(limit int) ([]schema.ID, error) {
	raw := bytes.TrimSpace(r.ids)
	if len(raw) < 2 || raw[0] != '[' {
		return nil, reject(problemInvalidIDs, `The member "ids" is missing or no array of numbers.`)
	}
	raw = bytes.TrimSpace(raw[1 : len(raw)-1])
	if len(raw) == 0 {
		return nil, reject(problemInvalidIDs, `The array "ids" is empty.`)
	}
	// Commas inside a string or a nested array miscount, but then that item is no id and the request is refused anyway.
	n := bytes.Count(raw, []byte{','}) + 1
	if n > limit {
		return nil, tooMany(n, limit)
	}
	ids := make([]schema.ID, 0, n)
	for item := range bytes.SplitSeq(raw, []byte{','}) {
		item = bytes.TrimSpace(item)
		id, ok := parseID(item)
		if !ok {
			return nil, notAnID(len(ids), string(item))
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// parseLookup reads the body of a lookup: one object with the one member ids, and nothing after it.
func parseLookup(body []byte, limit int) ([]schema.ID, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	var req lookupRequest
	if err := dec.Decode(&req); err != nil {
		return nil, invalidBody(err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, reject(problemInvalidBody, "Something follows the JSON object. %s", problemInvalidBody.detail)
	}
	return req.parse(limit)
}

// invalidBody says what is wrong with a body without a word of Go.
func invalidBody(err error) error {
	what := "It is not that."
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		what = fmt.Sprintf("It is not valid JSON at byte %d.", syntax.Offset)
	} else if errors.Is(err, io.EOF) {
		what = "It is empty."
	} else if errors.Is(err, io.ErrUnexpectedEOF) {
		what = "It ends too early."
	} else if member, ok := errors.AsType[memberError](err); ok {
		what = member.Error()
	}
	return reject(problemInvalidBody, "%s %s", problemInvalidBody.detail, what)
}

// maxDiscard is how much of a body that is too long is read away before the answer, since many clients do not read an
// answer before they have sent all.
const maxDiscard = 8 << 20

// readLookupBody reads the body if it is JSON and not longer than limit.
func readLookupBody(r *http.Request, limit int64) ([]byte, error) {
	contentType := r.Header.Get("Content-Type")
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || media != "application/json" {
		return nil, reject(problemMediaType, "%s It came as %q.", problemMediaType.detail, clip(contentType, 64))
	}
	if encoding := r.Header.Get("Content-Encoding"); encoding != "" && !strings.EqualFold(encoding, "identity") {
		return nil, reject(problemMediaType, "%s It came as Content-Encoding %q.", problemMediaType.detail, clip(encoding, 64))
	}
	if r.ContentLength > limit {
		if r.ContentLength <= maxDiscard && r.Header.Get("Expect") == "" {
			io.Copy(io.Discard, io.LimitReader(r.Body, maxDiscard)) // for the client's sake; it is refused anyhow
		}
		return nil, reject(problemBodyTooLarge, "The body has %d bytes; the limit is %d.", r.ContentLength, limit)
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, limit+1))
	if err != nil {
		return nil, reject(problemInvalidBody, "The body could not be read to its end.")
	}
	if int64(len(body)) > limit {
		io.Copy(io.Discard, io.LimitReader(r.Body, maxDiscard))
		return nil, reject(problemBodyTooLarge, "The body has more than the limit of %d bytes.", limit)
	}
	return body, nil
}
