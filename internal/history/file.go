package history

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// line is one line of a file: one of its fields is set.
type line struct {
	Commit   *Commit   `json:"commit,omitempty"`
	Answer   *Answer   `json:"answer,omitempty"`
	Sample   *Sample   `json:"sample,omitempty"`
	Load     *Load     `json:"load,omitempty"`
	Incident *Incident `json:"incident,omitempty"`
}

// Write writes the history as lines of JSON.
func (h *History) Write(w io.Writer) error {
	buf := bufio.NewWriter(w)
	out := json.NewEncoder(buf)
	for l := range h.lines {
		if err := out.Encode(l); err != nil {
			return err
		}
	}
	return buf.Flush()
}

// lines yields the events, the incidents first: they are what a reader of the file wants to know first.
func (h *History) lines(yield func(line) bool) {
	for i := range h.Incidents {
		if !yield(line{Incident: &h.Incidents[i]}) {
			return
		}
	}
	for i := range h.Commits {
		if !yield(line{Commit: &h.Commits[i]}) {
			return
		}
	}
	for i := range h.Answers {
		if !yield(line{Answer: &h.Answers[i]}) {
			return
		}
	}
	for i := range h.Samples {
		if !yield(line{Sample: &h.Samples[i]}) {
			return
		}
	}
	for i := range h.Loads {
		if !yield(line{Load: &h.Loads[i]}) {
			return
		}
	}
}

// Save writes the history to a new file.
func (h *History) Save(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(h.Write(f), f.Close())
}

// Read reads what Write has written.
func Read(r io.Reader) (*History, error) {
	h := &History{}
	in := json.NewDecoder(bufio.NewReader(r))
	for n := 1; ; n++ {
		var l line
		if err := in.Decode(&l); errors.Is(err, io.EOF) {
			return h, nil
		} else if err != nil {
			return nil, fmt.Errorf("history, event %d: %w", n, err)
		}
		switch {
		case l.Commit != nil:
			h.Commits = append(h.Commits, *l.Commit)
		case l.Answer != nil:
			h.Answers = append(h.Answers, *l.Answer)
		case l.Sample != nil:
			h.Samples = append(h.Samples, *l.Sample)
		case l.Load != nil:
			h.Loads = append(h.Loads, *l.Load)
		case l.Incident != nil:
			h.Incidents = append(h.Incidents, *l.Incident)
		default:
			return nil, fmt.Errorf("history, event %d: it is of no known kind", n)
		}
	}
}

// Open reads the history in a file.
func Open(path string) (*History, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return Read(f)
}
