package canal

import (
	"fmt"
	"testing"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// Transactions as servers may be told to log them. Rows are followed through all of them; nothing is dropped.
func TestSidecarKindsOfTransactions(t *testing.T) {
	for _, tc := range []struct {
		name       string
		flavor     Flavor
		statements string // of one session, by root
	}{
		{"compressed", MySQL, `SET SESSION binlog_transaction_compression = ON;
			INSERT INTO videos (id, title) VALUES (1, REPEAT('a', 200)), (2, REPEAT('b', 200));
			START TRANSACTION; UPDATE videos SET title = REPEAT('c', 200); DELETE FROM videos WHERE id = 2; COMMIT`},
		{"compressed", MariaDB, `SET GLOBAL log_bin_compress = ON; SET GLOBAL log_bin_compress_min_len = 10;
			INSERT INTO videos (id, title) VALUES (1, REPEAT('a', 200)), (2, REPEAT('b', 200));
			START TRANSACTION; UPDATE videos SET title = REPEAT('c', 200); DELETE FROM videos WHERE id = 2; COMMIT;
			SET GLOBAL log_bin_compress = OFF`},
		{"with parts of JSON", MySQL, `SET SESSION binlog_row_image = MINIMAL; SET SESSION binlog_row_value_options = PARTIAL_JSON;
			INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two');
			UPDATE videos SET title = 'eins' WHERE id = 1; DELETE FROM videos WHERE id = 2`},
		{"tagged", MySQL, `SET gtid_next = 'AUTOMATIC:blue'; INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two');
			SET gtid_next = 'AUTOMATIC'; UPDATE videos SET title = 'eins' WHERE id = 1;
			SET gtid_next = 'AUTOMATIC:red'; DELETE FROM videos WHERE id = 2; SET gtid_next = 'AUTOMATIC'`},
		{"of several domains", MariaDB, `INSERT INTO videos (id, title) VALUES (1, 'one'), (2, 'two');
			SET gtid_domain_id = 7; UPDATE videos SET title = 'eins' WHERE id = 1;
			SET gtid_domain_id = 0; DELETE FROM videos WHERE id = 2; SET gtid_domain_id = 9; INSERT INTO videos (id, title) VALUES (3, 'three')`},
	} {
		for _, flavor := range stacktest.Flavors(t) {
			if Flavor(flavor) != tc.flavor {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", tc.name, flavor), func(t *testing.T) {
				t.Parallel()
				d := openDatabase(t, stacktest.Server(t, flavor), stacktest.Database(t, flavor))
				c := newCaches()
				_, stop := d.start(t, c)
				caughtUp(t, c)
				d.session(t, tc.statements)
				caughtUp(t, c)
				c.tells(t, d.versions(t))
				stop()
				d.session(t, "UPDATE videos SET title = 'while nobody reads' WHERE id = 1")
				d.start(t, c) // the checkpoint can be read back
				caughtUp(t, c)
				c.tells(t, d.versions(t))
				if n := c.drops(); n != 1 {
					t.Errorf("they had everything dropped %d times", n-1)
				}
			})
		}
	}
}

// XA in one phase is one event that begins, holds and ends it; its rows cannot be told from two phases in time.
func TestSidecarOnePhaseXA(t *testing.T) {
	eachFlavor(t, func(t *testing.T, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		d.session(t, "XA START 'a'; INSERT INTO videos (id, title) VALUES (1, 'xa'); XA END 'a'; XA COMMIT 'a' ONE PHASE")
		caughtUp(t, c)
		if c.drops() == 1 {
			c.tells(t, d.versions(t))
		}
		d.tellsOf(t, c, 1)
	})
}

// A transaction that is prepared and left holds up nothing: its row stays locked until somebody decides.
func TestSidecarXALeftPrepared(t *testing.T) {
	eachServer(t, func(t *testing.T, _ *stack.Server, d *database) {
		c := newCaches()
		d.start(t, c)
		caughtUp(t, c)
		d.session(t, "XA START 'left'; INSERT INTO videos (id, title) VALUES (1, 'xa'); XA END 'left'; XA PREPARE 'left'")
		d.tellsOf(t, c, 2)
		caughtUp(t, c)
		drops := c.drops()
		d.session(t, "XA COMMIT 'left'")
		caughtUp(t, c)
		if c.drops() == drops {
			t.Error("it was committed, and nothing was dropped")
		}
	})
}
