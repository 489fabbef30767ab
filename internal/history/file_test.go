package history

import (
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestFile(t *testing.T) {
	h := random(rand.New(rand.NewPCG(8, 8)))
	h.Commits[0].By, h.Answers[0].Path = "writer \"1\"", "vidmeta-local; hit"
	path := filepath.Join(t.TempDir(), "history.jsonl")
	if err := h.Save(path); err != nil {
		t.Fatal(err)
	}
	got, err := Open(path)
	if err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%v was read, %v was written (%v)", got, h, err)
	}
	for _, bad := range []string{"{}", `{"commit":`, `{"commit":3}`} {
		if _, err := Read(strings.NewReader(bad)); err == nil || !strings.Contains(err.Error(), "event 1") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestRecorder(t *testing.T) {
	var r Recorder
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				r.Commit(Commit{})
				r.Answer(Answer{})
				r.Sample(Sample{})
				r.Load(Load{})
				r.Incident(Incident{})
			}
		})
	}
	wg.Wait()
	if got, want := r.History().String(), "800 commits, 800 answers, 800 samples of Redis, 800 loads, 800 incidents"; got != want || r.Take().String() != want {
		t.Errorf("%s, want %s", got, want)
	}
	if h := r.Take(); len(h.Commits)+len(h.Answers)+len(h.Samples)+len(h.Loads)+len(h.Incidents) > 0 {
		t.Errorf("%s after all had been taken", h)
	}
}

// BenchmarkCheck goes through a million events without a violation.
func BenchmarkCheck(b *testing.B) {
	h := large(1_000_000)
	b.ResetTimer()
	for b.Loop() {
		if v := h.Check(Limits{Lease: time.Second}); len(v) > 0 {
			b.Fatal(v[0])
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1e6, "ns/event")
}

// large makes a history of n events that keeps all rules.
func large(n int) *History {
	h := &History{Incidents: []Incident{{Name: "one", Begin: 5, End: 10}}}
	versions := make([]uint64, 1000)
	for i := range n {
		now := Time(1000 + 10*i)
		id := uint64(i*7919) % uint64(len(versions))
		switch {
		case i < len(versions) || i%10 == 0:
			versions[id] = uint64(now)
			h.Commits = append(h.Commits, Commit{ID: id, Version: uint64(now), State: Live, Begin: now, End: now + 5})
		case i%10 == 1:
			h.Samples = append(h.Samples, Sample{Key: "k", Process: "p", Version: uint64(now), Begin: now, End: now + 1})
		case versions[id] != 0:
			h.Answers = append(h.Answers, Answer{ID: id, Version: versions[id], State: Live, Body: versions[id], AsOf: now, Begin: now, End: now + 9, Client: "c"})
		}
	}
	return h
}
