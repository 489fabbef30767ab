package cache

import (
	"maps"
	"slices"
	"strings"
)

// reign names one master of Redis from its start or promotion to its end, by the replication id that Redis draws anew
// at either. A node that was restarted or was a replica meanwhile has another one, though its address is the same.
type reign string

// reignLen is how much of the 40 digits of a replication id is used: 64 bits.
const reignLen = 16

// roster says which reigns hold everything that the feed has told, each of the slots beside it. What somebody says of
// another slot, which has come from who knows where, is not believed. It is immutable.
type roster struct {
	text string // reign:ranges reign:ranges, as the feed carries it
	of   map[reign]*slots
}

// parseRoster reads what text returned elsewhere. A roster that cannot be read, as one from before slots were told, lists
// nobody. It returns last where that has the same text.
func parseRoster(text string, last *roster) *roster {
	if last != nil && last.text == text {
		return last
	}
	r := &roster{text: text, of: map[reign]*slots{}}
	for _, f := range strings.Fields(text) {
		who, ranges, ok := strings.Cut(f, ":")
		if s, err := parseSlots(ranges); ok && err == nil {
			r.of[reign(who)] = s
		}
	}
	return r
}

// newRoster returns the roster of members.
func newRoster(members map[reign]member) *roster {
	r := &roster{of: make(map[reign]*slots, len(members))}
	var b strings.Builder
	for _, who := range slices.Sorted(maps.Keys(members)) {
		own := *members[who].slots
		r.of[who] = &own
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(who) + ":" + own.String())
	}
	r.text = b.String()
	return r
}

// has reports whether a reign is listed for a slot.
func (r *roster) has(who reign, slot int) bool {
	if r == nil {
		return false
	}
	of := r.of[who]
	return of != nil && of.has(slot)
}

// info is the text in which Redis describes itself: a title for each section, and lines of the form name:value.
type info string

func (i info) field(name string) string {
	_, rest, _ := strings.Cut(string(i), "\n"+name+":")
	value, _, _ := strings.Cut(rest, "\r")
	return value
}

// reign returns who answered, "" for a replica: it has its master's replication id, and nothing of ours to say.
func (i info) reign() reign {
	id := i.field("master_replid")
	if i.field("role") != "master" || len(id) < reignLen {
		return ""
	}
	return reign(id[:reignLen])
}
