package cache

import (
	"testing"
	"testing/synctest"
	"time"

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

func TestRecentForgets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecent()
		now := func() int64 { return time.Now().UnixMicro() }
		r.note(1, 100, now())
		r.note(1, 50, now()) // late news
		if v, exact := r.floor(1, now()); v != 100 || !exact {
			t.Errorf("floor %d, %v; want 100", v, exact)
		}
		if v, _ := r.floor(2, now()); v != 0 {
			t.Errorf("an id never noted has floor %d", v)
		}
		<-time.After(recentWindow)
		if v, _ := r.floor(1, now()); v != 0 {
			t.Errorf("floor %d after the window", v)
		}
	})
}

// Ids that meet in one slot must not hide each other's news.
func TestRecentShared(t *testing.T) {
	r := newRecent()
	one := schema.ID(1)
	other := one + 1
	for mix(uint64(other))%recentSlots != mix(uint64(one))%recentSlots {
		other++
	}
	r.note(one, 100, 0)
	r.note(other, 50, 1)
	if v, exact := r.floor(one, 2); v < 100 || exact {
		t.Errorf("the id noted first has floor %d, exact %v; want 100 at least, not exact", v, exact)
	}
	if v, exact := r.floor(other, 2); v != 50 || !exact {
		t.Errorf("the id noted last has floor %d, exact %v; want 50 exactly", v, exact)
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
