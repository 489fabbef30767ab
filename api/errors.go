package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"vidmeta/schema"
)

// statusClientGone is what the metrics call a request whose client left before there was an answer.
const statusClientGone = 499

// problem is one kind of failure that a client can meet: the stable part of an RFC 9457 document.
type problem struct {
	name       string // its type is /problems/<name>; stable for ever
	status     int
	title      string
	detail     string // when the error has nothing more exact to say
	retryAfter int    // seconds, 0 if a retry is of no use
}

// problemPath is what the type of every problem begins with.
const problemPath = "/problems/"

// The problems. Their names are part of the interface.
var (
	problemInvalidID = &problem{name: "invalid-id", status: http.StatusBadRequest, title: "Invalid video id",
		detail: "A video id is a whole number from 1 to 18446744073709551615, in decimal digits without sign, spaces or leading zeros."}
	problemInvalidPublicID = &problem{name: "invalid-public-id", status: http.StatusBadRequest, title: "Invalid public id",
		detail: "A public id is 11 characters out of A-Z, a-z, 0-9, - and _."}
	problemInvalidIDs = &problem{name: "invalid-ids", status: http.StatusBadRequest, title: "Invalid list of video ids",
		detail: "The list of ids is missing, empty or holds something that is not a video id."}
	problemTooManyIDs = &problem{name: "too-many-ids", status: http.StatusBadRequest, title: "Too many video ids",
		detail: "One request may ask for a limited number of ids. Use POST /v1/videos/lookup for more, or several requests."}
	problemInvalidQuery = &problem{name: "invalid-query", status: http.StatusBadRequest, title: "Invalid query string",
		detail: "The query string is not well-formed."}
	problemInvalidBody = &problem{name: "invalid-body", status: http.StatusBadRequest, title: "Invalid request body",
		detail: `The body must be one JSON object like {"ids":[1,2,3]}.`}
	problemInvalidMinVersion = &problem{name: "invalid-min-version", status: http.StatusBadRequest, title: "Invalid Vidmeta-Min-Version",
		detail: "Vidmeta-Min-Version is one whole number from 0 to 9007199254740991."}
	problemBadRequest = &problem{name: "bad-request", status: http.StatusBadRequest, title: "Bad request",
		detail: "The request cannot be understood."}
	problemVideoNotFound = &problem{name: "video-not-found", status: http.StatusNotFound, title: "Video not found",
		detail: "There is no such video."}
	problemNoRoute = &problem{name: "no-such-route", status: http.StatusNotFound, title: "No such route",
		detail: "This path means nothing here. /openapi.json lists those that do."}
	problemMethod = &problem{name: "method-not-allowed", status: http.StatusMethodNotAllowed, title: "Method not allowed",
		detail: "This path does not have this method. Allow lists those that it has."}
	problemBodyTooLarge = &problem{name: "body-too-large", status: http.StatusRequestEntityTooLarge, title: "Request body too large",
		detail: "The body is longer than any valid one."}
	problemMediaType = &problem{name: "unsupported-media-type", status: http.StatusUnsupportedMediaType, title: "Unsupported media type",
		detail: "The body must be sent as Content-Type: application/json, without Content-Encoding."}
	problemClientGone = &problem{name: "client-gone", status: statusClientGone, title: "The client left",
		detail: "The connection was closed before there was an answer. Seen in metrics only."}
	problemInternal = &problem{name: "internal", status: http.StatusInternalServerError, title: "Internal error",
		detail: "Something went wrong that should not have. It has been logged."}
	problemOverloaded = &problem{name: "overloaded", status: http.StatusServiceUnavailable, title: "Overloaded", retryAfter: 1,
		detail: "Too many loads from the origin are under way, and no answer within the bounds of staleness is at hand."}
	problemUnavailable = &problem{name: "unavailable", status: http.StatusServiceUnavailable, title: "Unavailable", retryAfter: 2,
		detail: "No tier could answer, and no answer within the bounds of staleness is at hand."}
	problemNotYetVisible = &problem{name: "not-yet-visible", status: http.StatusServiceUnavailable, title: "Version not yet visible", retryAfter: 1,
		detail: "The origin does not show the version asked for with Vidmeta-Min-Version."}
	problemTimeout = &problem{name: "timeout", status: http.StatusServiceUnavailable, title: "Timed out", retryAfter: 1,
		detail: "The time for one request was over before there was an answer."}
	problemNotCached = &problem{name: "not-cached", status: http.StatusGatewayTimeout, title: "Not cached",
		detail: "The request asked for only-if-cached, and no cache holds an answer that fits."}
)

// problems is every problem, for the documentation and for /problems/<name>.
var problems = []*problem{
	problemInvalidID, problemInvalidPublicID, problemInvalidIDs, problemTooManyIDs, problemInvalidQuery,
	problemInvalidBody, problemInvalidMinVersion, problemBadRequest, problemVideoNotFound, problemNoRoute,
	problemMethod, problemBodyTooLarge, problemMediaType, problemClientGone, problemInternal, problemOverloaded,
	problemUnavailable, problemNotYetVisible, problemTimeout, problemNotCached,
}

// requestError is a request that cannot be served as it stands; whose fault and what exactly is known.
type requestError struct {
	problem *problem
	detail  string
}

func (e *requestError) Error() string { return e.problem.title + ": " + e.detail }

func reject(p *problem, format string, args ...any) error {
	return &requestError{problem: p, detail: fmt.Sprintf(format, args...)}
}

// errorTable maps what a read can end with, in the order in which it is tried.
var errorTable = []struct {
	err     error
	problem *problem
}{
	{schema.ErrOverloaded, problemOverloaded},
	{schema.ErrNotCached, problemNotCached},
	{schema.ErrNotYetVisible, problemNotYetVisible},
	{schema.ErrUnavailable, problemUnavailable},
	// 503 rather than 504: 504 is the answer to only-if-cached, and to the client there is no gateway here.
	{context.DeadlineExceeded, problemTimeout},
	// A cancellation that is not the client's is a part of this program going down.
	{context.Canceled, problemUnavailable},
}

// statusTable maps the statuses that the router and net/http end a request with.
var statusTable = map[int]*problem{
	http.StatusNotFound:              problemNoRoute,
	http.StatusMethodNotAllowed:      problemMethod,
	http.StatusRequestEntityTooLarge: problemBodyTooLarge,
	http.StatusUnsupportedMediaType:  problemMediaType,
	http.StatusServiceUnavailable:    problemUnavailable,
}

// problemOf says which problem an error is, and the detail to show. What nothing is known about is problemInternal,
// whose detail tells nothing. gone says that the client has left.
func problemOf(err error, gone bool) (p *problem, detail string) {
	if bad, ok := errors.AsType[*requestError](err); ok {
		return bad.problem, bad.detail
	}
	if gone {
		return problemClientGone, problemClientGone.detail
	}
	for _, row := range errorTable {
		if errors.Is(err, row.err) {
			return row.problem, row.problem.detail
		}
	}
	p = problemInternal
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		p = problemBodyTooLarge
	} else if status, ok := routerStatus(err); ok {
		if p, ok = statusTable[status]; !ok {
			p = problemInternal
			if status >= 400 && status < 500 {
				p = problemBadRequest
			}
		}
	}
	return p, p.detail
}
