package schema

import "embed"

// Migrations holds the goose migrations that make the tables and the triggers, as sql/*.sql. Package
// vidmeta/internal/migrate applies them; all of them work on MariaDB 10.11 and on MySQL 8.0 and newer.
//
//go:embed sql/*.sql
var Migrations embed.FS

// VersionTable is the table of (video_id, version) that the triggers keep, the only one whose rows the sidecar follows.
const VersionTable = "video_versions"

// LargestVersion is the name of the constraint that keeps versions at MaxVersion or below. Errors of writes that it
// refuses name it.
const LargestVersion = "video_versions_largest"

// Tables are the tables that a document is made of, the parent first. Each carries the triggers named by TriggerName;
// DDL on any of them, or TRUNCATE, changes documents without a new version. Do not write to it.
var Tables = []string{"videos", "video_tags", "video_cast", "video_renditions"}

// Events are the events that each of Tables has a trigger for. Do not write to it.
var Events = []string{"insert", "update", "delete"}

// TriggerName is the name of the trigger that raises versions on an event of a table.
func TriggerName(table, event string) string { return table + "_version_" + event }

// TriggerNames are the names of all of them. Without each, changes go by that no cache is ever told of.
func TriggerNames() (names []string) {
	for _, table := range Tables {
		for _, event := range Events {
			names = append(names, TriggerName(table, event))
		}
	}
	return names
}
