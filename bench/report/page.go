package report

import (
	"bytes"
	"cmp"
	_ "embed" // the page and its colours
	"fmt"
	"html/template"
	"io"

	"vidmeta/bench/result"
)

//go:embed page.html
var pageText string

// colors are the variables that charts are drawn in, for light and dark.
//
//go:embed colors.css
var colors string

var page = template.Must(template.New("page").Parse(pageText))

type pageData struct {
	Colors    template.CSS
	Title     string
	Origins   []string
	Machine   []string
	Headlines []Headline
	Sections  []section
	Settings  table
}

// section is a scenario, or the traces.
type section struct {
	Name, Heading, About string
	Arms                 []key
	Tables               []table
	Notes                []string
	Charts               []chart
}

// HTML writes one page that needs no other file, no network and no script.
func HTML(w io.Writer, r *result.Report) error {
	d := pageData{
		Colors: template.CSS(colors),
		Title:  cmp.Or(r.Title, "vidmeta-bench"), Origins: origins(r), Machine: machine(r), Headlines: Headlines(r),
		Settings: settings(r),
	}
	for i := range r.Scenarios {
		v := viewOf(&r.Scenarios[i])
		charts, err := v.charts()
		if err != nil {
			return err
		}
		s := section{
			Name: v.Name, Heading: v.heading(), About: v.About, Tables: v.tables(), Notes: v.notes(), Charts: charts,
		}
		for i := range v.Arms {
			s.Arms = append(s.Arms, key{v.Arms[i].Name, fmt.Sprintf("s%d", v.colorOf(i)%palette)})
		}
		d.Sections = append(d.Sections, s)
	}
	if t := traceTable(r.Traces); len(t.Rows) > 0 {
		s := section{Name: "traces", Heading: "Recorded traces", Tables: []table{t}, Notes: traceNotes(r.Traces)}
		for _, t := range r.Traces {
			c, err := traceChart(t)
			if err != nil {
				return fmt.Errorf("report: trace %s: %w", t.Name, err)
			}
			if c.SVG != "" {
				s.Charts = append(s.Charts, c)
			}
		}
		d.Sections = append(d.Sections, s)
	}
	var b bytes.Buffer
	if err := page.Execute(&b, d); err != nil {
		return fmt.Errorf("report: page: %w", err)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// State is a word for the style sheet.
func (h Headline) State() string {
	return map[string]string{"?": "unknown", "✓": "holds", "✗": "fails"}[h.Mark()]
}
