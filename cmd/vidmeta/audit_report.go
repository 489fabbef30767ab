package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"vidmeta/internal/audit"
)

// printAudit writes a report for people.
func printAudit(w io.Writer, r *audit.Report) error {
	var b strings.Builder
	p := r.Picked
	fmt.Fprintf(&b, "%d documents in %.1f s: %d picked out of all, %d out of what tiers held, %d changed of late\n\n",
		p.Random+p.Held+p.Recent, r.Took, p.Random, p.Held, p.Recent)

	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(t, "tier\tcompared\tnot fresh\tuntrue\tdisagreed\t")
	for _, a := range r.Tiers[0].After[1:] {
		fmt.Fprintf(t, "for %s\t", a.Outlived)
	}
	fmt.Fprintln(t)
	for _, tier := range r.Tiers {
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t", tier.Tier, tier.Compared, tier.Unserved, tier.Untrue)
		for _, a := range tier.After {
			fmt.Fprintf(t, "%d\t", a.Disagreed)
		}
		fmt.Fprintln(t)
	}
	for _, tier := range r.Tiers {
		fmt.Fprintf(t, "%s\tagrees, with 95 %% confidence, at least\t\t\t", tier.Tier)
		for _, a := range tier.After {
			fmt.Fprintf(t, "%s\t", share(a))
		}
		fmt.Fprintln(t)
	}
	_ = t.Flush() // into memory

	for _, p := range r.Asked {
		if p.Unanswered > 0 {
			fmt.Fprintf(&b, "\n%s did not answer %d of %d questions: %s\n", p.Name, p.Unanswered, p.Asked, p.Error)
		}
	}
	for i, f := range r.Lasting {
		if i == 0 {
			b.WriteByte('\n')
		}
		if i == mostListed {
			fmt.Fprintf(&b, "and %d more\n", len(r.Lasting)-mostListed)
			break
		}
		fmt.Fprintln(&b, sentence(f))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// mostListed is how many disagreements people are shown; JSON has all.
const mostListed = 50

// share writes the share of documents that agree, and the nines that it begins with.
func share(a audit.AgeReport) string {
	if a.Compared == 0 {
		return "?"
	}
	return fmt.Sprintf("%.*f %% (%d)", max(a.Nines, 1), 100*a.AtLeast, a.Nines)
}

func sentence(f audit.Finding) string {
	where := f.Tier
	if f.Node != "" {
		where += " tier of " + f.Node
	}
	how := fmt.Sprintf("version %d, MySQL has %d", f.Version, f.MySQL)
	if f.Version == f.MySQL {
		how = fmt.Sprintf("another body of version %d than MySQL", f.Version)
	}
	if f.Untrue {
		how += fmt.Sprintf(", and says it is true as of %s", f.AsOf.Format("15:04:05.000"))
	}
	return fmt.Sprintf("video %d: %s holds %s; seen for %.1f s", f.ID, where, how, f.Lasted)
}
