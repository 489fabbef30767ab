package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// trigger is one as it was made, or is to be.
type trigger struct {
	table, event, timing string
	statements           string // with single blanks
	definer              string // name@host; of those that there are
}

// createTrigger matches the statements of the migrations. A body ends at an empty line or at goose's next remark.
var createTrigger = regexp.MustCompile(`(?s)CREATE TRIGGER (\w+) (BEFORE|AFTER) (INSERT|UPDATE|DELETE) ON (\w+) FOR EACH ROW\s+(.*?);\n(?:\n|-- \+goose)`)

// wantedTriggers are those that vidmeta migrate makes, by name.
func wantedTriggers() (map[string]trigger, error) {
	files, err := fs.Glob(schema.Migrations, "sql/*.sql")
	if err != nil {
		return nil, err
	}
	wanted := make(map[string]trigger)
	for _, name := range files { // in order, which lets a later file replace a trigger
		text, err := fs.ReadFile(schema.Migrations, name)
		if err != nil {
			return nil, err
		}
		for _, m := range createTrigger.FindAllStringSubmatch(string(text), -1) {
			wanted[m[1]] = trigger{timing: m[2], event: m[3], table: m[4], statements: oneBlank(m[5])}
		}
	}
	return wanted, nil
}

// oneBlank leaves of blanks and the ends of lines what separates words.
func oneBlank(text string) string { return strings.Join(strings.Fields(text), " ") }

// triggers returns those of the database that the user may see, by name. They are stored as they were written.
func (p *mysqlPatient) triggers(ctx context.Context) (map[string]trigger, error) {
	rows, err := p.table(ctx, "SELECT trigger_name AS name, event_object_table AS subject, event_manipulation AS event,"+
		" action_timing AS timing, action_statement AS statements, definer AS definer"+
		" FROM information_schema.triggers WHERE trigger_schema = DATABASE()")
	if err != nil {
		return nil, err
	}
	all := make(map[string]trigger, len(rows))
	for _, r := range rows {
		all[r["name"]] = trigger{
			table: r["subject"], event: r["event"], timing: r["timing"], definer: r["definer"], statements: oneBlank(r["statements"]),
		}
	}
	return all, nil
}

func lookTriggers(ctx context.Context, p *mysqlPatient) (found []finding) {
	names := schema.TriggerNames()
	missing, hidden, err := mysqldb.MissingTriggers(ctx, p.db, names)
	if err != nil {
		return []finding{fail("", "%v", err)}
	}
	switch {
	case len(missing) == len(names):
		return []finding{fail("vidmeta migrate", "there are none: no change gets a version, and the caches never learn of it")}
	case len(missing) > 0:
		found = append(found, fail("vidmeta migrate",
			"missing: %s: such changes get no version, so the sidecar vouches for nothing until they are back", strings.Join(missing, ", ")))
	}
	wanted, err := wantedTriggers()
	if err != nil {
		return append(found, fail("", "%v", err))
	}
	are, err := p.triggers(ctx)
	if err != nil {
		return append(found, fail("", "the triggers cannot be read: %v", err))
	}
	for _, name := range names {
		is, want := are[name], wanted[name]
		is.definer = ""
		if is.table != "" && is != want {
			found = append(found, fail(fmt.Sprintf("DROP TRIGGER `%s`.`%s` -- then vidmeta migrate", p.config.DBName, name),
				"%s is not as it was made (%s %s ON %s): changes may get no version, and reach no cache then", name, is.timing, is.event, is.table))
		}
	}
	switch {
	case len(found) > 0:
	case hidden > 0:
		found = append(found, finding{Level: levelOK, Mend: "run vidmeta doctor as the user of vidmeta migrate as well, who may see what they do",
			What: fmt.Sprintf("all %d are there, %d by the server's word", len(names), hidden)})
	default:
		found = append(found, fine("all %d are there, and as they were made", len(names)))
	}
	return found
}

// lookDefiners asks whether the triggers can run: they do so with the rights of whoever made them.
func lookDefiners(ctx context.Context, p *mysqlPatient) (found []finding) {
	are, err := p.triggers(ctx)
	if err != nil {
		return []finding{fail("", "the triggers cannot be read: %v", err)}
	}
	definers := make(map[string]bool)
	for _, name := range schema.TriggerNames() {
		if t, there := are[name]; there {
			definers[t.definer] = true
		}
	}
	if len(definers) == 0 {
		return []finding{{Level: levelOK, What: "whose rights the triggers run with may not be seen", Mend: "run vidmeta doctor as the user of vidmeta migrate as well"}}
	}
	for _, d := range slices.Sorted(maps.Keys(definers)) {
		found = append(found, p.definer(ctx, d))
	}
	return found
}

