package load

import (
	"sync"
	"testing"
	"time"
)

// at is a time so many milliseconds after the ledger began.
func (l *Ledger) at(ms int) time.Time { return l.began.Add(time.Duration(ms) * time.Millisecond) }

func TestLedgerJudgesByWhatHadEndedBeforeTheRequest(t *testing.T) {
	l := NewLedger(3)
	l.Committed(2, 10, l.at(100))
	l.Committed(2, 20, l.at(200))
	l.Committed(2, 30, l.at(300))
	l.Committed(4, 10, l.at(100)) // beyond the ledger
	ms := time.Millisecond
	for _, c := range []struct {
		about       string
		id, version uint64
		sent        int
		want        Verdict
	}{
		{"the newest", 2, 30, 400, Verdict{Checked: true}},
		{"newer than anything known", 2, 31, 400, Verdict{Checked: true}},
		{"one change is missing", 2, 20, 350, Verdict{true, true, 50 * ms}},
		{"the oldest missing change counts", 2, 10, 350, Verdict{true, true, 150 * ms}},
		{"older than anything known", 2, 9, 350, Verdict{true, true, 250 * ms}},
		{"between two versions", 2, 15, 350, Verdict{true, true, 150 * ms}},
		{"the commit ended while the request was under way", 2, 20, 250, Verdict{Checked: true}},
		{"one of two missing changes ended before", 2, 10, 250, Verdict{true, true, 50 * ms}},
		{"at the very moment is not before", 2, 20, 300, Verdict{Checked: true}},
		{"before all commits", 2, 1, 50, Verdict{Checked: true}},
		{"not written to", 1, 1, 400, Verdict{}},
		{"not in the ledger", 4, 1, 400, Verdict{}},
	} {
		if got := l.Check(c.id, c.version, l.at(c.sent)); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.about, got, c.want)
		}
	}
}

func TestLedgerTakesCommitsInAnyOrder(t *testing.T) {
	l := NewLedger(1)
	l.Committed(1, 30, l.at(300))
	l.Committed(1, 10, l.at(350)) // its writer looked at the clock late: by 300 it must have been visible
	l.Committed(1, 20, l.at(250))
	want := Verdict{true, true, 60 * time.Millisecond}
	if got := l.Check(1, 9, l.at(310)); got != want {
		t.Errorf("without any: %+v, want %+v", got, want)
	}
	want.Late = 10 * time.Millisecond
	if got := l.Check(1, 20, l.at(310)); got != want {
		t.Errorf("without the last: %+v, want %+v", got, want)
	}
}

func TestLedgerIsBounded(t *testing.T) {
	l := NewLedger(1)
	const commits = 10 * maxCommits
	for v := 1; v <= commits; v++ {
		l.Committed(1, uint64(v), l.at(v))
	}
	kept := l.documents[1].Load().commits
	if len(kept) > maxCommits || cap(kept) > 2*maxCommits || len(kept) < maxCommits/2 {
		t.Errorf("%d commits in room for %d, want at most %d and at least half of that", len(kept), cap(kept), maxCommits)
	}
	want := Verdict{true, true, 8 * time.Millisecond}
	if got := l.Check(1, commits-8, l.at(commits+1)); got != want {
		t.Errorf("among the kept: %+v, want %+v", got, want)
	}
	if got := l.Check(1, 1, l.at(commits+1)); !got.Stale || got.Late < maxCommits/2*time.Millisecond {
		t.Errorf("older than the kept: %+v, want it stale by all that is kept", got)
	}
}

// TestLedgerConcurrently is for the race detector, and checks that no reader sees a half of a change.
func TestLedgerConcurrently(t *testing.T) {
	l := NewLedger(1)
	const commits = maxCommits + 500
	var wg sync.WaitGroup
	for w := range 2 {
		wg.Go(func() {
			for v := 1 + w; v <= commits; v += 2 {
				l.Committed(1, uint64(v), l.at(v))
			}
		})
	}
	for range 2 {
		wg.Go(func() {
			for l.Check(1, commits, l.at(0)) == (Verdict{}) {
				continue // until the first commit
			}
			for v := range uint64(commits) {
				if got := l.Check(1, v, l.at(0)); got != (Verdict{Checked: true}) {
					t.Errorf("version %d: %+v, but nothing had ended", v, got)
					return
				}
				l.Check(1, v, l.at(commits+1))
			}
		})
	}
	wg.Wait()
	if got := l.Check(1, commits, l.at(2*commits)); got.Stale {
		t.Errorf("the last version: %+v", got)
	}
	if got, want := l.Check(1, commits-1, l.at(commits+5)), (Verdict{true, true, 5 * time.Millisecond}); got != want {
		t.Errorf("the one before: %+v, want %+v", got, want)
	}
}
