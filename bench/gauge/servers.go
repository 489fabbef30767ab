package gauge

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/redis/go-redis/v9"
)

// MySQL counts the statements of a server's clients. It is safe for concurrent use.
type MySQL struct {
	db  *sql.DB
	own atomic.Int64
}

// NewMySQL returns a counter of the server that db leads to. db remains the caller's.
func NewMySQL(db *sql.DB) *MySQL { return &MySQL{db: db} }

// Statements returns how many statements clients have had executed since the server began, without those of this counter.
// The server's own count is "Questions", of which the manuals of MySQL and MariaDB say that it has executions of prepared
// statements, and neither their preparation nor pings.
func (m *MySQL) Statements(ctx context.Context) (int64, error) {
	var name string
	var n int64
	own := m.own.Add(1)
	if err := m.db.QueryRowContext(ctx, "SHOW GLOBAL STATUS LIKE 'Questions'").Scan(&name, &n); err != nil {
		return 0, fmt.Errorf("count statements: %w", err)
	}
	return n - own, nil
}

// Redis counts what masters are sent. It is safe for concurrent use.
type Redis struct{ client redis.UniversalClient }

// NewRedis returns a counter of the server or cluster at the addresses. Close it.
func NewRedis(addrs []string) *Redis {
	return &Redis{client: redis.NewUniversalClient(&redis.UniversalOptions{Addrs: addrs})}
}

// Messages returns how often the masters have read something from a connection since they began: once for each command that
// a client has sent alone, and once for several that it has sent together, as long as they fit into the 16 kB that a server
// reads at once. A few are those of replicas, and ends of connections. (The server's own count of commands has those that
// scripts call, too, and Redis 7.0 does not tell how many these are.)
func (r *Redis) Messages(ctx context.Context) (total int64, err error) {
	var sum atomic.Int64
	count := func(ctx context.Context, c *redis.Client) error {
		info, err := c.Info(ctx, "stats").Result()
		if err != nil {
			return err
		}
		n, err := field(info, "total_reads_processed")
		sum.Add(n)
		return err
	}
	switch c := r.client.(type) {
	case *redis.ClusterClient:
		err = c.ForEachMaster(ctx, count)
	case *redis.Client:
		err = count(ctx, c)
	}
	if err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return sum.Load(), nil
}

// Version returns what a server of Redis says it is.
func (r *Redis) Version(ctx context.Context) (string, error) {
	info, err := r.client.Info(ctx, "server").Result()
	if err != nil {
		return "", err
	}
	version, _ := text(info, "redis_version")
	return version, nil
}

// Close ends its connections.
func (r *Redis) Close() error { return r.client.Close() }

// text returns a field of what INFO says.
func text(info, name string) (string, bool) {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value), true
		}
	}
	return "", false
}

func field(info, name string) (int64, error) {
	value, ok := text(info, name)
	if !ok {
		return 0, fmt.Errorf("INFO has no %s", name)
	}
	return strconv.ParseInt(value, 10, 64)
}
