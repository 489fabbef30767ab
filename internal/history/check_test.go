package history

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

const ms = Time(1000)

// Each case is a history around one document, in milliseconds, and the rules that it breaks.
func TestCheck(t *testing.T) {
	five := Commit{ID: 1, Version: 5, State: Live, Begin: 10 * ms, End: 12 * ms, By: "writer"}
	nine := Commit{ID: 1, Version: 9, State: Absent, Begin: 30 * ms, End: 34 * ms, By: "writer"}
	commits := []Commit{nine, five}
	say := func(a Answer) History { return History{Commits: commits, Answers: []Answer{a}} }
	live := func(version uint64, asOf, begin, end Time) Answer {
		return Answer{ID: 1, Version: version, State: Live, Body: 7, AsOf: asOf * ms, Begin: begin * ms, End: end * ms, By: "node"}
	}
	absent := func(version uint64, asOf, begin, end Time) Answer {
		return Answer{ID: 1, Version: version, State: Absent, AsOf: asOf * ms, Begin: begin * ms, End: end * ms, By: "node"}
	}
	client := func(a Answer, name string, least uint64) Answer {
		a.Client, a.Min = name, least
		return a
	}
	with := func(a Answer, body uint64) Answer {
		a.Body = body
		return a
	}
	two := func(a, b Answer) History { return History{Commits: commits, Answers: []Answer{b, a}} }
	held := func(key, process string, version uint64, begin, end Time) Sample {
		return Sample{Key: key, Process: process, Version: version, Begin: begin * ms, End: end * ms}
	}
	truncated := []Incident{{Name: "TRUNCATE", Begin: 20 * ms, End: 22 * ms, Unversioned: true}}
	for _, tc := range []struct {
		name string
		h    History
		want string
	}{
		{"nothing", History{}, ""},
		{"a true answer", say(live(5, 20, 20, 25)), ""},
		{"a true answer, as of before", say(live(5, 34, 40, 45)), ""},
		{"an old answer", say(live(5, 35, 40, 45)), "outdated"},
		{"an old answer within the skew", say(live(5, 38, 40, 45)), "outdated"},
		{"before the first", say(absent(0, 11, 11, 12)), ""},
		{"an old absence", say(absent(0, 20, 20, 25)), "outdated"},
		{"a true deletion", say(absent(9, 50, 50, 55)), ""},
		{"a deletion shown before its commit has ended", say(absent(9, 28, 28, 31)), ""},
		{"a deletion shown before its commit", say(absent(9, 26, 26, 29)), "unwritten"},
		{"a version that nobody wrote", say(live(10, 50, 50, 55)), "unwritten"},
		{"a document that nobody wrote", History{Answers: []Answer{live(3, 1, 1, 2)}}, "unwritten"},
		{"nothing of nobody", History{Answers: []Answer{absent(0, 1, 1, 2)}}, ""},
		{"as of its arrival", say(live(5, 25, 20, 25)), ""},
		{"as of the future", say(live(5, 26, 20, 25)), "foretold"},
		{"at least what was asked for", say(client(live(5, 20, 20, 25), "", 5)), ""},
		{"less than asked for", say(client(live(5, 20, 20, 25), "", 6)), "below minimum"},
		{"a commit without answer shows", History{Commits: []Commit{{ID: 1, Version: 4, Begin: 5 * ms}}, Answers: []Answer{live(4, 6, 6, 7)}}, ""},
		{"a commit without answer does not show", History{Commits: []Commit{{ID: 1, Version: 4, Begin: 5 * ms}}, Answers: []Answer{absent(0, 60, 60, 70)}}, ""},
		{"a client goes on", two(client(live(5, 13, 14, 15), "c", 0), client(absent(9, 40, 40, 41), "c", 0)), ""},
		{"a client falls back", two(client(absent(9, 34, 34, 35), "c", 0), client(live(5, 20, 40, 41), "c", 0)), "backwards"},
		{"two clients", two(client(absent(9, 34, 34, 35), "c", 0), client(live(5, 20, 40, 41), "d", 0)), ""},
		{"one body", two(with(live(5, 20, 20, 25), 3), with(live(5, 22, 22, 27), 3)), ""},
		{"two bodies", two(with(live(5, 20, 20, 25), 3), with(live(5, 22, 22, 27), 4)), "contradicted"},
		{"a body and none", History{Commits: []Commit{{ID: 1, Version: 5, Begin: 1}}, Answers: []Answer{live(5, 20, 20, 25), absent(5, 22, 22, 27)}}, "contradicted"},
		{"absent though committed", say(absent(5, 20, 20, 25)), "contradicted"},
		{"there though deleted", say(live(9, 40, 40, 45)), "contradicted"},
		{"two bodies around a truncation", History{Commits: commits, Incidents: truncated, Answers: []Answer{with(live(5, 18, 18, 19), 3), with(live(5, 33, 33, 35), 4)}}, ""},
		{"two bodies, one amid a truncation", History{Commits: commits, Incidents: truncated, Answers: []Answer{with(live(5, 18, 18, 19), 3), with(live(5, 19, 22, 22), 4), with(live(5, 30, 33, 35), 3)}}, ""},
		{"two bodies after a truncation", History{Commits: commits, Incidents: truncated, Answers: []Answer{with(live(5, 33, 33, 33), 3), with(live(5, 34, 33, 35), 4)}}, "contradicted"},
		{"two bodies around an incident", History{Commits: commits, Incidents: []Incident{{Name: "kill", Begin: 20 * ms, End: 22 * ms}}, Answers: []Answer{with(live(5, 18, 18, 19), 3), with(live(5, 33, 33, 35), 4)}}, "contradicted"},
		{"Redis goes on", History{Samples: []Sample{held("k", "p", 6, 3, 4), held("k", "p", 5, 1, 2)}}, ""},
		{"Redis falls back", History{Samples: []Sample{held("k", "p", 6, 1, 2), held("k", "p", 5, 3, 4)}}, "replaced by older"},
		{"Redis falls back once", History{Samples: []Sample{held("k", "p", 6, 1, 2), held("k", "p", 5, 3, 4), held("k", "p", 6, 5, 6)}}, "replaced by older"},
		{"looks that overlap", History{Samples: []Sample{held("k", "p", 6, 1, 4), held("k", "p", 5, 3, 5)}}, ""},
		{"another process", History{Samples: []Sample{held("k", "p", 6, 1, 2), held("k", "q", 5, 3, 4)}}, ""},
		{"another key", History{Samples: []Sample{held("k", "p", 6, 1, 2), held("l", "p", 5, 3, 4)}}, ""},
		{"evicted meanwhile", History{Samples: []Sample{held("k", "p", 6, 1, 2), held("k", "p", 0, 3, 4), held("k", "p", 5, 5, 6)}}, ""},
		{"loaded once", History{Loads: []Load{{ID: 1, Begin: 0, End: ms}, {ID: 2, Begin: 0, End: ms}}}, ""},
		{"loaded again after the lease", History{Loads: []Load{{ID: 1, Begin: 0, End: ms}, {ID: 1, Begin: 3000 * ms, End: 3001 * ms}}}, ""},
		{"loaded twice", History{Loads: []Load{{ID: 1, Begin: 0, End: ms}, {ID: 1, Begin: 2999 * ms, End: 3001 * ms}}}, "loaded twice"},
		{"loaded again after a commit", History{Commits: []Commit{five}, Loads: []Load{{ID: 1, Begin: 11 * ms, End: 13 * ms}, {ID: 1, Begin: 14 * ms, End: 15 * ms}}}, ""},
		{"loaded again before a commit", History{Commits: []Commit{five}, Loads: []Load{{ID: 1, Begin: 1 * ms, End: 2 * ms}, {ID: 1, Begin: 4 * ms, End: 5 * ms}}}, "loaded twice"},
		{"loaded again after an incident", History{Incidents: truncated, Loads: []Load{{ID: 1, Begin: 11 * ms, End: 13 * ms}, {ID: 1, Begin: 24 * ms, End: 25 * ms}}}, ""},
	} {
		limits := Limits{Lease: 3 * time.Second, Settle: 10 * time.Millisecond}
		if got := broken(tc.h.Check(limits)); got != tc.want {
			t.Errorf("%s: %q is broken, want %q", tc.name, got, tc.want)
		}
		limits.Skew = 5 * time.Millisecond
		if strings.HasSuffix(tc.name, "within the skew") && len(tc.h.Check(limits)) > 0 {
			t.Errorf("%s: it is blamed", tc.name)
		}
	}
}

