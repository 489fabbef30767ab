package report

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"vidmeta/bench/result"
)

// Markdown writes all but the charts.
func Markdown(w io.Writer, r *result.Report) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\n", plain(cmp.Or(r.Title, "vidmeta-bench")))
	for _, parts := range [][]string{origins(r), machine(r)} {
		if len(parts) > 0 {
			fmt.Fprintf(&b, "%s\n\n", plain(strings.Join(parts, ", ")))
		}
	}
	fmt.Fprint(&b, "## Wanted and measured\n\n")
	for _, h := range Headlines(r) {
		fmt.Fprintf(&b, "- %s **%s**: %s: wanted %s, measured %s\n",
			h.Mark(), plain(h.Scenario), plain(h.Claim), plain(h.Wanted), plain(h.Measured))
	}
	b.WriteString("\n")
	for i := range r.Scenarios {
		v := viewOf(&r.Scenarios[i])
		fmt.Fprintf(&b, "## %s\n\n", plain(v.heading()))
		if v.About != "" {
			fmt.Fprintf(&b, "%s\n\n", plain(v.About))
		}
		tables := v.tables()
		if len(tables) == 0 {
			fmt.Fprint(&b, "Not measured.\n\n")
		}
		for _, t := range tables {
			t.markdown(&b)
		}
		for _, note := range v.notes() {
			fmt.Fprintf(&b, "- %s\n", plain(note))
		}
		b.WriteString("\n")
	}
	if t := traceTable(r.Traces); len(t.Rows) > 0 {
		fmt.Fprint(&b, "## Recorded traces\n\n")
		t.markdown(&b)
		for _, line := range traceNotes(r.Traces) {
			fmt.Fprintf(&b, "- %s\n", plain(line))
		}
		b.WriteString("\n")
	}
	if t := settings(r); len(t.Rows) > 0 {
		fmt.Fprint(&b, "## Settings\n\n")
		t.markdown(&b)
	}
	_, err := w.Write(append(bytes.TrimRight(b.Bytes(), "\n"), '\n'))
	return err
}

// Mark tells at a glance whether a headline holds.
func (h Headline) Mark() string {
	switch {
	case !h.Known:
		return "?"
	case h.Holds:
		return "✓"
	}
	return "✗"
}

func (v view) heading() string {
	if v.Title == "" {
		return v.Name
	}
	return v.Name + ": " + v.Title
}

func traceNotes(traces []result.Trace) (all []string) {
	for _, t := range traces {
		all = append(all, fmt.Sprintf("%s: %s requests for %s keys; %s",
			t.Name, humanize.Comma(t.Requests), humanize.Comma(t.Keys), t.Source))
	}
	return all
}

func (t table) markdown(b *bytes.Buffer) {
	row := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", plain(c))
		}
		b.WriteString("|\n")
	}
	row(t.Head)
	b.WriteString("| ---" + strings.Repeat(" | ---:", len(t.Head)-1) + " |\n")
	for _, cells := range t.Rows {
		row(cells)
	}
	b.WriteString("\n")
	if t.Caption != "" {
		fmt.Fprintf(b, "%s\n\n", plain(t.Caption))
	}
}

// Of what Markdown gives a meaning to, what may stand in names and messages.
var markdownSigns = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;",
	`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "|", `\|`)

// plain makes text that shows as it is, on one line.
func plain(s string) string {
	return markdownSigns.Replace(strings.Join(strings.Fields(s), " "))
}

// What is between these lines of the README is this package's.
const (
	begin = "<!-- bench: made by vidmeta-bench, do not edit -->"
	end   = "<!-- /bench -->"
)

// Splice returns a README with its table made anew: what stands between the two marker lines, which must be there.
func Splice(readme []byte, r *result.Report) ([]byte, error) {
	before, rest, ok := bytes.Cut(readme, []byte(begin+"\n"))
	if !ok {
		return nil, fmt.Errorf("report: the README has no line %q", begin)
	}
	_, after, ok := bytes.Cut(rest, []byte(end))
	if !ok {
		return nil, errors.New("report: the README has no line " + end + " behind the first marker")
	}
	return bytes.Join([][]byte{before, []byte(begin + "\n"), readmeTable(r), []byte(end), after}, nil), nil
}

// readmeTable is the main scenario in a few columns.
func readmeTable(r *result.Report) []byte {
	var b bytes.Buffer
	v, ok := worlds(r)[Zipf]
	if !ok {
		return []byte("Not measured.\n")
	}
	t := table{Head: []string{
		"arm", "requests/s", "p99 ms at half of that", "local hits, %", "MySQL statements / 100 requests", "CPU µs / request", "stale answers",
	}}
	for i := range v.Arms {
		a := &v.Arms[i]
		rate, known := over(a, v.rate)
		stale, _ := v.staleCells(a)
		t.Rows = append(t.Rows, []string{
			a.Name, spread(rate, known), median(over(a, v.latency(p99))), v.localCell(a),
			median(over(a, v.perRequest(func(l *result.Load) float64 { return 100 * mysql(l) }))), median(over(a, v.cpu(""))), stale,
		})
	}
	t.markdown(&b)
	fmt.Fprintf(&b, "%s.\n", plain(strings.Join(append(machine(r), origins(r)...), ", ")))
	return b.Bytes()
}