// definer judges one definer, name@host.
func (p *mysqlPatient) definer(ctx context.Context, definer string) finding {
	user := account(definer)
	versions, documents := "`"+p.config.DBName+"`.`"+schema.VersionTable+"`", "`"+p.config.DBName+"`"
	grants := fmt.Sprintf("GRANT SELECT, INSERT, UPDATE ON %s TO %s", versions, user)
	for _, t := range schema.Tables {
		grants += fmt.Sprintf("; GRANT SELECT, TRIGGER ON %s.`%s` TO %s", documents, t, user)
	}
	statement := "SHOW GRANTS FOR " + user
	if user == p.user {
		statement = "SHOW GRANTS"
	}
	rows, err := p.table(ctx, statement)
	switch {
	case number(err) == errNoSuchGrant:
		return fail("CREATE USER "+user+" ACCOUNT LOCK; "+grants, "%s, who made the triggers, is gone: every write to the tables of the documents fails", user)
	case number(err) != 0:
		return finding{Level: levelOK, What: fmt.Sprintf("the triggers run with the rights of %s, which may not be seen", user),
			Mend: "run vidmeta doctor as a user that may read the grants of others: GRANT SELECT ON mysql.* TO " + p.user}
	case err != nil:
		return warn("", "the grants of %s cannot be read: %v", user, err)
	}
	for _, r := range rows {
		for _, line := range r {
			if !strings.Contains(line, " ON ") {
				return fine("the triggers run with the rights of %s, some of them by a role", user)
			}
		}
	}
	lacking, err := p.lacking(ctx, user)
	if err != nil {
		return warn("", "the rights of %s cannot be read: %v", user, err)
	}
	if len(lacking) > 0 {
		return fail(grants, "%s, who made the triggers, lacks %s: every write to the tables of the documents fails", user, strings.Join(lacking, ", "))
	}
	return fine("the triggers run with the rights of %s, who has those that it takes", user)
}

// account writes name@host as it stands in a GRANT.
func account(definer string) string {
	at := strings.LastIndexByte(definer, '@')
	if at < 0 { // a role
		return "'" + definer + "'"
	}
	return "'" + definer[:at] + "'@'" + definer[at+1:] + "'"
}

// lacking returns the rights that a user has not, of those that the triggers take.
func (p *mysqlPatient) lacking(ctx context.Context, user string) (rights []string, err error) {
	for _, table := range documentTables() {
		rows, err := p.table(ctx, "SELECT privilege_type AS name FROM information_schema.user_privileges WHERE grantee = ?"+
			" UNION SELECT privilege_type FROM information_schema.schema_privileges WHERE grantee = ? AND DATABASE() LIKE table_schema"+
			" UNION SELECT privilege_type FROM information_schema.table_privileges WHERE grantee = ? AND table_schema = DATABASE() AND table_name = ?",
			user, user, user, table)
		if err != nil {
			return nil, err
		}
		has := make(map[string]bool, len(rows))
		for _, r := range rows {
			has[r["name"]] = true
		}
		needs := []string{"SELECT", "TRIGGER"}
		if table == schema.VersionTable {
			needs = []string{"SELECT", "INSERT", "UPDATE"}
		}
		for _, right := range needs {
			if !has[right] {
				rights = append(rights, right+" on "+table)
			}
		}
	}
	return rights, nil
}

// lookCascades finds foreign keys that change rows of documents without a trigger. A cascade from videos onto a child's
// video_id is harmless: the statement on videos fires the trigger of that table, for the same document.
func lookCascades(ctx context.Context, p *mysqlPatient) (found []finding) {
	tables := "'" + strings.Join(schema.Tables, "', '") + "'"
	rows, err := p.table(ctx, "SELECT k.table_name AS child, k.constraint_name AS name,"+
		" MIN(k.referenced_table_schema) AS parent_schema, MIN(k.referenced_table_name) AS parent,"+
		" MIN(r.delete_rule) AS on_delete, MIN(r.update_rule) AS on_update,"+
		" MAX(k.column_name = 'video_id' AND k.referenced_table_schema = DATABASE()"+
		" AND k.referenced_table_name = 'videos' AND k.referenced_column_name = 'id') AS harmless"+
		" FROM information_schema.key_column_usage k LEFT JOIN information_schema.referential_constraints r"+
		" ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name"+
		" WHERE k.table_schema = DATABASE() AND k.referenced_table_name IS NOT NULL AND k.table_name IN ("+tables+")"+
		" GROUP BY k.table_name, k.constraint_name ORDER BY k.table_name, k.constraint_name")
	if err != nil {
		return []finding{warn("", "the foreign keys cannot be read: %v", err)}
	}
	for _, r := range rows {
		mend := fmt.Sprintf("ALTER TABLE `%s`.`%s` DROP FOREIGN KEY `%s` -- and make it again with ON DELETE RESTRICT ON UPDATE RESTRICT",
			p.config.DBName, r["child"], r["name"])
		switch {
		case r["harmless"] == "1" && r["child"] != "videos":
		case r["on_delete"] == "":
			found = append(found, warn("run vidmeta doctor as the user of vidmeta migrate, who may see more",
				"what the foreign key %s of %s does may not be seen", r["name"], r["child"]))
		case passive(r["on_delete"]) && passive(r["on_update"]):
		default:
			found = append(found, fail(mend, "%s changes %s by itself when rows of %s.%s change (ON DELETE %s ON UPDATE %s), and fires no trigger: no cache learns of it",
				r["name"], r["child"], r["parent_schema"], r["parent"], r["on_delete"], r["on_update"]))
		}
	}
	if found == nil {
		found = append(found, fine("no foreign key changes documents unseen"))
	}
	return found
}

// passive reports whether a foreign key's rule changes nothing by itself.
func passive(rule string) bool { return rule == "RESTRICT" || rule == "NO ACTION" }