func broken(violations []Violation) string {
	var rules []string
	for _, v := range violations {
		rules = append(rules, string(v.Rule))
	}
	return strings.Join(rules, ", ")
}

func TestViolationSaysAll(t *testing.T) {
	h := History{
		Commits:   []Commit{{ID: 17, Version: 6, State: Live, Begin: 1000, End: 2000, By: "writer 3, UPDATE"}},
		Answers:   []Answer{{ID: 17, Version: 5, State: Live, AsOf: 3000, Begin: 4000, End: 5000, By: "node-2, batch", Path: "vidmeta-local; hit"}},
		Incidents: []Incident{{Name: "kill the leader", Begin: 3500, End: 9000}},
	}
	v := h.Check(Limits{})
	if len(v) != 1 {
		t.Fatalf("%v", v)
	}
	for _, want := range []string{"outdated", "node-2, batch", "of 17", "version 5", "vidmeta-local; hit", "writer 3, UPDATE", "version 6", "1ms later", "kill the leader"} {
		if !strings.Contains(v[0].Error(), want) {
			t.Errorf("%q does not say %q", v[0].Error(), want)
		}
	}
	if v[0].Answer != &h.Answers[0] || fmt.Sprint(v[0].At) != "00:00:00.005000" {
		t.Errorf("%+v", v[0])
	}
}
