package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"vidmeta/bench/result"
)

func markdown(t testing.TB, r *result.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestWriteAndReadBack(t *testing.T) {
	r := sampleReport()
	path := filepath.Join(t.TempDir(), "bench.json")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(Write(f, r), f.Close()); err != nil {
		t.Fatal(err)
	}
	back, err := Read(path)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(back, r) {
		t.Error("what was read back is not what was written")
	}
	if err := os.WriteFile(path, []byte("<html>"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("reading what is no report: %v, want an error that names the file", err)
	}
}

// Of a report that was read the same is shown as of the one that was measured.
func TestWriteKeepsWhatIsShown(t *testing.T) {
	r := sampleReport()
	tidy(reflect.ValueOf(r)) // what is drawn moves by as little as that
	before, page := markdown(t, r), rendered(t, r)
	var b bytes.Buffer
	if err := Write(&b, r); err != nil {
		t.Fatal(err)
	}
	if after := markdown(t, r); after != before {
		t.Errorf("the Markdown was\n%s\nand is\n%s", before, after)
	}
	if rendered(t, r) != page {
		t.Error("the page is another")
	}
	for _, s := range r.Scenarios {
		for _, a := range s.Arms {
			var curves, timelines, late int
			for _, l := range loads(&a) {
				curves += min(1, len(l.Latency.Curve))
				late += min(1, len(l.Staleness.Late.Curve))
				timelines += min(1, len(l.Timeline))
			}
			if curves > 1 || timelines > 1 || late > 1 {
				t.Errorf("%s, %s: %d curves, %d of stale answers, %d timelines; one of each is drawn",
					s.Name, a.Name, curves, late, timelines)
			}
		}
	}
}

func TestFiguresAreRounded(t *testing.T) {
	for f, want := range map[float64]float64{
		0: 0, 123456789: 123457000, 0.12345678: 0.123457, -2.5: -2.5, math.MaxFloat64: 1.79769e308,
		math.Inf(1): 0, math.Inf(-1): 0, math.NaN(): 0,
	} {
		if got := rounded(f); got != want {
			t.Errorf("%v became %v, want %v", f, got, want)
		}
	}
}

func TestMarkdownHasTheFigures(t *testing.T) {
	got := markdown(t, sampleReport())
	for _, want := range []string{
		"# vidmeta, measured\n",
		"2026-11-23 02:00 UTC, commit 0123456789ab+, took 421 s",
		"2 cores, AMD EPYC, 24,105 MB, Linux 6.1, Go 1.26.8, MySQL: 10.11.19-MariaDB, Redis: 7.0.15",
		"- ✓ **zipf**: requests a second, against redis: wanted at least 3 ×, measured 3.33 ×\n",
		"| arm | requests/s | × first | p50 ms | p99 ms |",
		"| vidmeta | 40,000 (38,000–44,000) | 10 | 0.36 | 2.09 | local 93.0, redis 6.6, origin 0.4 " +
			"| 0.4 | 0.066 | 26.6 | 28.5 | 0 of 36,600 | – |\n",
		"| arm | documents/s |",
		"| batch | 400,000 (380,000–440,000) | 10 |",
		"| vidmeta | 16,000 (15,200–17,600) | 4 | 1 | 5.81 | local 50.0, origin 50.0 | 2 |",
		"| vidmeta | 20,000 | 20,000 |",
		"| web12, lru | 36.7 |",
		"- web12: 95,607 requests for 13,756 keys; headissue GmbH, CC BY 4.0\n",
		"| zipf s | 1.01 |",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the Markdown lacks %q", want)
		}
	}
	if jetcache := regexp.MustCompile(`\| jetcache-go \|.* 22 % \| 5\d\d \|\n`); !jetcache.MatchString(got) {
		t.Errorf("the Markdown lacks jetcache's 22 %% of stale answers and how late they were: %s", jetcache)
	}
	for line := range strings.Lines(got) {
		if cells := strings.Count(line, "|") - 1; strings.HasPrefix(line, "| vidmeta | 40") && cells != 12 {
			t.Errorf("a row of %d cells: %s", cells, line)
		}
	}
}

func TestErrorsAreTold(t *testing.T) {
	r := sampleReport()
	load := r.Scenarios[1].Arms[3].Runs[0].Paced
	load.Errors, load.Error = 1234, "503 from the origin"
	r.Scenarios[1].Arms[3].Note = "two nodes"
	load.Stolen = 0.12
	for i := range r.Scenarios[0].Arms[1].Runs {
		r.Scenarios[0].Arms[1].Runs[i].Capacity.Busy = 0.97
	}
	got := markdown(t, r)
	for _, want := range []string{
		"- constant-echo: the load used 97 % of its own processors; with more, the arm might do more\n",
		"- The host gave 0 % of the processors' time to other guests (the median of all loads; at most 12 %): ",
		"- vidmeta: 1,234 requests failed, the first of them: 503 from the origin\n", "- vidmeta, note: two nodes\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the Markdown lacks %q", want)
		}
	}
}

