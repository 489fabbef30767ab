package main

import (
	"database/sql"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/go-sql-driver/mysql"
	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/internal/mysqldb"
)

// mysqlSettings say where the origin is.
type mysqlSettings struct {
	MySQL string `name:"mysql" env:"VIDMETA_MYSQL" placeholder:"DSN" help:"MySQL or MariaDB: user:pass@tcp(host:port)/db, with parameters as the Go driver has them."`

	config *mysql.Config // what it says
}

func (s *mysqlSettings) validate() error {
	// docker's --env-file keeps the quotes that a shell needs around the parentheses.
	s.MySQL = unquoted(s.MySQL)
	if s.MySQL == "" {
		return errors.New("--mysql (VIDMETA_MYSQL) is not set")
	}
	// The driver's errors may hold parts of the text, and with that the password.
	c, err := mysql.ParseDSN(s.MySQL)
	switch {
	case err != nil && strings.Contains(err.Error(), "network"), err == nil && !strings.Contains(s.MySQL, "("):
		return errors.New("--mysql (VIDMETA_MYSQL) is not of the form user:pass@tcp(host:port)/db")
	case err != nil:
		return fmt.Errorf("--mysql (VIDMETA_MYSQL) is not of the form user:pass@tcp(host:port)/db: %w", err)
	case c.DBName == "":
		return errors.New("--mysql (VIDMETA_MYSQL) names no database: user:pass@tcp(host:port)/db")
	}
	s.config = c
	return nil
}

func (s *mysqlSettings) open(pool mysqldb.Pool) (*sql.DB, error) { return mysqldb.Open(s.MySQL, pool) }

func unquoted(s string) string {
	if len(s) > 1 && (s[0] == '\'' || s[0] == '"') && s[len(s)-1] == s[0] {
		return s[1 : len(s)-1]
	}
	return s
}

// redisSettings say where the shared tier is.
type redisSettings struct {
	Redis         []string `placeholder:"HOST:PORT" help:"Redis Cluster: addresses of some of its nodes. One address may also be a server without cluster support."`
	RedisUsername string   `placeholder:"NAME" help:"User of Redis, if not the default one."`
	RedisPassword string   `placeholder:"SECRET" help:"Password of Redis."`
	Namespace     string   `default:"vm" help:"Beginning of every key in Redis. Sidecars and nodes of one deployment must agree on it."`
}

func (s *redisSettings) validate() error {
	if len(s.Redis) == 0 {
		return errors.New("--redis (VIDMETA_REDIS) is not set")
	}
	for i, addr := range s.Redis {
		s.Redis[i] = unquoted(strings.TrimSpace(addr))
		if err := validAddr(s.Redis[i]); err != nil {
			return fmt.Errorf("--redis (VIDMETA_REDIS): %w", err)
		}
	}
	if s.Namespace == "" || strings.ContainsAny(s.Namespace, "{} \t\r\n") {
		return fmt.Errorf("--namespace: %q is empty or holds braces or blanks", s.Namespace)
	}
	return nil
}

// client returns a client of its own; timeout 0 is the one that is right for reads.
func (s *redisSettings) client(timeout time.Duration, poolSize int) (*redis.ClusterClient, error) {
	return cache.NewClient(cache.ClientConfig{
		Addrs: s.Redis, Username: s.RedisUsername, Password: s.RedisPassword, Timeout: timeout, PoolSize: poolSize,
	})
}

// freshnessSettings bound the age of answers.
type freshnessSettings struct {
	MaxAge               time.Duration `default:"2s" help:"How old an answer may be and still count as fresh."`
	StaleWhileRevalidate time.Duration `default:"30s" help:"How old an answer may be that is given at once while it is renewed in the background; 0 for never."`
	StaleIfError         time.Duration `default:"1h" help:"How old an answer may be that is given because none better can be had; 0 for never."`
}

func (s *freshnessSettings) validate() error {
	return errors.Join(positive("--max-age", s.MaxAge),
		notNegative("--stale-while-revalidate", s.StaleWhileRevalidate),
		notNegative("--stale-if-error", s.StaleIfError))
}

// skewSettings say how well the clocks of this fleet agree.
type skewSettings struct {
	ClockSkew time.Duration `default:"50ms" help:"How far the clocks of nodes and sidecars may differ; it is taken off what others say about time."`
}

func (s *skewSettings) validate() error { return notNegative("--clock-skew", s.ClockSkew) }

// adminSettings guard the listener for operators. Where it listens depends on the command.
type adminSettings struct {
	AdminToken string `placeholder:"SECRET" help:"Bearer token that the admin listener asks for. Required if it does not listen on loopback."`
}

// listen opens the admin listener, unless all the world could ask there without a token.
func (s *adminSettings) listen(addr string) (net.Listener, error) {
	ln, err := listen("--admin-listen", addr)
	if err != nil {
		return nil, err
	}
	if at, ok := ln.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() && s.AdminToken == "" {
		return nil, errors.Join(
			fmt.Errorf("--admin-listen: %s can be reached from outside, and --admin-token (VIDMETA_ADMIN_TOKEN) is not set", at),
			ln.Close())
	}
	return ln, nil
}

// byteSize is a number of bytes, written like 256MiB. Units are powers of 1024.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (b *byteSize) UnmarshalText(text []byte) error {
	n, err := units.RAMInBytes(string(text))
	if err != nil {
		return fmt.Errorf("%q is not a size such as 256MiB", text)
	}
	*b = byteSize(n)
	return nil
}

// listen opens a listener for the address of a flag.
func listen(flag, addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	return ln, nil
}

func validAddr(addr string) error {
	_, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return fmt.Errorf("%q is not host:port", addr)
	}
	return nil
}

func positive[N ~int | ~int64](flag string, n N) error {
	if n <= 0 {
		return fmt.Errorf("%s: %v is not above 0", flag, n)
	}
	return nil
}

func notNegative[N ~int | ~int64](flag string, n N) error {
	if n < 0 {
		return fmt.Errorf("%s: %v is below 0", flag, n)
	}
	return nil
}

// orNone is d for a package that takes 0 to mean its default.
func orNone(d, none time.Duration) time.Duration {
	if d == 0 {
		return none
	}
	return d
}
