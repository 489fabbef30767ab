package api

import (
	"strings"
	"testing"
	"time"
)

func TestCacheControlParser(t *testing.T) {
	age := func(d time.Duration) cacheControl { return cacheControl{hasMaxAge: true, maxAge: d} }
	stale := func(d time.Duration) cacheControl { return cacheControl{hasMaxStale: true, maxStale: d} }
	const any = maxDeltaSeconds * time.Second
	tests := []struct {
		in   string
		want cacheControl
	}{
		{"", cacheControl{}},
		{",", cacheControl{}},
		{" , ,,", cacheControl{}},
		{"no-cache", cacheControl{noCache: true}},
		{"No-Cache", cacheControl{noCache: true}},
		{"\tno-cache ", cacheControl{noCache: true}},
		{"no-cached", cacheControl{}},
		{"only-if-cached", cacheControl{onlyIfCached: true}},
		{"max-age=5", age(5 * time.Second)},
		{"MAX-AGE=5", age(5 * time.Second)},
		{`max-age="5"`, age(5 * time.Second)},
		{"max-age = 5", age(5 * time.Second)},
		{"max-age=05", age(5 * time.Second)},
		{"max-age=0", age(0)},
		{"max-age=9, max-age=3, max-age=7", age(3 * time.Second)},
		{"max-age=x, max-age=3", age(3 * time.Second)},
		{"max-age", cacheControl{}},
		{"max-age=", cacheControl{}},
		{"max-age=-1", cacheControl{}},
		{"max-age=+1", cacheControl{}},
		{"max-age=1.5", cacheControl{}},
		{"max-age=1 2", cacheControl{}},
		{"max-age=99999999999999999999999999", age(maxDeltaSeconds * time.Second)},
		{"max-stale", stale(any)},
		{"Max-Stale\t", stale(any)},
		{"max-stale=10", stale(10 * time.Second)},
		{`MAX-STALE = "10"`, stale(10 * time.Second)},
		{"max-stale=0", stale(0)},
		{"max-stale=99999999999999999999999999", stale(any)},
		{"max-stale, max-stale=9, max-stale=3", stale(3 * time.Second)},
		{"max-stale=3, max-stale", stale(3 * time.Second)},
		{"max-stale=", cacheControl{}},
		{`max-stale=""`, cacheControl{}},
		{"max-stale=-1", cacheControl{}},
		{"max-stale=x", cacheControl{}},
		{"max-stale=1.5", cacheControl{}},
		{"max-stale; max-age=1", cacheControl{}},
		{"max-age=1, max-stale", cacheControl{hasMaxAge: true, maxAge: time.Second, hasMaxStale: true, maxStale: any}},
		{"min-fresh=3, no-store, no-transform", cacheControl{}},
		{`x="a, no-cache, max-age=1"`, cacheControl{}},
		{`x="a\", no-cache", only-if-cached`, cacheControl{onlyIfCached: true}},
		{`x="open, no-cache`, cacheControl{}},
		{`x=", no-cache`, cacheControl{}},
		{`x="\`, cacheControl{}},
		{"no-cache, max-age=1,only-if-cached", cacheControl{noCache: true, onlyIfCached: true, hasMaxAge: true, maxAge: time.Second}},
	}
	for _, tt := range tests {
		var got cacheControl
		got.parse(tt.in)
		if got != tt.want {
			t.Errorf("%q: %+v, want %+v", tt.in, got, tt.want)
		}
	}
}

func FuzzCacheControl(f *testing.F) {
	for _, s := range []string{"", "no-cache", `a="b,c", max-age=3`, `"`, `\`, `x="\`, "max-age=99999999999999999999", ",,=,=", "max-stale,max-stale=1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var c cacheControl
		c.parse(s)
		if c.maxAge < 0 || !c.hasMaxAge && c.maxAge != 0 || c.maxStale < 0 || !c.hasMaxStale && c.maxStale != 0 {
			t.Fatalf("%q: %+v", s, c)
		}
		// A directive more before or after changes nothing else, unless a quote is open.
		if !strings.ContainsAny(s, `"\`) {
			var more cacheControl
			more.parse("only-if-cached," + s + ",x=y")
			c.onlyIfCached = true
			if more != c {
				t.Fatalf("%q: %+v, want %+v", s, more, c)
			}
		}
	})
}

func BenchmarkCacheControl(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		var c cacheControl
		c.parse(`no-transform, max-age=1, x="y"`)
	}
}
