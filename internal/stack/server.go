package stack

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/go-sql-driver/mysql"
)

// Flavor is a product that speaks MySQL's protocol. Its text is also the name of its data folder.
type Flavor string

// The flavors that vidmeta supports.
const (
	MariaDB Flavor = "mariadb"
	MySQL   Flavor = "mysql"
)

// The application's user may do anything in databases whose names begin with its own, and read the binlog.
const (
	appUser     = "vidmeta"
	appPassword = "vidmeta"
)

const pollTimeout = 2 * time.Second // for one look whether a server is ready

// Server is a MariaDB or MySQL server. Its binlog is as vidmeta needs it: by row, with column names, with GTIDs.
type Server struct {
	*Process
	flavor  Flavor
	socket  string
	version string
}

// Flavor tells which product it is.
func (s *Server) Flavor() Flavor { return s.flavor }

// Version returns what the server says of itself, such as "10.11.14-MariaDB-log".
func (s *Server) Version() string { return s.version }

// Socket returns the path of the Unix socket, on which root needs no password.
func (s *Server) Socket() string { return s.socket }

// DSN returns the application's access to a database, in go-sql-driver's form and without parameters. The user may
// create and drop databases whose names begin with "vidmeta"; with an empty name the DSN selects none.
func (s *Server) DSN(database string) string {
	return fmt.Sprintf("%s:%s@tcp(%s)/%s", appUser, appPassword, s.Addr(), database)
}

// RootDSN returns root's access, through the socket: to kill connections, purge binlogs, change settings.
func (s *Server) RootDSN(database string) string {
	return fmt.Sprintf("root@unix(%s)/%s", s.socket, database)
}

// ready looks whether the application can log in, and learns the version.
func (s *Server) ready(ctx context.Context) (version string, err error) {
	c := mysql.NewConfig()
	c.User, c.Passwd, c.Net, c.Addr = appUser, appPassword, "tcp", s.Addr()
	c.Timeout, c.ReadTimeout = pollTimeout, pollTimeout
	c.Logger = &mysql.NopLogger{} // a server that is not up yet is nothing to print
	connector, err := mysql.NewConnector(c)
	if err != nil {
		return "", err
	}
	db := sql.OpenDB(connector)
	defer db.Close()
	err = db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&version)
	return version, err
}

// serverConfig is what startServer is told by the stack.
type serverConfig struct {
	flavor  Flavor
	program string // "" finds MariaDB by itself
	args    []string
	dir     string // the stack's folder
	socket  string
	port    int
	lock    *os.File
}

// startServer makes the data folder if there is none, and starts the server on it.
func startServer(ctx context.Context, c serverConfig) (*Server, error) {
	if c.program == "" {
		if c.flavor == MySQL {
			return nil, fmt.Errorf("start mysql: no mysqld was named; scripts/mysql.sh fetches one and prints its path")
		}
		var err error
		if c.program, err = findProgram("mariadbd"); err != nil {
			return nil, fmt.Errorf("start mariadb: %w", err)
		}
	}
	if err := os.MkdirAll(c.tmp(), 0o755); err != nil {
		return nil, fmt.Errorf("make the folders of %s: %w", c.flavor, err)
	}
	data := filepath.Join(c.dir, string(c.flavor))
	if err := c.initialise(ctx, data); err != nil {
		return nil, err
	}
	users := filepath.Join(c.dir, string(c.flavor)+"-users.sql")
	if err := os.WriteFile(users, []byte(userSQL), 0o644); err != nil {
		return nil, fmt.Errorf("write the users of %s: %w", c.flavor, err)
	}
	s := &Server{flavor: c.flavor, socket: c.socket}
	command := Command{
		Name: string(c.flavor),
		Path: c.program,
		Args: append(append(c.settings(data), "--init-file="+users), c.args...),
		Addr: loopback(c.port),
		Log:  c.log(),
		hold: c.lock,
	}
	s.Process = &Process{command: command}
	s.Process.command.Ready = func(ctx context.Context) error {
		_, err := s.ready(ctx)
		return err
	}
	if err := s.Process.start(ctx); err != nil {
		return nil, err
	}
	var err error
	if s.version, err = s.ready(ctx); err != nil {
		killed := s.Kill()
		return nil, fmt.Errorf("ask %s for its version: %w (killed: %v)", c.flavor, err, killed)
	}
	return s, nil
}

