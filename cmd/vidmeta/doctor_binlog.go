package main

import (
	"context"
	"database/sql"
	"slices"
	"strconv"
	"strings"
	"time"
)

// lookPrimary asks whether this is the server that everybody writes to: the time as of which an answer is true is that of
// the server whose binlog is read.
func lookPrimary(ctx context.Context, p *mysqlPatient) []finding {
	readOnly, _, err := p.variable(ctx, "read_only")
	if err != nil {
		return []finding{fail("", "read_only cannot be read: %v", err)}
	}
	if on(readOnly) {
		mend := "SET GLOBAL read_only = OFF"
		if !p.mariadb {
			mend = "SET GLOBAL super_read_only = OFF; SET GLOBAL read_only = OFF"
		}
		return []finding{fail(mend+" -- if this is the server to write to; else put that into --mysql (VIDMETA_MYSQL)",
			"the server is read-only: what changes is changed elsewhere, and an answer would not know how late it comes here")}
	}
	replicas, err := p.table(ctx, "SHOW REPLICA STATUS")
	switch {
	case number(err) == errNotAllowed: // MariaDB alone wants a right of its own for it
		return []finding{{Level: levelOK, What: "it may be written to; whether it is a replica as well may not be seen",
			Mend: "GRANT SLAVE MONITOR ON *.* TO " + p.user}}
	case err != nil:
		return []finding{warn("", "whether it is a replica cannot be seen: %v", err)}
	case len(replicas) == 0:
		return []finding{fine("it may be written to, and is nobody's replica")}
	}
	logs, _, err := p.variable(ctx, "log_slave_updates")
	if err != nil {
		return []finding{fail("", "log_slave_updates cannot be read: %v", err)}
	}
	const mend = "put its primary into --mysql (VIDMETA_MYSQL)"
	if !on(logs) {
		return []finding{fail(mend+"; or "+option("log_slave_updates"),
			"it is a replica and does not log what it replicates: such changes reach no cache")}
	}
	return []finding{warn(mend, "it is a replica: of what its primary has committed an answer shows what has come here, and does not know how late that is")}
}

func lookBinlog(ctx context.Context, p *mysqlPatient) []finding {
	logging, _, err := p.variable(ctx, "log_bin")
	if err != nil {
		return []finding{fail("", "log_bin cannot be read: %v", err)}
	}
	if !on(logging) {
		return []finding{fail(option("log_bin = binlog"), "there is no binlog: log_bin is off, and the sidecar has nothing to follow")}
	}
	var found []finding
	format, known, err := p.variable(ctx, "binlog_format")
	switch {
	case err != nil:
		found = append(found, fail("", "binlog_format cannot be read: %v", err))
	case known && !strings.EqualFold(format, "ROW"): // unknown to servers that have no other
		found = append(found, fail(set("binlog_format", "ROW")+"; sessions that are open keep the old one",
			"binlog_format is %s: changes would be logged as statements, which name no rows", format))
	}
	image, _, err := p.variable(ctx, "binlog_row_image")
	if err != nil {
		found = append(found, fail("", "binlog_row_image cannot be read: %v", err))
	}
	id, _, err := p.variable(ctx, "server_id")
	switch {
	case err != nil:
		found = append(found, fail("", "server_id cannot be read: %v", err))
	case id == "0":
		found = append(found, fail("SET PERSIST server_id = 1 -- or another number that no other server of the replication has", "server_id is 0: nobody may read the binlog"))
	}
	if found == nil {
		found = append(found, fine("by row, row image %s (any will do)", image))
	}
	return found
}

// lookFilters asks whether all changes are logged.
func lookFilters(ctx context.Context, p *mysqlPatient) []finding {
	rows, err := p.table(ctx, p.binlogStatus())
	switch {
	case number(err) != 0: // said below grants
		return []finding{{Level: levelOK, What: "whether the binlog leaves databases out may not be seen"}}
	case err != nil:
		return []finding{warn("", "whether the binlog leaves databases out cannot be seen: %v", err)}
	case len(rows) == 0: // there is none
		return nil
	}
	var found []finding
	for _, f := range []struct {
		option, value string
		leavesOut     bool
	}{
		{"binlog_do_db", rows[0]["Binlog_Do_DB"], !lists(rows[0]["Binlog_Do_DB"], p.config.DBName)},
		{"binlog_ignore_db", rows[0]["Binlog_Ignore_DB"], lists(rows[0]["Binlog_Ignore_DB"], p.config.DBName)},
	} {
		mend := "take " + f.option + " out of the server's configuration, then a restart"
		switch {
		case f.value == "":
		case f.leavesOut:
			found = append(found, fail(mend, "%s is %s: changes of %s are not logged, and reach no cache", f.option, f.value, p.config.DBName))
		default:
			found = append(found, warn(mend, "%s is %s: DDL and TRUNCATE that name %s from another database are not logged, and reach no cache",
				f.option, f.value, p.config.DBName))
		}
	}
	if found == nil {
		found = append(found, fine("the binlog leaves no database out"))
	}
	return found
}

