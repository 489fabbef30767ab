package stack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const stopTimeout = 30 * time.Second // for a database to write down what it holds

// Config says which servers to start. The zero value starts none.
type Config struct {
	// Dir holds the data, the sockets and one log file for each server. The data of a database are kept there and used
	// again by the next start. "" is a temporary folder that Close removes.
	Dir string

	// Flavor is the database to start; "" means none.
	Flavor Flavor

	// MySQLD is the path of the database's server program: required for MySQL; "" finds MariaDB's by itself.
	MySQLD string

	// MySQLArgs are further options of the database, such as "--sync-binlog=0"; they win over the stack's own.
	MySQLArgs []string

	// RedisNodes is 0 for none, 1 for a single server without cluster support, or a multiple of three for a cluster with
	// three masters and equally many replicas for each.
	RedisNodes int

	// RedisArgs are further options of each Redis node, such as "--cluster-node-timeout", "1000"; they win over the
	// stack's own.
	RedisArgs []string

	// Log is told what was started; nil means nobody.
	Log *slog.Logger
}

func (c Config) validate() error {
	switch c.Flavor {
	case "", MariaDB, MySQL:
	default:
		return fmt.Errorf("Flavor: %q is none of %q, %q", c.Flavor, MariaDB, MySQL)
	}
	if n := c.RedisNodes; n < 0 || n > 1 && n%masters != 0 {
		return fmt.Errorf("RedisNodes: %d is not 0, 1 or a multiple of %d", n, masters)
	}
	return nil
}

// Stack is a set of running servers.
type Stack struct {
	MySQL *Server // nil if none was asked for
	Redis *Redis  // nil if none was asked for

	home   *home
	ports  *ports
	closed func() error
}

// Start starts the servers side by side and waits until all are ready: a cluster is whole and its replicas have copied
// their masters. ctx bounds the start alone. On failure nothing is left running.
func Start(ctx context.Context, c Config) (*Stack, error) {
	if err := c.validate(); err != nil {
		return nil, fmt.Errorf("start the servers: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	h, err := openHome(ctx, c.Dir)
	if err != nil {
		return nil, err
	}
	s := &Stack{home: h, ports: &ports{}}
	s.closed = sync.OnceValue(s.shut)

	g, gctx := errgroup.WithContext(ctx)
	if c.Flavor != "" {
		g.Go(func() error { return s.startMySQL(gctx, c) })
	}
	if c.RedisNodes > 0 {
		g.Go(func() (err error) {
			began := time.Now()
			s.Redis, err = startRedis(gctx, h.path, c.RedisNodes, c.RedisArgs, s.ports)
			if err == nil {
				c.Log.Info("redis is ready", "nodes", s.Redis.Addrs(), "took", time.Since(began))
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Stack) startMySQL(ctx context.Context, c Config) error {
	began := time.Now()
	socket, err := s.home.socket(string(c.Flavor) + ".sock")
	if err != nil {
		return err
	}
	port, err := s.ports.take()
	if err != nil {
		return err
	}
	s.MySQL, err = startServer(ctx, serverConfig{
		flavor: c.Flavor, program: c.MySQLD, args: c.MySQLArgs,
		dir: s.home.path, socket: socket, port: port, lock: s.home.lock,
	})
	if err != nil {
		return err
	}
	c.Log.Info("the database is ready", "version", s.MySQL.Version(), "addr", s.MySQL.Addr(), "took", time.Since(began))
	return nil
}

// Dir returns the folder of the servers. LogFile is the usual way to use it.
func (s *Stack) Dir() string { return s.home.path }

// LogFile returns a path in the folder for the log of a further process that runs beside the servers.
func (s *Stack) LogFile(name string) string { return filepath.Join(s.home.path, name+".log") }

// FreeAddr returns a free loopback host:port for a further process. No stack gives it away again until Close.
func (s *Stack) FreeAddr() (string, error) {
	port, err := s.ports.take()
	if err != nil {
		return "", err
	}
	return loopback(port), nil
}

// Processes returns all that run: the database first, if there is one, then the Redis nodes.
func (s *Stack) Processes() []*Process {
	var all []*Process
	if s.MySQL != nil {
		all = append(all, s.MySQL.Process)
	}
	if s.Redis != nil {
		all = append(all, s.Redis.nodes...)
	}
	return all
}

// Close ends all servers and frees the folder. A database whose data are kept may finish its work first; what would be
// thrown away is killed. Further calls return what the first one did.
func (s *Stack) Close() error { return s.closed() }

func (s *Stack) shut() error {
	var g errgroup.Group
	for _, p := range s.Processes() {
		g.Go(func() error {
			if s.home.temp || s.MySQL == nil || p != s.MySQL.Process {
				return p.Kill()
			}
			ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
			defer cancel()
			return p.Stop(ctx)
		})
	}
	err := g.Wait()
	s.ports.release()
	return errors.Join(err, s.home.close())
}