// userSQL runs at each start, by root, before anybody can log in; it leaves no trace in the binlog.
const userSQL = "SET SESSION sql_log_bin = 0;\n" +
	"CREATE USER IF NOT EXISTS '" + appUser + "'@'%' IDENTIFIED BY '" + appPassword + "';\n" +
	"GRANT ALL PRIVILEGES ON `" + appUser + "%`.* TO '" + appUser + "'@'%';\n" +
	"GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO '" + appUser + "'@'%';\n"

// settings returns the arguments that both making the data folder and running need, then the server's own.
func (c serverConfig) settings(data string) []string {
	args := append(c.basics(data),
		"--port="+strconv.Itoa(c.port),
		"--bind-address=127.0.0.1",
		"--socket="+c.socket,
		"--pid-file="+c.socket+".pid",
		"--skip-name-resolve",
		"--max-connections=500",
		"--server-id=1",
		"--log-bin=binlog",
		"--binlog-row-metadata=FULL",
		"--sync-binlog=1",
		"--innodb-flush-log-at-trx-commit=1",
		"--log-bin-trust-function-creators=1",
		"--character-set-server=utf8mb4",
	)
	if c.flavor == MySQL {
		return append(args, "--gtid-mode=ON", "--enforce-gtid-consistency=ON", "--mysqlx=OFF", "--performance-schema=OFF")
	}
	return append(args, "--gtid-strict-mode=ON", "--binlog-format=ROW", "--aria-pagecache-buffer-size=16M", "--key-buffer-size=1M")
}

// basics are small buffers and files, since several servers may run side by side. Native asynchronous I/O is off
// because the kernel has a limit on it that a few servers reach. The folder for temporary tables is the server's own,
// because a server that starts empties it.
func (c serverConfig) basics(data string) []string {
	args := []string{"--no-defaults"} // it must come first
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	args = append(args, "--datadir="+data, "--tmpdir="+c.tmp(), "--innodb-buffer-pool-size=64M", "--innodb-use-native-aio=OFF")
	if c.flavor == MySQL {
		return append(args, "--innodb-redo-log-capacity=64M", "--secure-file-priv=NULL", "--auto-generate-certs=OFF")
	}
	return append(args, "--innodb-log-file-size=32M")
}

// initialise makes the data folder. It is made under another name, so that an interrupted start leaves no half of one.
func (c serverConfig) initialise(ctx context.Context, data string) error {
	if _, err := os.Stat(data); err == nil {
		return nil
	}
	half := data + ".new"
	if err := os.RemoveAll(half); err != nil {
		return fmt.Errorf("remove an unfinished data folder: %w", err)
	}
	command := Command{Name: "making the data of " + string(c.flavor), Path: c.program, Log: c.log(), hold: c.lock}
	if c.flavor == MySQL {
		command.Args = append(c.basics(half), "--initialize-insecure", "--skip-log-bin")
	} else {
		program, err := findProgram("mariadb-install-db")
		if err != nil {
			return err
		}
		command.Path = program
		command.Args = append(c.basics(half), "--auth-root-authentication-method=normal", "--skip-test-db")
	}
	began := time.Now()
	p, err := Launch(ctx, command)
	if err != nil {
		return err
	}
	if err := p.Wait(ctx); err != nil {
		killed := p.Kill()
		return fmt.Errorf("%s, after %s: %w (killed: %v)%s", command.Name, time.Since(began), err, killed, tail(c.log()))
	}
	if err := os.Rename(half, data); err != nil {
		return fmt.Errorf("%s: %w", command.Name, err)
	}
	return nil
}

func (c serverConfig) tmp() string { return filepath.Join(c.dir, string(c.flavor)+"-tmp") }

func (c serverConfig) log() string { return filepath.Join(c.dir, string(c.flavor)+".log") }

// findProgram looks on the path and, for servers, where a plain user's path does not lead.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	for _, dir := range []string{"/usr/sbin", "/usr/local/sbin"} {
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w (scripts/install.sh installs it)", err)
}
