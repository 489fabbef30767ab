package e2e

import (
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
	driver "github.com/go-sql-driver/mysql"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

const (
	rowDelay  = 20 * time.Millisecond
	rowsFlown = 8 // every so many transactions one, and with it all that are committed beside it, is delayed
)

// delayRows widens the moment between the arrival of a binlog event and the visibility of its row: the server is made
// to wait, after it has written the binlog and before it commits, for a replica that takes its time to acknowledge. That
// is semi-synchronous replication with the wait point AFTER_SYNC, an ordinary setting. It returns what ends it.
func (f *fleet) delayRows(t *testing.T) (end func()) {
	t.Helper()
	on, off := "SET GLOBAL rpl_semi_sync_source_enabled = 1", "SET GLOBAL rpl_semi_sync_source_enabled = 0"
	setup := []string{"INSTALL PLUGIN rpl_semi_sync_source SONAME 'semisync_source.so'",
		"SET GLOBAL rpl_semi_sync_source_wait_point = 'AFTER_SYNC'", "SET GLOBAL rpl_semi_sync_source_timeout = 10000"}
	position, clients := "SELECT @@GLOBAL.gtid_executed", "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_source_clients'"
	if f.MySQL.Flavor() == stack.MariaDB {
		on, off = "SET GLOBAL rpl_semi_sync_master_enabled = 1", "SET GLOBAL rpl_semi_sync_master_enabled = 0"
		setup = []string{"SET GLOBAL rpl_semi_sync_master_wait_point = 'AFTER_SYNC'", "SET GLOBAL rpl_semi_sync_master_timeout = 10000"}
		position, clients = "SELECT @@GLOBAL.gtid_binlog_pos", "SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_master_clients'"
	}
	for _, s := range append(setup, on) {
		if _, err := f.root.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
	var text string
	if err := f.root.QueryRow(position).Scan(&text); err != nil {
		t.Fatal(err)
	}
	gtids, err := mysql.ParseGTIDSet(string(f.MySQL.Flavor()), text)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := driver.ParseDSN(f.MySQL.DSN("vidmeta"))
	if err != nil {
		t.Fatal(err)
	}
	host, port, _ := net.SplitHostPort(cfg.Addr)
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		t.Fatal(err)
	}
	replica := &lazyReplica{}
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{
		ServerID: 4711, Flavor: string(f.MySQL.Flavor()), Host: host, Port: uint16(n), User: cfg.User, Password: cfg.Passwd,
		SemiSyncEnabled: true, SynchronousEventHandler: replica, Logger: slog.New(slog.DiscardHandler),
	})
	if _, err := syncer.StartSyncGTID(gtids); err != nil {
		t.Fatal(err)
	}
	stacktest.WaitFor(t, 10*time.Second, func() error {
		var name, connected string
		err := f.root.QueryRow(clients).Scan(&name, &connected)
		if err == nil && connected != "1" {
			err = fmt.Errorf("%s is %s: rows would not be late", name, connected)
		}
		return err
	})
	return func() {
		if _, err := f.root.Exec(off); err != nil {
			t.Error(err)
		}
		syncer.Close()
		if replica.delayed == 0 {
			t.Error("no row was late")
		}
		t.Logf("%d commits were held back for %v, and others with them", replica.delayed, rowDelay)
	}
}

// lazyReplica acknowledges a transaction when it returns from its last event.
type lazyReplica struct{ seen, delayed int }

func (l *lazyReplica) HandleEvent(e *replication.BinlogEvent) error {
	if _, ok := e.Event.(*replication.XIDEvent); ok {
		if l.seen++; l.seen%rowsFlown == 0 {
			l.delayed++
			<-time.After(rowDelay)
		}
	}
	return nil
}
