package schema

import (
	"context"
	"database/sql"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// A Trigger is one as a database has it, or as the migrations make it.
type Trigger struct {
	Table, Timing, Event string
	Statements           string // with single blanks
	Definer              string // whose rights it runs with, name@host; "" of those that the migrations make
}

// createTrigger matches the statements of the migrations. A body ends at an empty line or at goose's next remark.
var createTrigger = regexp.MustCompile(`(?s)CREATE TRIGGER (\w+) (BEFORE|AFTER) (INSERT|UPDATE|DELETE) ON (\w+) FOR EACH ROW\s+(.*?);\n(?:\n|-- \+goose)`)

// WantedTriggers returns the triggers that the migrations make, by name: those of TriggerNames. Do not write to the map.
var WantedTriggers = sync.OnceValues(func() (map[string]Trigger, error) {
	files, err := fs.Glob(Migrations, "sql/*.sql")
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]Trigger)
	for _, name := range files { // in order, which lets a later file replace a trigger
		text, err := fs.ReadFile(Migrations, name)
		if err != nil {
			return nil, err
		}
		for _, m := range createTrigger.FindAllStringSubmatch(string(text), -1) {
			wanted[m[1]] = Trigger{Timing: m[2], Event: m[3], Table: m[4], Statements: oneBlank(m[5])}
		}
	}
	return wanted, nil
})

// oneBlank leaves of blanks and the ends of lines what separates words.
func oneBlank(text string) string { return strings.Join(strings.Fields(text), " ") }

// ReadTriggers returns the triggers of the database of db by name, those that the user may see: without the right TRIGGER
// on a table none of it.
func ReadTriggers(ctx context.Context, db *sql.DB) (map[string]Trigger, error) {
	rows, err := db.QueryContext(ctx, "SELECT trigger_name, event_object_table, action_timing, event_manipulation,"+
		" action_statement, definer FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
	if err != nil {
		return nil, fmt.Errorf("read the triggers: %w", err)
	}
	defer rows.Close()
	all := make(map[string]Trigger)
	for rows.Next() {
		var name string
		var t Trigger
		if err := rows.Scan(&name, &t.Table, &t.Timing, &t.Event, &t.Statements, &t.Definer); err != nil {
			return nil, fmt.Errorf("read the triggers: %w", err)
		}
		t.Statements = oneBlank(t.Statements) // servers keep them as they were written
		all[name] = t
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the triggers: %w", err)
	}
	return all, nil
}

// AlteredTriggers returns the names of those among the triggers of a database that are not as the migrations make them,
// whoever their definer is. Those that are missing are not among them.
func AlteredTriggers(are map[string]Trigger) (names []string, err error) {
	wanted, err := WantedTriggers()
	if err != nil {
		return nil, err
	}
	for name, want := range wanted {
		is, there := are[name]
		is.Definer = ""
		if there && is != want {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
