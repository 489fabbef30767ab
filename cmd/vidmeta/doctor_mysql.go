package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/mysqldb"
	"vidmeta/schema"
)

// mysqlPatient is the database server that is looked at.
type mysqlPatient struct {
	config  *mysql.Config
	db      *sql.DB
	skew    time.Duration
	mariadb bool   // known after the first check, as are the next two
	version string // as the server says it
	user    string // 'name'@'host', as it stands in a GRANT
}

func newMySQLPatient(s mysqlSettings, skew time.Duration) (*mysqlPatient, error) {
	db, err := s.open(mysqldb.Pool{MaxOpen: 2, StatementTimeout: doctorTimeout})
	if err != nil {
		return nil, err
	}
	return &mysqlPatient{config: s.config, db: db, skew: skew}, nil
}

func (p *mysqlPatient) close() { _ = p.db.Close() } // nothing was written

// mysqlChecks are what is looked at, the first being whether there is anybody.
var mysqlChecks = []check[*mysqlPatient]{
	{"mysql", lookMySQL},
	{"version", lookVersion},
	{"primary", lookPrimary},
	{"binlog", lookBinlog},
	{"filters", lookFilters},
	{"gtid", lookGTID},
	{"retention", lookRetention},
	{"durability", lookDurability},
	{"tables", lookTables},
	{"versions", lookVersions},
	{"triggers", lookTriggers},
	{"definers", lookDefiners},
	{"cascades", lookCascades},
	{"grants", lookGrants},
	{"clock", lookMySQLClock},
}

// Numbers of the server's errors.
const (
	errNoSuchUser      = 1045 // ER_ACCESS_DENIED_ERROR
	errNotThisDatabase = 1044 // ER_DBACCESS_DENIED_ERROR
	errNoSuchDatabase  = 1049 // ER_BAD_DB_ERROR
	errNoSuchTable     = 1146 // ER_NO_SUCH_TABLE
	errNoSuchGrant     = 1141 // ER_NONEXISTING_GRANT
	errNoSuchVariable  = 1193 // ER_UNKNOWN_SYSTEM_VARIABLE
	errNotAllowed      = 1227 // ER_SPECIFIC_ACCESS_DENIED_ERROR
)

// number is that of a server's error, 0 for other errors.
func number(err error) uint16 {
	var answer *mysql.MySQLError
	if errors.As(err, &answer) {
		return answer.Number
	}
	return 0
}

func lookMySQL(ctx context.Context, p *mysqlPatient) []finding {
	var err error
	if p.mariadb, p.version, err = mysqldb.Flavor(ctx, p.db); err == nil {
		var user string
		err = p.db.QueryRowContext(ctx, "SELECT CURRENT_USER(), DATABASE()").Scan(&user, &p.config.DBName) // as the server spells it
		p.user = account(user)
	}
	switch number(err) {
	case errNoSuchUser:
		return []finding{fail("put the right user and password into --mysql (VIDMETA_MYSQL)", "%s refuses the user: %v", p.config.Addr, err)}
	case errNoSuchDatabase:
		return []finding{fail("CREATE DATABASE `"+p.config.DBName+"` -- then vidmeta migrate", "%s has no database %s", p.config.Addr, p.config.DBName)}
	case errNotThisDatabase:
		return []finding{fail("GRANT SELECT ON `"+p.config.DBName+"`.* TO "+deniedAccount.FindString(err.Error())+" -- or run vidmeta doctor as the user of vidmeta migrate", "%v", err)}
	}
	if err != nil {
		return []finding{fail("start the server, or put its address into --mysql (VIDMETA_MYSQL)", "%s does not answer: %v", p.config.Addr, err)}
	}
	return []finding{fine("%s answers to %s, database %s", p.config.Addr, p.user, p.config.DBName)}
}

// deniedAccount matches the account in an error of a server that refuses it a database, and so cannot be asked who it is.
var deniedAccount = regexp.MustCompile(`'[^']*'@'[^']*'`)

func lookVersion(_ context.Context, p *mysqlPatient) []finding {
	var major, minor int
	if _, err := fmt.Sscanf(p.version, "%d.%d", &major, &minor); err != nil {
		return []finding{warn("", "%q is a version unheard of", p.version)}
	}
	name, least, old := "MySQL", "8.0", major < 8
	if p.mariadb {
		name, least, old = "MariaDB", "10.6", major < 10 || major == 10 && minor < 6
	}
	if old {
		return []finding{fail("upgrade to "+name+" "+least+" or newer", "%s %s is too old", name, p.version)}
	}
	return []finding{fine("%s %s", name, p.version)}
}

// variable returns a global variable's value; ok is false if the server does not know it.
func (p *mysqlPatient) variable(ctx context.Context, name string) (value string, ok bool, err error) {
	var v sql.NullString
	err = p.db.QueryRowContext(ctx, "SELECT @@GLOBAL."+name).Scan(&v)
	if number(err) == errNoSuchVariable {
		return "", false, nil
	}
	return v.String, err == nil, err
}

// on reports whether a variable's value means that it is set; servers write OFF or 0 for what is not.
func on(value string) bool { return value != "" && value != "0" && value != "OFF" }

// set is the statement that sets a global variable.
func set(name, value string) string {
	return fmt.Sprintf("SET GLOBAL %s = %s -- and for the next start %[1]s = %[2]s below [mysqld]", name, value)
}

