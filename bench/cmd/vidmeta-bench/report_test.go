package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vidmeta/bench/report"
	"vidmeta/bench/result"
)

// allForms fails the test if a folder lacks a form of a report, or has a picture where nothing of the picture was measured.
func allForms(t *testing.T, dir string, picture bool) {
	t.Helper()
	begin := map[string]string{"report.json": "{", "report.md": "# ", "report.html": "<!doctype html>"}
	if picture {
		begin["report.svg"] = "<"
	} else if _, err := os.Stat(filepath.Join(dir, "report.svg")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a picture of what was not measured: %v", err)
	}
	for name, want := range begin {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !strings.HasPrefix(strings.ToLower(string(text)), want) {
			t.Errorf("%s begins with %.40q, %v", name, text, err)
		}
	}
}

// measured is a report in which vidmeta is so many times as fast as MySQL alone.
func measured(times float64) *result.Report {
	arm := func(name string, rate float64) result.Arm {
		l := result.Load{
			Clients: 8, Took: 1, Requests: int64(rate), Documents: int64(rate), Rate: rate,
			Latency: result.Spread{Count: int64(rate), Mean: 1, P50: 1, P90: 1, P99: result.Millis(1e5 / rate), P999: 100, Max: 100},
		}
		paced := l
		paced.Offered = rate
		return result.Arm{Name: name, Runs: []result.Run{{Repeat: 1, Capacity: &l, Paced: &paced}}}
	}
	return &result.Report{Title: "measured at home", Scenarios: []result.Scenario{{
		Name: report.Zipf, Title: "skewed", Arms: []result.Arm{arm("mysql", 1000), arm(report.Vidmeta, 1000*times)},
	}}}
}

// written is the JSON of a report in a folder of its own.
func written(t *testing.T, r *result.Report) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "report.json")
	if err := writeFile(path, r, report.Write); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReportRendersAgain(t *testing.T) {
	path := written(t, measured(10))
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	if err := (&reportCommand{File: path}).Run(streams{out: &out, err: &errs}); err != nil {
		t.Fatal(err)
	}
	allForms(t, filepath.Dir(path), true)
	if after, err := os.ReadFile(path); err != nil || !bytes.Equal(after, before) {
		t.Errorf("the JSON has changed: %v\n%s", err, after)
	}
	if text, err := os.ReadFile(filepath.Join(filepath.Dir(path), "report.md")); err != nil || out.String() != string(text) {
		t.Errorf("it printed\n%s\nand wrote\n%s, %v", &out, text, err)
	}
	if !strings.Contains(out.String(), "measured at home") || !strings.Contains(out.String(), "10,000") {
		t.Errorf("the report lacks what was measured:\n%s", &out)
	}
}

const (
	top    = "# A project\n\nWhat it is.\n\n"
	bottom = "\n\n## Limits\n\nNone.\n"
	first  = "<!-- bench: made by vidmeta-bench, do not edit -->"
	last   = "<!-- /bench -->"
)

func TestReadme(t *testing.T) {
	path := written(t, measured(10))
	readme := filepath.Join(t.TempDir(), "README.md")
	publishTo := func(text string) (string, error) {
		t.Helper()
		if err := os.WriteFile(readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var out, errs bytes.Buffer
		err := (&reportCommand{File: path, Readme: readme}).Run(streams{out: &out, err: &errs})
		after, failed := os.ReadFile(readme)
		if failed != nil {
			t.Fatal(failed)
		}
		return string(after), err
	}

	after, err := publishTo(top + first + "\nan old table\n" + last + bottom)
	if err != nil {
		t.Fatal(err)
	}
	table, ok := strings.CutPrefix(after, top+first+"\n")
	table, okToo := strings.CutSuffix(table, last+bottom)
	if !ok || !okToo || strings.Contains(table, "an old table") || !strings.Contains(table, "10,000") {
		t.Errorf("the README is\n%s", after)
	}
	if again, err := publishTo(after); err != nil || again != after {
		t.Errorf("another time, with %v, it is\n%s", err, again)
	}

	for _, c := range []struct{ text, missing string }{{top + bottom, first}, {top + first + "\n" + bottom, last}} {
		after, err := publishTo(c.text)
		if err == nil || !strings.Contains(err.Error(), c.missing) || !strings.Contains(err.Error(), readme) {
			t.Errorf("a README without %s: error %v, want one with that line and the file", c.missing, err)
		}
		if after != c.text {
			t.Errorf("a README without %s became\n%s", c.missing, after)
		}
	}
	var out bytes.Buffer
	err = (&reportCommand{File: path, Readme: readme + ".not"}).Run(streams{out: &out, err: &out})
	if !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a README that is not there: %v", err)
	}
}

