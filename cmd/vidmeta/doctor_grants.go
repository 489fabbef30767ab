package main

import (
	"context"
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
	monitor, statement := "REPLICATION CLIENT", "SHOW MASTER STATUS"
	if p.mariadb {
		monitor = "BINLOG MONITOR"
	} else if !strings.HasPrefix(p.version, "8.0.") {
		statement = "SHOW BINARY LOG STATUS"
	}
	if rows, err := p.db.QueryContext(ctx, statement); err != nil {
		found = append(found, fail(fmt.Sprintf("GRANT %s ON *.* TO %s", monitor, p.user), "%s is refused: %v", statement, err))
	} else {
		_ = rows.Close()
	}
	if p.config.Net != "tcp" {
		return append(found, fail("name the server by tcp(host:port) in the sidecar's --mysql", "the binlog cannot be read by %s", p.config.Net))
	}
	if err := p.stream(ctx); err != nil {
		return append(found, fail(fmt.Sprintf("GRANT REPLICATION SLAVE ON *.* TO %s", p.user), "the binlog cannot be read: %v", err))
	}
	if found == nil {
		found = append(found, fine("%s may read the binlog", p.user))
	}
	return found
}

// stream reads the binlog from its end to the first event, which the server sends at once.
func (p *mysqlPatient) stream(ctx context.Context) error {
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
	flavor, variable := gomysql.MySQLFlavor, "gtid_executed"
	if p.mariadb {
		flavor, variable = gomysql.MariaDBFlavor, "gtid_binlog_pos"
	}
	position, _, err := p.variable(ctx, variable)
	if err != nil {
		return err
	}
	set, err := gomysql.ParseGTIDSet(flavor, strings.ReplaceAll(position, "\n", ""))
	if err != nil {
		return err
	}
	dialer := net.Dialer{Timeout: streamTimeout}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 1<<16 + rand.Uint32N(1<<32-1<<17), Flavor: flavor,
		Host: host, Port: uint16(port), User: p.config.User, Password: p.config.Passwd, TLSConfig: p.config.TLS,
		HeartbeatPeriod: time.Second, ReadTimeout: streamTimeout, DisableRetrySync: true,
		Dialer: dialer.DialContext, Logger: slog.New(slog.DiscardHandler),
	})
	defer syncer.Close()
	events, err := syncer.StartSyncGTID(set)
	if err != nil {
		return err
	}
	_, err = events.GetEvent(ctx)
	return err
}
