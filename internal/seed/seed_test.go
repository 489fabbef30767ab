package seed_test

import (
	"testing"

	"vidmeta/internal/migrate"
	"vidmeta/internal/mysqldb"
	"vidmeta/internal/seed"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func BenchmarkSeed(b *testing.B) {
	const videos = 20_000
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				db, err := mysqldb.Open(stacktest.Database(b, flavor), mysqldb.Pool{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := migrate.Run(b.Context(), db); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				if err := seed.Seed(b.Context(), db, videos, nil); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := db.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(videos*b.N)/b.Elapsed().Seconds(), "videos/s")
		})
	}
}