// What is no report of vidmeta-bench is refused, and takes the place of none.
func TestReportOfSomethingElse(t *testing.T) {
	for _, text := range []string{"{}", "null", `{"title":"x"}`, "", "[1]"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "odd.json")
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (&reportCommand{File: path}).Run(streams{out: &out, err: &out}); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%q: error = %v", text, err)
		}
		if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
			t.Errorf("%q: it left %v, %v", text, files, err)
		}
	}
}

// The other forms have the name of the JSON that they are made of.
func TestReportKeepsToItsName(t *testing.T) {
	path := written(t, measured(10))
	other := filepath.Join(filepath.Dir(path), "monday.json")
	if err := os.Rename(path, other); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := (&reportCommand{File: other}).Run(streams{out: &out, err: &out}); err != nil {
		t.Fatal(err)
	}
	for _, end := range []string{"json", "md", "html", "svg"} {
		if _, err := os.Stat(strings.TrimSuffix(other, "json") + end); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("there is a %s again: %v", path, err)
	}
}

// A README has the table of a whole run, or the one that it had.
func TestReadmeOfHalfARun(t *testing.T) {
	for name, change := range map[string]func(*result.Report){
		"cut short":      func(r *result.Report) { r.Cut = "interrupted" },
		"without an arm": func(r *result.Report) { r.Scenarios[0].Arms[0].Note = "it has ended" },
	} {
		r, text := measured(10), top+first+"\nan old table\n"+last+bottom
		change(r)
		readme := filepath.Join(t.TempDir(), "README.md")
		if err := os.WriteFile(readme, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (&reportCommand{File: written(t, r), Readme: readme}).Run(streams{out: &out, err: &out}); err == nil {
			t.Errorf("%s: no error", name)
		}
		if after, err := os.ReadFile(readme); err != nil || string(after) != text {
			t.Errorf("%s: the README became %q, %v", name, after, err)
		}
	}
}

// An arm that could not be measured is an error, whatever the others have done.
func TestAbsentArms(t *testing.T) {
	r := measured(10)
	if err := absent(r); err != nil {
		t.Error(err)
	}
	r.Scenarios[0].Arms[1].Note = "it has ended\nthe end of its log"
	if err := absent(r); err == nil || err.Error() != "zipf, vidmeta could not be measured: it has ended" {
		t.Errorf("error = %v", err)
	}
	traces := []result.Trace{{Name: "web12"}}
	for _, c := range []struct {
		r    *result.Report
		want bool
	}{
		{r, true},
		{&result.Report{Scenarios: []result.Scenario{{Arms: []result.Arm{{Note: "no"}}}}}, false},
		{&result.Report{Traces: traces}, true},
		{&result.Report{Traces: traces, Cut: "interrupted"}, false},
	} {
		if got := anything(c.r); got != c.want {
			t.Errorf("anything measured in %+v: %v", c.r, got)
		}
	}
}

func TestFailBelow(t *testing.T) {
	for _, c := range []struct {
		times float64
		fail  bool
		says  string
	}{{10, true, ""}, {7, true, "at least 8 ×, measured 7"}, {7, false, ""}} {
		r := measured(c.times)
		switch err := (&runCommand{FailBelow: c.fail}).judge(r); {
		case c.says == "" && err != nil:
			t.Errorf("%+v: %v", c, err)
		case c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)):
			t.Errorf("%+v: error = %v", c, err)
		}
	}
}
