package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"time"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// streamTimeout is how long the first event of a binlog may take.
const streamTimeout = 5 * time.Second

// lookGrants does what a sidecar does: it asks where the binlog is, and begins to read it.
func lookGrants(ctx context.Context, p *mysqlPatient) []finding {
	var found []finding
	monitor := "REPLICATION CLIENT"
	if p.mariadb {
		monitor = "BINLOG MONITOR"
	}
	if _, err := p.table(ctx, p.binlogStatus()); err != nil {
		found = append(found, fail(fmt.Sprintf("GRANT %s ON *.* TO %s", monitor, p.user), "%s is refused: %v", p.binlogStatus(), err))
	}
	if p.config.Net != "tcp" {
		return append(found, fail("name the server by tcp(host:port) in the sidecar's --mysql", "the binlog cannot be read by %s", p.config.Net))
	}
	set, err := p.position(ctx)
	if err == nil {
		err = p.stream(ctx, set)
	}
	if err != nil {
		mend := ""
		if refused(err) {
			mend = fmt.Sprintf("GRANT REPLICATION SLAVE ON *.* TO %s", p.user)
		}
		return append(found, fail(mend, "the binlog cannot be read: %v", err))
	}
	if found == nil {
		found = append(found, fine("%s may read the binlog", p.user))
	}
	return found
}

// refused reports whether the server has refused what it was asked for, as the library that reads binlogs tells it.
func refused(err error) bool {
	var answer *gomysql.MyError
	return errors.As(err, &answer) && (answer.Code == errNotAllowed || answer.Code == errNoSuchUser)
}

// flavor is what the library that reads binlogs calls the server.
func (p *mysqlPatient) flavor() string {
	if p.mariadb {
		return gomysql.MariaDBFlavor
	}
	return gomysql.MySQLFlavor
}

// position is the end of the binlog.
func (p *mysqlPatient) position(ctx context.Context) (gomysql.GTIDSet, error) {
	variable := "gtid_executed"
	if p.mariadb {
		variable = "gtid_binlog_pos"
	}
	text, _, err := p.variable(ctx, variable)
	if err != nil {
		return nil, err
	}
	return gomysql.ParseGTIDSet(p.flavor(), strings.ReplaceAll(text, "\n", ""))
}

// stream reads the binlog from a position to the first event, which the server sends at once.
func (p *mysqlPatient) stream(ctx context.Context, from gomysql.GTIDSet) error {
	ctx, cancel := context.WithTimeout(ctx, streamTimeout)
	defer cancel()
	host, text, err := net.SplitHostPort(p.config.Addr)
	if err != nil {
		return err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: streamTimeout}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 1<<16 + rand.Uint32N(1<<32-1<<17), Flavor: p.flavor(),
		Host: host, Port: uint16(port), User: p.config.User, Password: p.config.Passwd, TLSConfig: p.config.TLS,
		HeartbeatPeriod: time.Second, ReadTimeout: streamTimeout, DisableRetrySync: true,
		Dialer: dialer.DialContext, Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	events, err := syncer.StartSyncGTID(from)
	if err != nil {
		return err
	}
	_, err = events.GetEvent(ctx)
	return err
}