func TestSplice(t *testing.T) {
	readme := "# x\n\n" + begin + "\n| old |\n" + end + "\n\nmore\n"
	first, err := Splice([]byte(readme), sampleReport())
	if err != nil {
		t.Fatal(err)
	}
	got := string(first)
	if !strings.HasPrefix(got, "# x\n\n"+begin+"\n| arm |") || !strings.HasSuffix(got, "\n"+end+"\n\nmore\n") ||
		strings.Contains(got, "old") {
		t.Errorf("spliced wrongly:\n%s", got)
	}
	for _, want := range []string{
		"| vidmeta | 40,000 (38,000–44,000) | 2.09 | 93 | 0.4 | 28.5 | 0 of 36,600 |\n", "| nginx | 38,000 (36,100–41,800) | 2.91 | 92 |", "2 cores, AMD EPYC", "commit 0123456789ab+",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the README's part lacks %q:\n%s", want, got)
		}
	}
	again, err := Splice(first, sampleReport())
	if err != nil || !bytes.Equal(again, first) {
		t.Errorf("a second time changes it (%v)", err)
	}
	for _, bad := range []string{"", begin + "\n", end + "\n" + begin + "\n"} {
		if _, err := Splice([]byte(bad), sampleReport()); err == nil {
			t.Errorf("no error for %q, which lacks a marker", bad)
		}
	}
}

func TestPicture(t *testing.T) {
	var b bytes.Buffer
	if err := Picture(&b, sampleReport()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		">vidmeta<", "40,000/s, p99 2.09 ms, stale 0 of 36,600", "stale 40 %", "prefers-color-scheme: dark", "var(--s0)",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture lacks %q", want)
		}
	}
	wellFormed(t, b.String())
	if strings.Contains(b.String(), "#01") {
		t.Error("the picture has a colour left that stands for another")
	}
	for _, r := range []*result.Report{{}, {Scenarios: []result.Scenario{{Name: Zipf, Arms: []result.Arm{{Name: Vidmeta}}}}}} {
		if err := Picture(io.Discard, r); err == nil {
			t.Errorf("no error for a report without figures: %+v", r)
		}
	}
}

func wellFormed(t *testing.T, svg string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(svg))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("no XML: %v", err)
		}
	}
}

