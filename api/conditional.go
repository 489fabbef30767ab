package api

import (
	"net/http"
	"strings"
	"time"

	"vidmeta/schema"
)

// notModified reports whether the client has this version already. If-Modified-Since counts only without
// If-None-Match (RFC 9110, 13.2.2).
func notModified(r *http.Request, v schema.Version) bool {
	if tags := r.Header["If-None-Match"]; len(tags) > 0 {
		var buf [24]byte
		etag := appendETag(buf[:0], v)
		for _, list := range tags {
			if matchesETag(list, etag) {
				return true
			}
		}
		return false
	}
	if since := r.Header["If-Modified-Since"]; len(since) == 1 {
		t, err := http.ParseTime(since[0])
		return err == nil && !time.UnixMicro(int64(v)).After(t)
	}
	return false
}

// matchesETag compares weakly: a W/ before a tag of the list makes no difference. What is no entity tag matches
// nothing and ends the list.
func matchesETag(list string, etag []byte) bool {
	list = trimOWS(list)
	if list == "*" {
		return true
	}
	for {
		list = strings.TrimLeft(list, " \t,")
		list = strings.TrimPrefix(list, "W/")
		if len(list) < 2 || list[0] != '"' {
			return false
		}
		end := strings.IndexByte(list[1:], '"')
		if end < 0 {
			return false
		}
		tag, rest := list[:end+2], list[end+2:]
		if tag == string(etag) {
			return true
		}
		list = trimOWS(rest)
		if list == "" || list[0] != ',' {
			return false
		}
	}
}
