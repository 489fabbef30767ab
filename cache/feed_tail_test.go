package cache

import (
	"slices"
	"testing"
	"time"

	"vidmeta/schema"
)

func TestLastChanges(t *testing.T) {
	r := openRedis(t)
	f := NewFeed(NewShared(r))
	if _, _, err := f.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	publish := func(changes ...schema.Change) {
		t.Helper()
		if err := f.Publish(t.Context(), "e", "", time.Time{}, changes); err != nil {
			t.Fatal(err)
		}
	}
	last := func(after string, n int) (ids []schema.ID, end string) {
		t.Helper()
		changes, end, err := r.LastChanges(t.Context(), after, n)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range changes {
			ids = append(ids, c.ID)
		}
		return ids, end
	}
	if ids, end := last("", 10); len(ids) != 0 || end != "" {
		t.Errorf("an empty feed: %v, %q", ids, end)
	}
	publish(schema.Change{ID: 1, Version: 1}, schema.Change{ID: 2, Version: 1})
	for range 3 * tailPage {
		publish() // heartbeats
	}
	publish(schema.Change{ID: 3, Version: 1})
	publish(schema.Change{ID: 1, Version: 2})
	all, end := last("", 10)
	if !slices.Equal(all, []schema.ID{1, 3, 2}) {
		t.Errorf("all: %v", all)
	}
	if ids, _ := last("", 2); !slices.Equal(ids, []schema.ID{1, 3}) {
		t.Errorf("two: %v", ids)
	}
	if ids, again := last(end, 10); len(ids) != 0 || again != end {
		t.Errorf("nothing new: %v, %q", ids, again)
	}
	publish(schema.Change{ID: 4, Version: 1})
	if ids, newer := last(end, 10); !slices.Equal(ids, []schema.ID{4}) || newer == end {
		t.Errorf("what is new: %v, %q", ids, newer)
	}
}