// strange are reports that a run which failed, or somebody with an editor, may leave.
func strange() map[string]*result.Report {
	idle := result.Arm{Name: Vidmeta, Runs: make([]result.Run, 3)}
	all := map[string]*result.Report{
		"empty":        {},
		"no arms":      {Scenarios: []result.Scenario{{Name: Zipf}, {}}},
		"no runs":      {Scenarios: []result.Scenario{{Name: Zipf, Arms: []result.Arm{{Name: Vidmeta}, {}}}}},
		"no loads":     {Scenarios: []result.Scenario{{Name: Cold, Arms: []result.Arm{idle}}}},
		"no policies":  {Traces: []result.Trace{{}, {Name: "web12"}}},
		"zero loads":   {},
		"no timelines": sampleReport(),
	}
	for _, name := range []string{Handler, Zipf, Batch, Cold, "expiry"} {
		zero := func() *result.Load {
			return &result.Load{Tiers: map[string]int64{"local": 0}, Timeline: make([]result.Moment, 2)}
		}
		run := result.Run{Warm: zero(), Capacity: zero(), Paced: zero(), Steps: make([]result.Load, 2)}
		all["zero loads"].Scenarios = append(all["zero loads"].Scenarios,
			result.Scenario{Name: name, Arms: []result.Arm{
				{Name: Vidmeta, Runs: []result.Run{run}}, {Name: "mysql", Runs: []result.Run{run}},
			}})
	}
	everyLoad(all["no timelines"], func(l *result.Load) { l.Timeline, l.Latency.Curve, l.Staleness.Late.Curve = nil, nil, nil })
	for _, f := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 5e-324, math.MaxFloat64} {
		r := sampleReport()
		r.Took = result.Seconds(f)
		everyLoad(r, func(l *result.Load) { everyFloat(reflect.ValueOf(l).Elem(), f) })
		everyFloat(reflect.ValueOf(r.Traces), f)
		all[fmt.Sprintf("every figure is %g", f)] = r
	}
	return all
}

func everyLoad(r *result.Report, do func(*result.Load)) {
	for _, s := range r.Scenarios {
		for _, a := range s.Arms {
			for i := range a.Runs {
				run := &a.Runs[i]
				for _, l := range []*result.Load{run.Warm, run.Capacity, run.Paced} {
					if l != nil {
						do(l)
					}
				}
				for j := range run.Steps {
					do(&run.Steps[j])
				}
			}
		}
	}
}

func everyFloat(v reflect.Value, f float64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			everyFloat(v.Field(i), f)
		}
	case reflect.Slice:
		for i := range v.Len() {
			everyFloat(v.Index(i), f)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			if v.Type().Elem().Kind() == reflect.Float64 {
				v.SetMapIndex(key, reflect.ValueOf(f).Convert(v.Type().Elem()))
			}
		}
	case reflect.Float64:
		v.SetFloat(f)
	}
}

func TestStrangeReports(t *testing.T) {
	for name, r := range strange() {
		t.Run(name, func(t *testing.T) {
			md := markdown(t, r)
			shown := words(parsed(t, r))
			for _, bad := range []string{"NaN", "Inf"} {
				if strings.Contains(md, bad) || strings.Contains(shown, bad) {
					t.Errorf("%s is shown", bad)
				}
			}
			var b bytes.Buffer
			if err := Write(&b, r); err != nil {
				t.Errorf("JSON: %v", err)
			}
			if !strings.Contains(md, "## Wanted and measured") || !strings.Contains(shown, "Wanted and measured") {
				t.Error("what was wanted is not shown")
			}
		})
	}
}

func rendered(t testing.TB, r *result.Report) string {
	t.Helper()
	var b bytes.Buffer
	if err := HTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func parsed(t testing.TB, r *result.Report) *html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(rendered(t, r)))
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// words is what a reader sees, pieces apart by a space.
func words(root *html.Node) string {
	var b strings.Builder
	for n := range root.Descendants() {
		if n.Type == html.TextNode && n.Parent.Data != "style" {
			b.WriteString(strings.Join(strings.Fields(n.Data), " ") + " ")
		}
	}
	return b.String()
}

func elements(root *html.Node, name string) (all []*html.Node) {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && n.Data == name {
			all = append(all, n)
		}
	}
	return all
}

