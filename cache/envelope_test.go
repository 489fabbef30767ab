package cache

import (
	"bytes"
	"testing"

	"vidmeta/schema"
)

func TestEnvelopeRoundTrip(t *testing.T) {
	for _, e := range []Envelope{
		{Kind: Live, Version: 1, LoadedAt: 2, ExpiresAt: 3, Body: []byte("{}")},
		{Kind: Live, Version: schema.MaxVersion, LoadedAt: 9999999999999999, ExpiresAt: 9999999999999999, Body: bytes.Repeat([]byte{0}, 1<<16)},
		{Kind: Absent, Version: 1763837680123456, LoadedAt: 1763837680123456, ExpiresAt: 1763837680123456},
	} {
		b := e.Append(nil)
		got, err := ParseEnvelope(b)
		if err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		if got.Kind != e.Kind || got.Version != e.Version || got.LoadedAt != e.LoadedAt || got.ExpiresAt != e.ExpiresAt || !bytes.Equal(got.Body, e.Body) {
			t.Errorf("got %+v, want %+v", got, e)
		}
		if got.Body != nil && cap(got.Body) != len(got.Body) {
			t.Error("an append to the body would write into memory behind it")
		}
	}
}

// Scripts compare versions as strings: the order of the encodings must be that of the versions.
func TestEnvelopeOrder(t *testing.T) {
	versions := []schema.Version{0, 1, 9, 10, 99, 1<<32 - 1, 1 << 32, 1763837680123456, 1763837680123457, schema.MaxVersion}
	for i := 1; i < len(versions); i++ {
		a := Envelope{Kind: Live, Version: versions[i-1], Body: []byte("x")}.Append(nil)[2:18]
		b := Envelope{Kind: Live, Version: versions[i], Body: []byte("x")}.Append(nil)[2:18]
		if bytes.Compare(a, b) >= 0 {
			t.Errorf("%s is not below %s", a, b)
		}
	}
}

func FuzzParseEnvelope(f *testing.F) {
	f.Add(Envelope{Kind: Live, Version: 1, LoadedAt: 2, ExpiresAt: 3, Body: []byte("{}")}.Append(nil))
	f.Add(Envelope{Kind: Absent, Version: 1}.Append(nil))
	f.Add([]byte("1L00000000000000010000000000000002"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := ParseEnvelope(b)
		if err == nil && !bytes.Equal(e.Append(nil), b) {
			t.Errorf("%q decodes to %+v, which encodes to %q", b, e, e.Append(nil))
		}
	})
}

func BenchmarkEnvelope(b *testing.B) {
	e := Envelope{Kind: Live, Version: 1763837680123456, LoadedAt: 1763837680123456, ExpiresAt: 1763837680123456, Body: bytes.Repeat([]byte("x"), 1024)}
	enc := e.Append(nil)
	b.ReportAllocs()
	for b.Loop() {
		got, err := ParseEnvelope(enc)
		if err != nil || got.Version != e.Version {
			b.Fatal(err)
		}
		enc = got.Append(enc[:0])
	}
}
