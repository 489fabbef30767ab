package api

import (
	"math/rand/v2"
	"net/http"
	"testing"
	"time"
)

func TestDatesAreThoseOfPackageTime(t *testing.T) {
	check := func(at time.Time) {
		t.Helper()
		if got, want := string(appendAsOf(nil, at)), at.UTC().Format("2006-01-02T15:04:05.000Z"); got != want {
			t.Errorf("as of %s, want %s", got, want)
		}
		if got, want := string(appendHTTPDate(nil, at.Unix())), at.UTC().Format(http.TimeFormat); got != want {
			t.Errorf("date %s, want %s", got, want)
		}
	}
	check(time.Unix(0, 0))
	check(time.Time{})
	check(time.Date(2024, 2, 29, 23, 59, 59, 999_999_999, time.FixedZone("", -7*3600)))
	check(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC))
	r := rand.New(rand.NewPCG(1, 2))
	for range 10_000 {
		check(time.Unix(r.Int64N(1<<33), r.Int64N(1e9)))
	}
}

func BenchmarkDates(b *testing.B) {
	now := time.Now()
	var buf [64]byte
	for b.Loop() {
		appendHTTPDate(appendAsOf(buf[:0], now), now.Unix())
	}
}