func TestPageHasTheFigures(t *testing.T) {
	root := parsed(t, sampleReport())
	got := words(root)
	for _, want := range []string{
		"vidmeta, measured", "commit 0123456789ab+", "2 cores", "3.33 ×", "wanted: at least 3 ×",
		"vidmeta 40,000 (38,000–44,000) 10 0.36 2.09", "batch 400,000 (380,000–440,000) 10", "0 of 36,600", "web12, lru 36.7",
		"Latency, by the nines", "p99.9", "Which tier answered", "Load on MySQL, over time", "Stale answers",
		"Latency against the rate",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	// Of the scenario zipf: throughput, tiers, MySQL, CPU, latency, staleness, requests and MySQL over time.
	for _, s := range elements(root, "section") {
		if h := words(elements(s, "h2")[0]); strings.HasPrefix(h, "zipf") {
			if n := len(elements(s, "svg")); n != 8 {
				t.Errorf("%d charts of zipf, want 8", n)
			}
		}
	}
	for _, svg := range elements(root, "svg") {
		for n := range svg.Descendants() {
			for _, a := range n.Attr {
				if strings.Contains(strings.ToLower(a.Val), "#01") {
					t.Fatalf("a chart has a colour left that stands for another: %s", a.Val)
				}
			}
		}
	}
}

// The page is opened from a disk, from a pipeline's artefacts, years later: it must load nothing.
func TestPageIsSelfContained(t *testing.T) {
	root := parsed(t, sampleReport())
	for _, name := range []string{"script", "link", "iframe", "img", "image", "object", "embed", "use", "base"} {
		if found := elements(root, name); len(found) > 0 {
			t.Errorf("the page has %d elements <%s>", len(found), name)
		}
	}
	for n := range root.Descendants() {
		for _, a := range n.Attr {
			if (a.Key == "src" || a.Key == "href" || a.Key == "srcset") && !strings.HasPrefix(a.Val, "#") {
				t.Errorf("<%s %s=%q> leads out of the page", n.Data, a.Key, a.Val)
			}
		}
	}
	page := rendered(t, sampleReport())
	for _, bad := range []string{"url(", "@import", "@font-face"} {
		if strings.Contains(page, bad) {
			t.Errorf("a style loads something: %s", bad)
		}
	}
}

func TestHostileNamesAreEscaped(t *testing.T) {
	const evil = `<script>alert(1)</script>"'| & ` + "`x`" + ` [a](javascript:b) --> <!--`
	r := sampleReport()
	r.Title, r.Commit, r.Machine.CPU, r.Settings = evil, evil, evil, map[string]string{evil: evil}
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		s.About = evil
		s.Title = evil
		for j := range s.Arms {
			s.Arms[j].About, s.Arms[j].Note = evil, evil
			s.Arms[j].Name += evil
		}
		everyLoad(r, func(l *result.Load) {
			l.Errors, l.Error, l.CPU, l.Tiers = 1, evil, map[string]result.Micros{evil: 1}, map[string]int64{evil: 1}
		})
	}
	r.Scenarios[0].Name = evil
	r.Traces[0].Name, r.Traces[0].Source, r.Traces[0].Policies[0].Name = evil, evil, evil

	root := parsed(t, r)
	if n := len(elements(root, "script")); n != 0 {
		t.Errorf("%d scripts got into the page", n)
	}
	if !strings.Contains(words(root), "<script>alert(1)</script>") {
		t.Error("the name is not shown as it is")
	}
	for n := range root.Descendants() {
		if n.Type == html.CommentNode {
			t.Errorf("a comment got into the page: %q", n.Data)
		}
	}
	md := markdown(t, r)
	for _, bad := range []string{"<script", "<!--", "[a]("} {
		if strings.Contains(md, bad) {
			t.Errorf("the Markdown has %q", bad)
		}
	}
	for line := range strings.Lines(md) {
		cells := strings.Count(line, "|") - strings.Count(line, `\|`) - 1
		if strings.HasPrefix(line, "| mysql") && cells != 12 && cells != 6 {
			t.Errorf("a name makes cells of its own: %s", line)
		}
	}
	r.Scenarios[1].Arms[0].Name = evil
	var b bytes.Buffer
	if err := Picture(&b, r); err != nil {
		t.Fatal(err)
	}
	wellFormed(t, b.String())
	if strings.Contains(b.String(), "<script") {
		t.Error("a script got into the picture")
	}
}
