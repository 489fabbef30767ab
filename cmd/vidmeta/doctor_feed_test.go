package main

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/canal"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// TestDoctorFindsFeed follows a change's way through a sidecar's life.
func TestDoctorFindsFeed(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			shared := []string{"--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "doctor-" + string(flavor)}
			from := shared // whom the doctor visits
			visit := func() (found []finding) {
				t.Helper()
				var out bytes.Buffer
				if err := run(t.Context(), append([]string{"doctor", "--json"}, from...), &out, io.Discard); err != nil && !errors.Is(err, errUnwell) {
					t.Fatal(err)
				}
				if err := json.Unmarshal(out.Bytes(), &found); err != nil {
					t.Fatal(err)
				}
				return found
			}
			until := func(l level, check, says string) {
				t.Helper()
				stacktest.WaitFor(t, patience, func() error {
					_, err := hasFinding(visit(), l, check, says)
					return err
				})
			}
			until(levelWarn, "feed", "no sidecar has told anything yet")
			until(levelWarn, "leader", "no sidecar leads")

			sidecar := startProgram(t, append([]string{"sidecar", "--admin-listen", "127.0.0.1:0"}, shared...)...)
			until(levelOK, "feed", "is told")
			until(levelOK, "leader", "the sidecar at 127.0.0.1:")
			until(levelOK, "trust", "is served")
			until(levelOK, "checkpoint", "can be read on from it")
			from = slices.Clone(shared)
			from[1] = "nobody:nothing@tcp(127.0.0.1:1)/nowhere"
			until(levelFail, "mysql", "does not answer")
			until(levelOK, "feed", "is told")
			until(levelOK, "leader", "a sidecar has led")
			until(levelOK, "trust", "is served")
			until(levelOK, "checkpoint", "for MySQL to say")
			from = shared

			root := openDB(t, stacktest.Server(t, flavor).RootDSN(strings.SplitAfter(dsn, ")/")[1]))
			mustExec(t, root, "DROP TRIGGER "+schema.TriggerName("video_tags", "delete"))
			until(levelWarn, "feed", "vouches for nothing later than")
			mustRun(t, "migrate", "--mysql", dsn)
			until(levelOK, "feed", "is told")

			sidecar.stop(t)
			until(levelWarn, "leader", "no sidecar leads")
			until(levelWarn, "feed", "nothing has been told for")
			until(levelOK, "checkpoint", "can be read on from it")

			mustExec(t, root, "INSERT INTO videos (id, title) VALUES (1, 'while nobody looks')")
			mustExec(t, root, "FLUSH BINARY LOGS")
			purgeBinlogs(t, root)
			until(levelWarn, "checkpoint", "the server cannot go on from it")

			feed := "{doctor-" + string(flavor) + ":feed}"
			c, err := cache.NewClient(cache.ClientConfig{Addrs: stacktest.Redis(t)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.HSet(t.Context(), feed+":state", "checkpoint", "postgres:0/1").Err(); err != nil {
				t.Fatal(err)
			}
			until(levelWarn, "checkpoint", "it is one of postgres")
			if err := c.HSet(t.Context(), feed+":state", "checkpoint", "dropping").Err(); err != nil {
				t.Fatal(err)
			}
			until(levelWarn, "checkpoint", "all caches are being dropped")
			tell := func(watermark any) {
				t.Helper()
				if err := c.XAdd(t.Context(), &redis.XAddArgs{Stream: feed, Values: []any{"term", "t", "seq", 1, "after", "", "epoch", "e",
					"watermark", watermark, "changes", "", "roster", ""}}).Err(); err != nil {
					t.Fatal(err)
				}
			}
			told := func(watermark func() any, l level, check, says string) {
				t.Helper()
				stacktest.WaitFor(t, patience, func() error {
					tell(watermark())
					_, err := hasFinding(visit(), l, check, says)
					return err
				})
			}
			now := func() any { return time.Now().UnixMicro() }
			told(now, levelWarn, "trust", "what it holds is not served") // by a leader that has mustered nobody
			told(func() any { return time.Now().Add(-2 * canal.VouchLimit).UnixMicro() }, levelFail, "feed", "vouches for nothing since 30")
			for range 50 {
				tell("")
			}
			told(func() any { return "" }, levelFail, "feed", "vouches for nothing: answers")
			told(func() any { return "" }, levelWarn, "trust", "what it holds is not served") // which is looked at all the same
		})
	}
}

// purgeBinlogs leaves the newest alone. MariaDB keeps the one before for a while.
func purgeBinlogs(t *testing.T, db *sql.DB) {
	t.Helper()
	p := &mysqlPatient{db: db}
	stacktest.WaitFor(t, patience, func() error {
		rows, err := p.table(t.Context(), "SHOW BINARY LOGS")
		if err != nil || len(rows) == 1 {
			return err
		}
		mustExec(t, db, "PURGE BINARY LOGS TO '"+rows[len(rows)-1]["Log_name"]+"'")
		return fmt.Errorf("there are %d binlogs", len(rows))
	})
}
