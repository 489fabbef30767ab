package load

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Ledger knows which versions of which documents had been committed by when, and so which answers lack a change that
// they should show. A look at a document that nobody writes to costs one atomic load; no look ever waits for a lock.
type Ledger struct {
	began     time.Time
	documents []atomic.Pointer[history] // by id; nil until the document is written to

	mu sync.Mutex // is held by whoever makes a new history
}

// history is what became of one document, its versions rising. What is behind a pointer is never changed, so a change
// makes a new one, which may share the array of the old.
type history struct{ commits []commit }

type commit struct {
	version uint64
	ended   time.Duration // since the ledger began, at the latest: this commit or one after it was seen to have ended
}

// maxCommits bounds the history of one document; of a longer one, the older half is forgotten. A stale answer that lacks
// more changes than are left is taken to lack only these, and to be that much less late.
const maxCommits = 4096

// NewLedger returns a ledger of the ids 1 to n in which nothing is written yet. It takes 8 bytes an id, and less than
// 100 KB for one that is written to all the time.
func NewLedger(n uint64) *Ledger {
	return &Ledger{began: time.Now(), documents: make([]atomic.Pointer[history], n+1)}
}

// Committed notes that the commit which gave the document this version had ended at a time. It may be called by many
// goroutines, and for one document's commits in any order. Ids that the ledger is not about are passed over.
func (l *Ledger) Committed(id, version uint64, ended time.Time) {
	if id >= uint64(len(l.documents)) {
		return
	}
	c := commit{version, ended.Sub(l.began)}
	l.mu.Lock()
	defer l.mu.Unlock()
	var old []commit
	if h := l.documents[id].Load(); h != nil {
		old = h.commits
	}
	l.documents[id].Store(&history{commits: with(old, c)})
}

// with returns the commits with one more, and leaves old as it is: behind its end there may be room, which no reader of
// old looks at.
func with(old []commit, c commit) []commit {
	if len(old) >= maxCommits {
		old = slices.Clone(old[len(old)-maxCommits/2:])
	}
	if len(old) == 0 || old[len(old)-1].version < c.version && old[len(old)-1].ended <= c.ended {
		return append(old, c)
	}
	// Two writers noted their commits in the other order. Versions become visible in their own, so when a later one was
	// seen to have ended, all before it had.
	at, _ := slices.BinarySearchFunc(old, c.version, byVersion)
	commits := slices.Insert(slices.Clone(old), at, c)
	for i := len(commits) - 2; i >= 0; i-- {
		commits[i].ended = min(commits[i].ended, commits[i+1].ended)
	}
	return commits
}

func byVersion(c commit, version uint64) int {
	switch {
	case c.version < version:
		return -1
	case c.version > version:
		return 1
	}
	return 0
}

// Verdict is what a ledger says about one answer.
type Verdict struct {
	Checked bool          // the document is one that is written to
	Stale   bool          // the answer lacks a change whose commit had ended before the request was sent
	Late    time.Duration // how long before that the oldest change that it lacks had ended; 0 if it is not stale
}

// Check judges an answer that carries a version to a request sent at a time. Whatever was committed while the request
// was under way is not held against it.
func (l *Ledger) Check(id, version uint64, sent time.Time) Verdict {
	if id >= uint64(len(l.documents)) {
		return Verdict{}
	}
	h := l.documents[id].Load()
	if h == nil {
		return Verdict{}
	}
	commits := h.commits
	if version >= commits[len(commits)-1].version {
		return Verdict{Checked: true}
	}
	lacks, found := slices.BinarySearchFunc(commits, version, byVersion)
	if found {
		lacks++
	}
	late := sent.Sub(l.began) - commits[lacks].ended
	if late <= 0 { // times rise with versions, so whatever else it lacks ended later still
		return Verdict{Checked: true}
	}
	return Verdict{Checked: true, Stale: true, Late: late}
}