func lists(list, name string) bool { return slices.Contains(strings.Split(list, ","), name) }

// binlogStatus is the statement that says where the binlog is.
func (p *mysqlPatient) binlogStatus() string {
	if p.mariadb || strings.HasPrefix(p.version, "8.0.") {
		return "SHOW MASTER STATUS"
	}
	return "SHOW BINARY LOG STATUS"
}

// table returns the rows of a statement as text, by the names of their columns.
func (p *mysqlPatient) table(ctx context.Context, statement string, args ...any) (all []map[string]string, err error) {
	rows, err := p.db.QueryContext(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	values, into := make([]sql.NullString, len(names)), make([]any, len(names))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := make(map[string]string, len(names))
		for i, name := range names {
			row[name] = values[i].String
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func lookGTID(ctx context.Context, p *mysqlPatient) []finding {
	if p.mariadb {
		f := fine("MariaDB always has them")
		if strict, known, err := p.variable(ctx, "gtid_strict_mode"); err == nil && known && !on(strict) {
			f.What += "; without gtid_strict_mode a session that sets gtid_seq_no may log numbers that were passed already"
			f.Mend = set("gtid_strict_mode", "ON")
		}
		return []finding{f}
	}
	var found []finding
	for _, v := range []struct{ name, mend string }{
		{"enforce_gtid_consistency", "SET PERSIST enforce_gtid_consistency = ON"},
		{"gtid_mode", "SET PERSIST gtid_mode = OFF_PERMISSIVE; SET PERSIST gtid_mode = ON_PERMISSIVE; SET PERSIST gtid_mode = ON"},
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
	purging, known, err := p.variable(ctx, "binlog_expire_logs_auto_purge")
	if err != nil {
		return []finding{warn("", "binlog_expire_logs_auto_purge cannot be read: %v", err)}
	}
	size, _, err := p.variable(ctx, "max_binlog_total_size")
	if err != nil {
		return []finding{warn("", "max_binlog_total_size cannot be read: %v", err)}
	}
	if known && !on(purging) {
		seconds = 0
	}
	return []finding{retention(time.Duration(seconds)*time.Second, size)}
}

// retention judges for how long binlogs are kept, zero being for ever, and how many bytes of them.
func retention(kept time.Duration, size string) finding {
	const loses = "a sidecar away for longer loses its place, and all caches are dropped"
	switch {
	case kept != 0 && kept < leastRetention:
		return warn(set("binlog_expire_logs_seconds", strconv.Itoa(int(leastRetention.Seconds()))), "binlogs are kept for %v: %s", kept, loses)
	case on(size):
		return warn(set("max_binlog_total_size", "0")+"; or see that so much holds what is written in a day",
			"binlogs are kept up to %s bytes in all: %s", size, loses)
	case kept == 0:
		return fine("binlogs are kept until somebody purges them")
	}
	return fine("binlogs are kept for %v", kept)
}

// lookDurability asks whether what the sidecar has told survives a crash of the server.
func lookDurability(ctx context.Context, p *mysqlPatient) []finding {
	var found []finding
	for _, name := range []string{"sync_binlog", "innodb_flush_log_at_trx_commit"} {
		value, _, err := p.variable(ctx, name)
		switch {
		case err != nil:
			found = append(found, warn("", "%s cannot be read: %v", name, err))
		case value != "1":
			found = append(found, warn(set(name, "1"),
				"%s is %s: a crash of the server may undo commits that the caches show already, until the document's next change or the end of its time", name, value))
		}
	}
	if found != nil {
		return found
	}
	for _, name := range []string{"rpl_semi_sync_source_enabled", "rpl_semi_sync_master_enabled"} {
		if value, known, err := p.variable(ctx, name); err == nil && known && on(value) {
			return []finding{fine("a crash undoes no commit; semi-synchronous: a change shows once a replica has it")}
		}
	}
	return []finding{fine("a crash undoes no commit")}
}
