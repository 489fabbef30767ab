package cache

import "strings"

// reign names one master of Redis from its start or promotion to its end, by the replication id that Redis draws anew
// at either. A node that was restarted or was a replica meanwhile has another one, though its address is the same.
type reign string

// reignLen is how much of the 40 digits of a replication id is used: 64 bits.
const reignLen = 16

// roster lists the reigns that hold everything the feed has told, separated by blanks.
type roster string

// has reports whether a reign is known to be one of them.
func (r roster) has(who reign) bool { return who != "" && strings.Contains(string(r), string(who)) }

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
