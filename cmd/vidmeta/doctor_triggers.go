package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

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
	are, err := schema.ReadTriggers(ctx, p.db)
	if err != nil {
		return append(found, fail("", "%v", err))
	}
	altered, err := schema.AlteredTriggers(are)
	if err != nil {
		return append(found, fail("", "%v", err))
	}
	for _, name := range altered {
		is := are[name]
		found = append(found, fail("vidmeta migrate", "%s is not as it was made (%s %s ON %s): changes may get no version,"+
			" so the sidecar vouches for nothing where it may see that, until it is as it was", name, is.Timing, is.Event, is.Table))
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
	are, err := schema.ReadTriggers(ctx, p.db)
	if err != nil {
		return []finding{fail("", "%v", err)}
	}
	definers := make(map[string]bool)
	for _, name := range schema.TriggerNames() {
		if t, there := are[name]; there {
			definers[t.Definer] = true
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

// lookCascades finds foreign keys that change rows of documents without a trigger.
func lookCascades(ctx context.Context, p *mysqlPatient) (found []finding) {
	cascades, err := schema.Cascades(ctx, p.db)
	if err != nil {
		return []finding{warn("", "%v", err)}
	}
	for _, c := range cascades {
		mend := fmt.Sprintf("ALTER TABLE `%s`.`%s` DROP FOREIGN KEY `%s` -- and make it again with ON DELETE RESTRICT ON UPDATE RESTRICT",
			p.config.DBName, c.Table, c.Name)
		found = append(found, fail(mend, "%s changes %s by itself when rows of %s change (%s), and fires no trigger: the sidecar vouches for nothing until it is gone",
			c.Name, c.Table, c.Parent, c.Rules))
	}
	if found == nil {
		found = append(found, fine("no foreign key changes documents unseen"))
	}
	return found
}
