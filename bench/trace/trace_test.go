package trace

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"vidmeta/bench/result"
)

func open(t testing.TB, name string) *Trace {
	t.Helper()
	tr, err := Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

func TestShippedTracesAreWhatTheirRecordersHad(t *testing.T) {
	for name, want := range map[string]struct{ requests, keys int }{
		"web12":    {95_607, 13_756},
		"orm-busy": {5_000_000, 76_349},
	} {
		tr := open(t, name)
		if len(tr.IDs) != want.requests || tr.Keys != want.keys {
			t.Errorf("%s: %d requests of %d keys, want %d of %d", name, len(tr.IDs), tr.Keys, want.requests, want.keys)
		}
		next := uint32(1)
		for i, id := range tr.IDs {
			if id == 0 || id > next {
				t.Fatalf("%s: request %d has id %d, when %d ids had been seen", name, i, id, next-1)
			}
			if id == next {
				next++
			}
		}
		if int(next) != tr.Keys+1 {
			t.Errorf("%s: ids up to %d, want 1 to %d", name, next-1, tr.Keys)
		}
		if !strings.Contains(tr.Source, "CC BY 4.0") {
			t.Errorf("%s: the source %q does not name the licence", name, tr.Source)
		}
	}
}

func TestReadFormats(t *testing.T) {
	lines := []string{
		"1189828805 63.22.65.73 140.8.48.66 GETVIDEO lIwpn2DE6hY 158.102.125.12",
		"1189828806 63.22.65.73 140.8.48.66 GETVIDEO abcdefghij-&origin=x 158.102.125.12",
		"1189828806 63.22.65.73 140.8.48.66 OTHER    abcdefghijk 158.102.125.12",
		"1189828807 63.22.65.73 140.8.48.66 GETVIDEO UMASS001234 158.102.125.12",
		"1189828807 63.22.65.73 140.8.48.66 GETVIDEO tooshort 158.102.125.12",
		"1189828808 63.22.65.73 140.8.48.66 GETVIDEO lIwpn2DE6hY 158.102.125.12",
		"11898288",
	}
	for _, c := range []struct {
		format, content string
		want            []uint32
	}{
		{"uint32", "\x00\x00\x00\x07\xff\xff\xff\xff\x00\x00\x00\x07", []uint32{1, 2, 1}},
		{"int64", "\x80\x00\x00\x00\x00\x00\x00\x07\x00\x00\x00\x00\x00\x00\x00\x07\x80\x00\x00\x00\x00\x00\x00\x07",
			[]uint32{1, 2, 1}},
		{"youtube", strings.Join(lines, "\n"), []uint32{1, 2, 1}},
	} {
		plain, packed := filepath.Join(t.TempDir(), "a.trace"), filepath.Join(t.TempDir(), "a.trace.gz")
		var z bytes.Buffer
		w := gzip.NewWriter(&z)
		_, err := w.Write([]byte(c.content))
		if err = errors.Join(err, w.Close(), os.WriteFile(plain, []byte(c.content), 0o600),
			os.WriteFile(packed, z.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{plain, packed} {
			tr := open(t, c.format+":"+path)
			if !slices.Equal(tr.IDs, c.want) || tr.Keys != 2 || tr.Name != "a" {
				t.Errorf("%s of %s: name %q, ids %v of %d keys, want %v", c.format, path, tr.Name, tr.IDs, tr.Keys, c.want)
			}
		}
	}
}

func TestOpenSaysWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, want := range map[string]string{
		"web13":                   "web12",
		"csv:" + file("x", "1,2"): "uint32, int64 or youtube",
		"uint32:" + filepath.Join(dir, "not there"):           "no such file",
		"uint32:" + file("cut", "\x00\x00\x00\x07\x00"):       "request 2",
		"uint32:" + file("empty", ""):                         "no request",
		"int64:" + file("broken.gz", "\x1f\x8bnot"):           "broken",
		"youtube:" + file("long", strings.Repeat("x", 1<<20)): "YouTube trace",
	} {
		if _, err := Open(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%q): %v, want an error with %q", name, err, want)
		}
	}
}

// everything is a tier that keeps all it is given.
type everything map[uint64]bool

func (e everything) Get(id uint64) bool { return e[id] }
func (e everything) Put(id uint64)      { e[id] = true }
func (e everything) Close()             { clear(e) }

func TestCompareWeb12(t *testing.T) {
	tr := open(t, "web12")
	got, err := Compare(t.Context(), tr, Rooms, func(int) (Tier, error) { return everything{}, nil })
	if err != nil {
		t.Fatal(err)
	}
	hits := map[string][]float64{}
	for _, p := range got.Policies {
		hits[p.Name] = append(hits[p.Name], p.Hits)
	}
	if len(hits) != 4 {
		t.Fatalf("policies %v, want %q, lru, ristretto and otter", hits, LocalTier)
	}
	// Of a plain LRU it is known what it must answer, to a tenth of a point: another program counted it.
	for i, want := range []float64{0.397, 0.600, 0.685, 0.777} {
		if math.Abs(hits["lru"][i]-want) > 0.0006 {
			t.Errorf("LRU with room for %g of the keys answers %.4f, want %.3f", Rooms[i], hits["lru"][i], want)
		}
	}
	most := 1 - float64(tr.Keys)/float64(len(tr.IDs)) // all but the first request for each key
	for name, h := range hits {
		for i := range h {
			if h[i] <= 0.2 || h[i] > most+1e-9 {
				t.Errorf("%s with room for %g of the keys answers %.3f, want more than 0.2 and at most %.3f",
					name, Rooms[i], h[i], most)
			}
			if i > 0 && h[i] < h[i-1] {
				t.Errorf("%s answers %.3f with room for %g of the keys, and %.3f with less", name, h[i], Rooms[i], h[i-1])
			}
		}
	}
	if h := hits[LocalTier][0]; math.Abs(h-most) > 1e-9 {
		t.Errorf("a tier that keeps everything answers %.4f, want %.4f", h, most)
	}
}

func TestCompareWithoutLocalTierAndWithRoomForOne(t *testing.T) {
	tr := &Trace{Name: "tiny", IDs: []uint32{1, 1, 2, 2, 1}, Keys: 2}
	got, err := Compare(t.Context(), tr, []float64{0.0001}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.Requests != 5 || got.Keys != 2 || len(got.Policies) != 3 {
		t.Errorf("%+v, want 5 requests, 2 keys, 3 policies", got)
	}
	if got.Policies[0] != (result.Policy{Name: "lru", Room: 0.0001, Hits: 0.4}) {
		t.Errorf("%+v, want an LRU of one entry that answers 2 of 5", got.Policies[0])
	}
}

func TestCompareEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	enough := errors.New("enough")
	cancel(enough)
	if _, err := Compare(ctx, &Trace{IDs: []uint32{1}, Keys: 1}, Rooms, nil); !errors.Is(err, enough) {
		t.Errorf("%v, want %v", err, enough)
	}
}

func BenchmarkReplay(b *testing.B) {
	tr := open(b, "web12")
	for _, p := range yardsticks {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				tier, err := p.make(tr.Keys / 10)
				if err != nil {
					b.Fatal(err)
				}
				if hits, err := replay(b.Context(), tr, tier); err != nil || hits == 0 {
					b.Fatal(hits, err)
				}
				tier.Close()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(tr.IDs)), "ns/request")
		})
	}
}
