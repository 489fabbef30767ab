package schema_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"testing"

	"vidmeta/internal/seed"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const benchVideos = 10_000

// benchmarkFlavors runs a benchmark on every kind of server, with some thousand real documents.
func benchmarkFlavors(b *testing.B, run func(b *testing.B, db *sql.DB)) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			db := migrated(b, flavor)
			if err := seed.Seed(b.Context(), db, benchVideos, nil); err != nil {
				b.Fatal(err)
			}
			run(b, db)
		})
	}
}

// randomIDs returns different ids.
func randomIDs(n int) []schema.ID {
	ids := make([]schema.ID, n)
	first := rand.IntN(benchVideos)
	for i := range ids {
		ids[i] = schema.ID(1 + (first+i*97)%benchVideos)
	}
	return ids
}

type loader func(ctx context.Context, ids []schema.ID) ([]schema.Document, error)

func benchmarkLoad(b *testing.B, n int, load loader) {
	b.ReportAllocs()
	for b.Loop() {
		documents, err := load(b.Context(), randomIDs(n))
		if err != nil {
			b.Fatal(err)
		}
		if len(documents) != n || !documents[n-1].Exists() {
			b.Fatal("a document is missing")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n)/1000, "µs/document")
}

func BenchmarkLoad(b *testing.B) {
	benchmarkFlavors(b, func(b *testing.B, db *sql.DB) {
		store := schema.NewStore(db)
		defer store.Close()
		for _, n := range []int{1, 4, 16, 100, 1000} {
			b.Run(fmt.Sprintf("union/%d", n), func(b *testing.B) { benchmarkLoad(b, n, store.Load) })
			b.Run(fmt.Sprintf("text/%d", n), func(b *testing.B) {
				benchmarkLoad(b, n, func(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
					return schema.LoadByText(ctx, db, ids)
				})
			})
			b.Run(fmt.Sprintf("transaction/%d", n), func(b *testing.B) {
				s, err := schema.NewSnapshot(b.Context(), db, n)
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				benchmarkLoad(b, n, s.Load)
			})
		}
	})
}
