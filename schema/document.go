// Package schema is the vocabulary of the service: what a document is, how it is made from the rows of its tables, and
// the words in which the tiers, the sidecar and the HTTP layer speak of it. It imports the standard library only.
package schema

import "fmt"

// ID is the number of a video, videos.id. Zero names no video.
type ID uint64

// Version says how new a document is. Every write to any row of the document raises it, whoever writes; triggers keep
// it in video_versions as microseconds since 1970, or one more than before where the clock has not moved on.
// Zero is the version of a document that never existed.
type Version uint64

// MaxVersion is the largest version: the largest integer that a JSON client can hold exactly (2^53 - 1).
const MaxVersion Version = 1<<53 - 1

// VersionError means that video_versions says more than MaxVersion of a document, which only a hand can have done to a
// table that has lost its constraint LargestVersion. Such a document cannot be loaded.
type VersionError struct {
	ID      ID
	Version Version
}

// Error says what is wrong and what mends it.
func (e *VersionError) Error() string {
	return fmt.Sprintf("video %d is at version %d in %s, the largest is %d: run vidmeta migrate, which lowers it",
		e.ID, e.Version, VersionTable, MaxVersion)
}

// Document is one video as of one version.
type Document struct {
	ID      ID
	Version Version
	// Body is the JSON of the document, nil if it does not exist at this version. It is immutable: never write to it
	// and never append to it, it is shared by every tier and every request.
	Body []byte
}

// Exists reports whether there is a document, rather than the knowledge that there is none.
func (d Document) Exists() bool { return d.Body != nil }

// Change is the news that a document has reached a version.
type Change struct {
	ID      ID
	Version Version
}
