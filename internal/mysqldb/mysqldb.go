// Package mysqldb opens MySQL and MariaDB the way that every program of this service wants them opened.
package mysqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

// DefaultMaxOpen is the number of connections that a pool may open if Pool does not say.
const DefaultMaxOpen = 16

// What a DSN is taken to say where it says nothing.
const (
	dialTimeout  = 500 * time.Millisecond
	writeTimeout = time.Second
	readGrace    = time.Second // between the server's own limit on a statement and the end of our patience
	collation    = "utf8mb4_general_ci"
	maxLifetime  = 5 * time.Minute
	maxIdleTime  = time.Minute
)

// Pool sizes a pool of connections and bounds its statements. The zero value is a pool of DefaultMaxOpen connections
// without a bound: right for migrations and other long work.
type Pool struct {
	// MaxOpen is how many connections may be open; as many are kept when idle, since churn costs more than they do.
	// Zero means DefaultMaxOpen, less than zero is an error.
	MaxOpen int
	// StatementTimeout makes the server give up a statement that takes longer (MySQL: a SELECT; MariaDB: any). A
	// context that ends only closes the connection, and the server goes on working for nobody; so set this somewhat
	// below the deadline of the reads. The DSN's readTimeout becomes a second more, unless it is given. Whole
	// milliseconds count. Zero means no bound, less than a millisecond otherwise is an error.
	StatementTimeout time.Duration
}

func (p Pool) validate() error {
	if p.MaxOpen < 0 {
		return fmt.Errorf("MaxOpen is %d", p.MaxOpen)
	}
	if p.StatementTimeout != 0 && p.StatementTimeout < time.Millisecond {
		return fmt.Errorf("StatementTimeout is %v, less than a millisecond", p.StatementTimeout)
	}
	return nil
}

// Open returns a pool for a DSN of the form user:pass@tcp(host:port)/db?param=value. It dials nothing; the first use
// does. What the DSN says holds; where it is silent, times are parsed and are UTC, strings are utf8mb4, parameters are
// interpolated by the client, and dialling and writing have short time-outs. Each connection commits by itself, in
// REPEATABLE READ and UTC, whatever the server's defaults are, unless the DSN sets these variables.
//
// The caller closes the pool. The password is in no error.
func Open(dsn string, pool Pool) (*sql.DB, error) {
	if err := pool.validate(); err != nil {
		return nil, fmt.Errorf("open MySQL: pool: %w", err)
	}
	cfg, err := config(dsn, pool)
	if err != nil {
		return nil, fmt.Errorf("open MySQL: %w", err)
	}
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		return nil, fmt.Errorf("open MySQL %s: %w", cfg.Addr, err)
	}
	db := sql.OpenDB(session{connector, setup(cfg, pool)})
	n := pool.MaxOpen
	if n == 0 {
		n = DefaultMaxOpen
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	db.SetConnMaxLifetime(maxLifetime)
	db.SetConnMaxIdleTime(maxIdleTime)
	return db, nil
}

// Flavor asks the server what it is. The version is as the server reports it, such as "10.11.19-MariaDB" or "9.7.4".
func Flavor(ctx context.Context, db *sql.DB) (mariadb bool, version string, err error) {
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version); err != nil {
		return false, "", fmt.Errorf("ask MySQL for its version: %w", err)
	}
	return strings.Contains(version, "MariaDB"), version, nil
}

// config is the DSN with what it does not say filled in.
func config(dsn string, pool Pool) (*mysql.Config, error) {
	cfg, err := mysql.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	cfg.Logger = &mysql.NopLogger{} // it reports what the pool mends by itself; the rest is returned
	said := parameters(dsn)
	if cfg.Timeout == 0 && !said["timeout"] {
		cfg.Timeout = dialTimeout
	}
	if cfg.WriteTimeout == 0 && !said["writeTimeout"] {
		cfg.WriteTimeout = writeTimeout
	}
	if pool.StatementTimeout != 0 && !said["readTimeout"] {
		cfg.ReadTimeout = pool.StatementTimeout + readGrace
	}
	if !said["parseTime"] {
		cfg.ParseTime = true
	}
	if !said["collation"] && !said["charset"] {
		cfg.Collation = collation
	}
	if !said["interpolateParams"] && !said["charset"] && !said["collation"] {
		cfg.InterpolateParams = true // sound with utf8mb4, not with every charset that a DSN may name
	}
	return cfg, nil
}

// parameters are the names of the parameters that a DSN sets.
func parameters(dsn string) map[string]bool {
	said := make(map[string]bool)
	_, query, _ := strings.Cut(dsn[strings.LastIndexByte(dsn, '/')+1:], "?")
	for pair := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(pair, "=")
		said[name] = true
	}
	return said
}

// setup is the statement that prepares a new connection. Comments that begin with /*M! are read by MariaDB only, those
// that begin with /*!80000 by MySQL 8 and newer only (MariaDB passes over numbers between 50700 and 99999).
func setup(cfg *mysql.Config, pool Pool) string {
	var b strings.Builder
	b.WriteString("SET autocommit = 1")
	if _, ok := cfg.Params["time_zone"]; !ok {
		b.WriteString(", time_zone = '+00:00'")
	}
	_, mysqlLevel := cfg.Params["transaction_isolation"]
	_, mariaLevel := cfg.Params["tx_isolation"]
	if !mysqlLevel && !mariaLevel {
		b.WriteString(" /*M! , tx_isolation = 'REPEATABLE-READ' */ /*!80000 , transaction_isolation = 'REPEATABLE-READ' */")
	}
	_, mysqlLimit := cfg.Params["max_execution_time"]
	_, mariaLimit := cfg.Params["max_statement_time"]
	if ms := pool.StatementTimeout.Milliseconds(); ms != 0 && !mysqlLimit && !mariaLimit {
		fmt.Fprintf(&b, " /*M! , max_statement_time = %d.%03d */ /*!80000 , max_execution_time = %d */", ms/1000, ms%1000, ms)
	}
	return b.String()
}

// session is a connector whose connections have run a statement before anybody uses them.
type session struct {
	driver.Connector
	statement string
}

func (s session) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := s.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if _, err := conn.(driver.ExecerContext).ExecContext(ctx, s.statement, nil); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("prepare a MySQL connection: %w", err)
	}
	return conn, nil
}
