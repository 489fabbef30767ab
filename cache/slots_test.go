package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"vidmeta/schema"
)

func TestSlots(t *testing.T) {
	for text, count := range map[string]int{"": 0, "0-16383": slotCount, "0": 1, "16383": 1, "0-5460,5462,5464-5465": 5464, "63-64": 2} {
		s, err := parseSlots(text)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for slot := range s.all {
			n++
			if !s.has(slot) {
				t.Errorf("%q: %d is among all and is not there", text, slot)
			}
		}
		if got := s.String(); got != text || n != count {
			t.Errorf("%q: %q, %d slots; want %d", text, got, n, count)
		}
	}
	for _, text := range []string{"-", "1-", "-1", "2-1", "16384", "0-16384", "a", "1,", "1;2"} {
		if s, err := parseSlots(text); err == nil {
			t.Errorf("%q was taken for %s", text, s)
		}
	}
	a, _ := parseSlots("0-99")
	b, _ := parseSlots("50-59,98-200")
	if got := a.without(b).String(); got != "0-49,60-97" {
		t.Errorf("difference: %s", got)
	}
	if a.remove(99); a.has(99) || !a.has(98) {
		t.Error("not 99 alone was removed")
	}
}

// The form of the lines is that of "CLUSTER NODES", redis.io/commands/cluster-nodes.
func TestOwnSlots(t *testing.T) {
	const other = "07c37d 127.0.0.1:30004@31004 slave e7d1ee 0 1426238317239 4 connected\n" +
		"67ed2d 127.0.0.1:30002@31002 master - 0 1426238316232 2 connected 5461-10922\n"
	for line, want := range map[string]string{
		"e7d1ee 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-5460\n":                                        "0-5460 ",
		"e7d1ee 127.0.0.1:30001@31001 myself,master - 0 0 1 connected\n":                                               " ",
		"e7d1ee 127.0.0.1:30001@31001 myself,master - 0 0 1 connected 0-9 11 [5->-67ed2d] [11->-67ed2d] [77-<-67ed2d]": "0-9,11 5,11,77",
	} {
		own, moving, err := ownSlots(other + line)
		if err != nil {
			t.Fatal(err)
		}
		if got := own.String() + " " + moving.String(); got != want {
			t.Errorf("%q: %q; want %q", line, got, want)
		}
	}
	for _, text := range []string{"", other, "e7d1ee 127.0.0.1:30001@31001 myself,master - 0 0 1 connected x-y\n"} {
		if own, _, err := ownSlots(text); err == nil {
			t.Errorf("%q: %s", text, own)
		}
	}
}

func TestRosterIsWhatTheFeedCarries(t *testing.T) {
	some, _ := parseSlots("0-99,200")
	r := newRoster(map[reign]member{"b": {slots: some}, "a": {slots: new(slots)}})
	if r.text != "a: b:0-99,200" {
		t.Errorf("text %q", r.text)
	}
	some.remove(200) // what is published does not change under its readers
	for _, r := range []*roster{r, parseRoster(r.text, nil)} {
		if !r.has("b", 200) || r.has("b", 100) || r.has("a", 0) || r.has("", 0) || r.has("c", 0) {
			t.Errorf("%+v", r)
		}
	}
	if again := parseRoster(r.text, r); again != r {
		t.Error("the same text was read anew")
	}
	var none *roster
	if none.has("a", 0) || parseRoster("a b", nil).has("a", 0) || parseRoster("a:0-99999", nil).has("a", 0) {
		t.Error("somebody is listed in what cannot be read")
	}
}

func TestSlotsAreThoseOfRedis(t *testing.T) {
	r := openRedis(t)
	keys := []string{"", "{}", "{}a", "a{", "}{a}", "{a}{b}", "a{b{c}d}e", "\x00\xff", r.aliasKey("4iCoOXsdza8"), r.feedKeys()[1]}
	for range 20 {
		id := schema.ID(rand.Uint64())
		key := r.key("", id)
		if got := slotOf(id); got != keySlot(key) {
			t.Errorf("document %d: slot %d, and %d of its key", id, got, keySlot(key))
		}
		keys = append(keys, key, key+leaseSuffix, fmt.Sprint(rand.Uint64()))
	}
	for _, key := range keys {
		if want, err := r.cfg.Client.ClusterKeySlot(t.Context(), key).Result(); err != nil || keySlot(key) != int(want) {
			t.Errorf("%q: slot %d, and %d of Redis, %v", key, keySlot(key), want, err)
		}
	}
}