// option is the line of the server's configuration that sets a variable.
func option(setting string) string {
	return "in the server's configuration below [mysqld], then a restart: " + setting
}

// documentTables are those that a reader of documents or versions reads.
func documentTables() []string { return append([]string{schema.VersionTable}, schema.Tables...) }

func lookTables(ctx context.Context, p *mysqlPatient) []finding {
	var missing, denied []string
	var found []finding
	for _, t := range documentTables() {
		rows, err := p.db.QueryContext(ctx, "SELECT * FROM `"+t+"` LIMIT 0")
		if err == nil {
			err = rows.Close()
		}
		switch {
		case err == nil:
		case number(err) == errNoSuchTable:
			missing = append(missing, t)
		case number(err) != 0:
			denied = append(denied, t)
		default:
			found = append(found, fail("", "%s cannot be read: %v", t, err))
		}
	}
	if len(missing) == 0 && len(denied) == 0 && len(found) == 0 {
		found = append(found, p.engines(ctx)...)
	}
	if len(missing) > 0 {
		found = append(found, fail("vidmeta migrate", "there is no %s", strings.Join(missing, ", ")))
	}
	for _, t := range denied {
		found = append(found, fail(fmt.Sprintf("GRANT SELECT ON `%s`.`%s` TO %s", p.config.DBName, t, p.user), "%s may not be read", t))
	}
	if found == nil {
		found = append(found, fine("all %d are there and may be read", len(documentTables())))
	}
	return found
}

// engines finds tables without transactions: there a version and what it is of are not one change, nor read as one.
func (p *mysqlPatient) engines(ctx context.Context) (found []finding) {
	tables := "'" + strings.Join(documentTables(), "', '") + "'"
	rows, err := p.table(ctx, "SELECT table_name AS name, table_type AS type, engine AS engine FROM information_schema.tables"+
		" WHERE table_schema = DATABASE() AND table_name IN ("+tables+") ORDER BY table_name")
	if err != nil {
		return []finding{fail("", "the engines of the tables cannot be read: %v", err)}
	}
	for _, r := range rows {
		switch {
		case r["type"] != "BASE TABLE":
			found = append(found, fail("make it a table; triggers need one", "%s is a %s: its changes get no version", r["name"], r["type"]))
		case r["engine"] != "InnoDB":
			found = append(found, fail(fmt.Sprintf("ALTER TABLE `%s`.`%s` ENGINE = InnoDB", p.config.DBName, r["name"]),
				"%s is of the engine %s, not InnoDB: its changes and their versions are not seen together", r["name"], r["engine"]))
		}
	}
	return found
}

// lookVersions asks whether a hand could take a version beyond what a document can have, and whether one has done so.
func lookVersions(ctx context.Context, p *mysqlPatient) []finding {
	rows, err := p.table(ctx, "SHOW CREATE TABLE `"+schema.VersionTable+"`")
	if number(err) != 0 || err == nil && len(rows) == 0 {
		return nil // found below tables
	}
	if err != nil {
		return []finding{warn("", "%s cannot be read: %v", schema.VersionTable, err)}
	}
	for line := range strings.Lines(rows[0]["Create Table"]) {
		switch {
		case !strings.Contains(line, "`"+schema.LargestVersion+"`"):
		case strings.Contains(line, "NOT ENFORCED"):
			return []finding{warn(fmt.Sprintf("ALTER TABLE `%s`.`%s` ALTER CHECK %s ENFORCED", p.config.DBName, schema.VersionTable, schema.LargestVersion),
				"the constraint %s is not enforced: a version set by hand may break its document", schema.LargestVersion)}
		default:
			return []finding{fine("none can be larger than a document's can be")}
		}
	}
	beyond, err := p.table(ctx, fmt.Sprintf("SELECT video_id FROM %s WHERE version > %d LIMIT 1", schema.VersionTable, schema.MaxVersion))
	switch {
	case err != nil:
		return []finding{warn("vidmeta migrate", "the constraint %s is missing; whether there are versions beyond it cannot be seen: %v", schema.LargestVersion, err)}
	case len(beyond) > 0:
		return []finding{fail("vidmeta migrate", "the version of video %s is beyond %d: it cannot be loaded", beyond[0]["video_id"], schema.MaxVersion)}
	}
	return []finding{warn("vidmeta migrate", "the constraint %s is missing: a version set by hand may break its document", schema.LargestVersion)}
}

func lookMySQLClock(ctx context.Context, p *mysqlPatient) []finding {
	var f finding
	for best, try := time.Duration(0), 0; try < 3; try++ { // the shortest round trip says most
		before := time.Now()
		var micros int64
		err := p.db.QueryRowContext(ctx,
			"SELECT TIMESTAMPDIFF(MICROSECOND, TIMESTAMP '1970-01-01 00:00:00', UTC_TIMESTAMP(6))").Scan(&micros)
		after := time.Now()
		if err != nil {
			return []finding{warn("", "the clock of MySQL cannot be read: %v", err)}
		}
		if trip := after.Sub(before); try == 0 || trip < best {
			best, f = trip, clockFinding("MySQL", time.UnixMicro(micros), before, after, p.skew)
		}
	}
	return []finding{f}
}
