package mysqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/go-sql-driver/mysql"
)

// errNoSuchTrigger is ER_TRG_DOES_NOT_EXIST.
const errNoSuchTrigger = 1360

// MissingTriggers returns which of the named triggers the database does not have. A user without the right TRIGGER may
// not look at them, but is told so only of those that are there: hidden counts these.
func MissingTriggers(ctx context.Context, db *sql.DB, names []string) (missing []string, hidden int, err error) {
	for _, name := range names {
		rows, err := db.QueryContext(ctx, "SHOW CREATE TRIGGER `"+name+"`")
		if err == nil {
			err = rows.Close()
		}
		var refused *mysql.MySQLError
		switch {
		case err == nil:
		case !errors.As(err, &refused):
			return nil, 0, fmt.Errorf("look for trigger %s: %w", name, err)
		case refused.Number == errNoSuchTrigger:
			missing = append(missing, name)
		default:
			hidden++
		}
	}
	return missing, hidden, nil
}
