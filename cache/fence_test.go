package cache

import (
	"testing"

	"vidmeta/schema"
)

func TestFence(t *testing.T) {
	f := NewFence()
	a, b := f.Stamp(1), f.Stamp(2)
	f.Invalidate(1)
	if f.Stamp(1) <= a {
		t.Error("the stamp of an invalidated id did not grow")
	}
	if f.Stamp(2) != b {
		t.Error("an id of another stripe was invalidated")
	}
	a = f.Stamp(1)
	f.InvalidateAll()
	if f.Stamp(1) <= a || f.Stamp(2) <= b {
		t.Error("InvalidateAll left a stamp")
	}
}

func BenchmarkFence(b *testing.B) {
	f := NewFence()
	b.ReportAllocs()
	for i := schema.ID(0); b.Loop(); i++ {
		if f.Stamp(i) == 1<<63 {
			b.Fatal()
		}
	}
}
