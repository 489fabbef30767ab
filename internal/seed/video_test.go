package seed

import (
	"slices"
	"testing"
	"unicode/utf8"

	"vidmeta/schema"
)

func TestPublicID(t *testing.T) {
	seen := make(map[string]bool)
	for id := schema.ID(1); id <= 200_000; id++ {
		p := PublicID(id)
		if !schema.ValidPublicID(p) || seen[p] {
			t.Fatalf("public id %q of video %d", p, id)
		}
		seen[p] = true
	}
	// The ids are in other people's scripts.
	if p := PublicID(1); p != "4iCoOXsdza8" {
		t.Errorf("public id of video 1: %q", p)
	}
}

// Every film of the data fits the tables, and what follows from it is plausible.
func TestFilms(t *testing.T) {
	all, err := films(Films + 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != Films {
		t.Fatalf("%d films", len(all))
	}
	for i := range all {
		id := schema.ID(i + 1)
		f := &all[source(id)]
		row := videoRow(nil, id, f)
		published := row[11].(string)
		if f.Title == "" || utf8.RuneCountInString(f.Title) > 500 || len(f.Extract) > 60_000 || len(f.Thumbnail) > 1024 ||
			f.Year < 1900 || f.Year > 2023 || published[:2] != "19" && published[:2] != "20" {
			t.Errorf("film %d: %+v, published %s", i+1, f, published)
		}
		tags := slices.Clone(f.Genres)
		slices.Sort(tags)
		if len(slices.Compact(tags)) != len(f.Genres) {
			t.Errorf("film %d has a tag twice: %q", i+1, f.Genres)
		}
		for _, name := range slices.Concat(f.Genres, f.Cast) {
			if name == "" || utf8.RuneCountInString(name) > 100 {
				t.Errorf("film %d: name %q", i+1, name)
			}
		}
		if n := len(renditionRows(nil, id, f)) / tables[3].width; n < 2 || n > 3 {
			t.Errorf("film %d: %d renditions", i+1, n)
		}
		for _, table := range tables {
			if n := len(table.rows(nil, id, f)); n%table.width != 0 {
				t.Errorf("film %d: %d values for %s", i+1, n, table.insert)
			}
		}
	}
}

// Beyond the last film they begin again, under other names.
func TestFilmsRepeat(t *testing.T) {
	for id, want := range map[schema.ID]int{1: 0, Films: Films - 1, Films + 1: 0, 2*Films + 3: 2, 1_000_000: (1_000_000 - 1) % Films} {
		if got := source(id); got != want {
			t.Errorf("video %d shows film %d, want %d", id, got, want)
		}
	}
	if PublicID(1) == PublicID(Films+1) {
		t.Error("the same public id")
	}
}
