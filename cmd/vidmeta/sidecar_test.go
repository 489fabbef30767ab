package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// A sidecar is not ready, and goes on, when something changes documents without a version, until that is mended. Its user
// may see what triggers do, and no more than it needs besides.
func TestSidecarSound(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			dsn := stacktest.Database(t, flavor)
			mustRun(t, "migrate", "--mysql", dsn)
			_, database, _ := strings.Cut(dsn, ")/")
			root := openDB(t, stacktest.Server(t, flavor).RootDSN(database))
			monitor := map[string]string{"mariadb": "BINLOG MONITOR", "mysql": "REPLICATION CLIENT"}[string(flavor)]
			mustExec(t, root, "CREATE USER follower IDENTIFIED BY 'follower'")
			t.Cleanup(func() { mustExec(t, root, "DROP USER follower") })
			mustExec(t, root, "GRANT REPLICATION SLAVE, "+monitor+" ON *.* TO follower")
			mustExec(t, root, "GRANT SELECT, TRIGGER ON `"+database+"`.* TO follower")
			sidecar := startProgram(t, "sidecar", "--admin-listen", "127.0.0.1:0", "--redis", strings.Join(stacktest.Redis(t), ","),
				"--mysql", strings.Replace(dsn, "vidmeta:vidmeta@", "follower:follower@", 1), "--namespace", "sound-"+string(flavor))
			_, admin := sidecar.addrs(t)
			waitReady(t, admin)
			for _, tt := range []struct {
				ruin []string
				says string
				mend string // "": vidmeta migrate
			}{
				{[]string{"DROP TRIGGER " + schema.TriggerName("video_tags", "delete")}, "missing triggers: video_tags_version_delete", ""},
				{recreate("videos_version_update", "statements"), "not as they were made: videos_version_update", ""},
				{[]string{"ALTER TABLE videos ADD part_of BIGINT UNSIGNED, ADD CONSTRAINT part FOREIGN KEY (part_of) REFERENCES videos (id) ON DELETE CASCADE"},
					"part changes videos by itself", "ALTER TABLE videos DROP FOREIGN KEY part"},
			} {
				for _, s := range tt.ruin {
					mustExec(t, root, s)
				}
				stacktest.WaitFor(t, patience, func() error {
					status, body, err := get("http://" + admin + "/readyz")
					if err == nil && (status != http.StatusServiceUnavailable || !strings.Contains(body, tt.says)) {
						err = fmt.Errorf("status %d, want %d with %q: %s", status, http.StatusServiceUnavailable, tt.says, body)
					}
					return err
				})
				if tt.mend != "" {
					mustExec(t, root, tt.mend)
				} else {
					mustRun(t, "migrate", "--mysql", dsn)
				}
				waitReady(t, admin)
			}
			if _, err := hasFinding(examineMySQL(t, dsn), levelOK, "cascades", "no foreign key"); err != nil {
				t.Error(err)
			}
		})
	}
}
