package canal

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/schema"
)

// Numbers of the errors by which a server refuses a lock that somebody else holds: MariaDB's and MySQL's.
const (
	errLockWait   = 1205 // ER_LOCK_WAIT_TIMEOUT
	errLockNowait = 3572 // ER_LOCK_NOWAIT
)

// settledQuery asks for a lock that every writer of the row keeps until its transaction can be seen, and gives it back at
// once, as the statement commits by itself. Each kind of server reads one of the comments. Of one row: whoever waits for no
// lock while it holds another can neither deadlock nor be deadlocked by anybody.
const settledQuery = "SELECT version FROM " + schema.VersionTable + " WHERE video_id = ?" +
	" /*M! LOCK IN SHARE MODE NOWAIT */ /*!80000 FOR SHARE NOWAIT */"

// settled returns the version of a document, zero if it has none, and whether that is the last that was written: false if
// a transaction that has written the row is still under way, as one is that is in the binlog and not visible yet.
func settled(ctx context.Context, db *sql.DB, id schema.ID) (v schema.Version, ok bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, lockIdle*time.Second) // a server that hangs must not be waited for
	defer cancel()
	err = db.QueryRowContext(ctx, settledQuery, uint64(id)).Scan((*uint64)(&v))
	var refused *mysql.MySQLError
	switch {
	case err == nil, errors.Is(err, sql.ErrNoRows):
		return v, true, nil
	case errors.As(err, &refused) && (refused.Number == errLockWait || refused.Number == errLockNowait):
		return 0, false, nil
	}
	return 0, false, fmt.Errorf("lock the version of %d: %w", id, err)
}
