package e2e

import (
	"slices"
	"testing"
	"time"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// BenchmarkFreshness writes in plain SQL, and polls every node over HTTP until it answers with the new version: how long
// after the end of the commit the last of them does, and how old answers were just before.
func BenchmarkFreshness(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			f := start(b, shape{flavor: flavor, sidecars: 1})
			var visible, age []time.Duration
			ask := func(node int, id schema.ID) answer {
				a, err := f.get(node, id)
				if err != nil {
					b.Fatal(err)
				}
				return a
			}
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				id := schema.ID(1 + i%100)
				for n := range f.nodes {
					age = append(age, time.Since(ask(n, id).asOf))
				}
				c, err := f.change(b.Context(), "UPDATE videos SET language = RIGHT(UUID(), 12) WHERE id = ?", id)
				if err != nil {
					b.Fatal(err)
				}
				end := time.Now()
				for n := range f.nodes {
					for uint64(ask(n, id).version) < c.Version {
					}
				}
				visible = append(visible, time.Since(end))
			}
			report(b, "visible", visible)
			report(b, "age", age)
		})
	}
}

func report(b *testing.B, what string, d []time.Duration) {
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Microseconds())/1e3, what+"-p50-ms")
	b.ReportMetric(float64(d[(len(d)-1)*99/100].Microseconds())/1e3, what+"-p99-ms")
}
