package schema

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"
	"strings"
)

// A Cascade is a foreign key by which a database changes rows of a document's table by itself. That fires no trigger, and
// before MySQL 9.6 the binlog does not have it either.
type Cascade struct {
	Table, Name string
	Parent      string // as SHOW CREATE TABLE has it, quoted
	Rules       string // ON DELETE … ON UPDATE …, those that change rows
}

// identifier is a name as SHOW CREATE TABLE writes it, under any sql_mode.
const identifier = "(?:`(?:[^`]|``)+`|\"(?:[^\"]|\"\")+\"|[^\\s`\"(]+)"

var (
	foreignKey = regexp.MustCompile(`(?m)^\s*CONSTRAINT (` + identifier + `) FOREIGN KEY \((.+)\) REFERENCES (` + identifier +
		`(?:\.` + identifier + `)?) \((.+?)\)(.*?),?$`)
	activeRule = regexp.MustCompile(`ON (?:DELETE|UPDATE) (?:CASCADE|SET NULL|SET DEFAULT)`)
)

// Cascades returns the foreign keys that change documents, or versions, behind the triggers' back. A cascade from videos
// onto a child's video_id is none of them: the statement on videos that sets it off fires that table's trigger, for the
// same document. The user needs SELECT on the tables.
func Cascades(ctx context.Context, db *sql.DB) (all []Cascade, err error) {
	for _, table := range append([]string{VersionTable}, Tables...) {
		var name, create string
		if err := db.QueryRowContext(ctx, "SHOW CREATE TABLE `"+table+"`").Scan(&name, &create); err != nil {
			return nil, fmt.Errorf("read the foreign keys of %s: %w", table, err)
		}
		all = append(all, cascadesOf(table, create)...)
	}
	return all, nil
}

// cascadesOf finds the cascades in a table's CREATE TABLE.
func cascadesOf(table, create string) (all []Cascade) {
	for _, m := range foreignKey.FindAllStringSubmatch(create, -1) {
		rules := activeRule.FindAllString(m[5], -1)
		ofDocument := bare(m[2]) == "video_id" && bare(m[3]) == "videos" && bare(m[4]) == "id"
		if len(rules) == 0 || ofDocument && table != "videos" && table != VersionTable {
			continue
		}
		all = append(all, Cascade{Table: table, Name: bare(m[1]), Parent: m[3], Rules: strings.Join(rules, " ")})
	}
	return all
}

// bare takes the quotes off a name.
func bare(name string) string { return strings.Trim(name, "`\"") }
