package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
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
	{"binlog", lookBinlog},
	{"gtid", lookGTID},
	{"retention", lookRetention},
	{"tables", lookTables},
	{"triggers", lookTriggers},
	{"grants", lookGrants},
	{"clock", lookMySQLClock},
}

// Numbers of the server's errors.
const (
	errNoSuchUser      = 1045 // ER_ACCESS_DENIED_ERROR
	errNotThisDatabase = 1044 // ER_DBACCESS_DENIED_ERROR
	errNoSuchDatabase  = 1049 // ER_BAD_DB_ERROR
	errNoSuchTable     = 1146 // ER_NO_SUCH_TABLE
	errNoSuchVariable  = 1193 // ER_UNKNOWN_SYSTEM_VARIABLE
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
		err = p.db.QueryRowContext(ctx, "SELECT CURRENT_USER()").Scan(&user)
		name, host, _ := strings.Cut(user, "@")
		p.user = "'" + name + "'@'" + host + "'"
	}
	switch number(err) {
	case errNoSuchUser:
		return []finding{fail("put the right user and password into --mysql (VIDMETA_MYSQL)", "%s refuses the user: %v", p.config.Addr, err)}
	case errNoSuchDatabase:
		return []finding{fail("CREATE DATABASE `"+p.config.DBName+"`; then vidmeta migrate", "%s has no database %s", p.config.Addr, p.config.DBName)}
	case errNotThisDatabase:
		return []finding{fail("GRANT SELECT ON `"+p.config.DBName+"`.* TO the user", "%v", err)}
	}
	if err != nil {
		return []finding{fail("start the server, or put its address into --mysql (VIDMETA_MYSQL)", "%s does not answer: %v", p.config.Addr, err)}
	}
	return []finding{fine("%s answers to %s, database %s", p.config.Addr, p.user, p.config.DBName)}
}

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

// option is the line of the server's configuration that sets a variable.
func option(setting string) string {
	return "in the server's configuration below [mysqld], then a restart: " + setting
}

func lookBinlog(ctx context.Context, p *mysqlPatient) []finding {
	on, _, err := p.variable(ctx, "log_bin")
	if err != nil {
		return []finding{fail("", "log_bin cannot be read: %v", err)}
	}
	if on != "1" {
		return []finding{fail(option("log_bin = binlog"), "there is no binlog: log_bin is off, and the sidecar has nothing to follow")}
	}
	format, known, err := p.variable(ctx, "binlog_format")
	switch {
	case err != nil:
		return []finding{fail("", "binlog_format cannot be read: %v", err)}
	case known && !strings.EqualFold(format, "ROW"): // unknown to servers that have no other
		return []finding{fail("SET GLOBAL binlog_format = ROW; and for the next start binlog_format = ROW below [mysqld]; sessions that are open keep the old one",
			"binlog_format is %s: changes would be logged as statements, which name no rows", format)}
	}
	image, _, err := p.variable(ctx, "binlog_row_image")
	if err != nil {
		return []finding{fail("", "binlog_row_image cannot be read: %v", err)}
	}
	return []finding{fine("by row, row image %s (any will do)", image)}
}

func lookGTID(ctx context.Context, p *mysqlPatient) []finding {
	if p.mariadb {
		return []finding{fine("MariaDB always has them")}
	}
	var found []finding
	for _, v := range []struct{ name, mend string }{
		{"enforce_gtid_consistency", "SET PERSIST enforce_gtid_consistency = ON"},
		{"gtid_mode", "SET PERSIST gtid_mode = OFF_PERMISSIVE; = ON_PERMISSIVE; = ON, one after the other"},
	} {
		value, _, err := p.variable(ctx, v.name)
		switch {
		case err != nil:
			found = append(found, fail("", "%s cannot be read: %v", v.name, err))
		case value != "ON":
			found = append(found, fail(v.mend, "%s is %s: without GTIDs the sidecar cannot tell where it stands", v.name, value))
		}
	}
	if found == nil {
		found = append(found, fine("gtid_mode is ON"))
	}
	return found
}

// leastRetention is how long a sidecar may be away without losing its place.
const leastRetention = 24 * time.Hour

func lookRetention(ctx context.Context, p *mysqlPatient) []finding {
	value, known, err := p.variable(ctx, "binlog_expire_logs_seconds")
	if err != nil || !known {
		return []finding{warn("", "binlog_expire_logs_seconds cannot be read: %v", err)}
	}
	seconds, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return []finding{warn("", "binlog_expire_logs_seconds is %q", value)}
	}
	switch kept := time.Duration(seconds) * time.Second; {
	case kept == 0:
		return []finding{fine("binlogs are kept until somebody purges them")}
	case kept < leastRetention:
		return []finding{warn(fmt.Sprintf("SET GLOBAL binlog_expire_logs_seconds = %d", int(leastRetention.Seconds())),
			"binlogs are kept for %v: a sidecar away for longer loses its place, and all caches are dropped", kept)}
	default:
		return []finding{fine("binlogs are kept for %v", kept)}
	}
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

func lookTriggers(ctx context.Context, p *mysqlPatient) (found []finding) {
	names := schema.TriggerNames()
	all := len(names)
	missing, hidden, err := mysqldb.MissingTriggers(ctx, p.db, names)
	if err != nil {
		return []finding{fail("", "%v", err)}
	}
	switch {
	case len(missing) == all:
		found = append(found, fail("vidmeta migrate", "there are none: no change gets a version, and the caches never learn of it"))
	case len(missing) > 0:
		found = append(found, fail("vidmeta migrate",
			"missing: %s: such changes get no version, so the sidecar vouches for nothing until they are back", strings.Join(missing, ", ")))
	case hidden > 0:
		found = append(found, fine("all %d are there (%d by the server's word: the user has no right to see them)", all, hidden))
	default:
		found = append(found, fine("all %d are there", all))
	}
	return found
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
