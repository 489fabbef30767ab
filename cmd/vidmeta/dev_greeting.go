package main

import (
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"

	"vidmeta/internal/seed"
)

// greeting tells what runs where, and what to try.
func (f *fleet) greeting(d *devCommand, took time.Duration) string {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	say("\nready after %v; dev itself is pid %d", took.Round(100*time.Millisecond), os.Getpid())
	say("  %-11s %-22s pid %-8d %s", f.servers.MySQL.Name(), f.servers.MySQL.Addr(), f.servers.MySQL.Pid(), f.servers.MySQL.Version())
	for _, n := range f.servers.Redis.Nodes() {
		say("  %-11s %-22s pid %-8d", n.Name(), n.Addr(), n.Pid())
	}
	for _, s := range f.sidecars {
		say("  %-11s %-22s pid %-8d admin http://%s/", s.Name(), "", s.Pid(), s.admin)
	}
	for _, n := range f.nodes {
		say("  %-11s %-22s pid %-8d admin http://%s/", n.Name(), n.Addr(), n.Pid(), n.admin)
	}
	say("  logs        %s", f.servers.LogFile("*"))
	if d.EnvFile != "" {
		say("  settings    set -a; . %s; set +a", shellFile(d.EnvFile))
	}

	say("\ntry")
	if len(f.nodes) > 0 {
		at := "http://" + f.nodes[0].Addr()
		say("  curl -i %s/v1/videos/1", at)
		say("  curl -i %s/v1/videos/by-public-id/%s", at, seed.PublicID(2))
		say("  curl -s '%s/v1/videos?ids=1,2,3'", at)
	}
	say("  %s", f.clientLine("UPDATE videos SET title = CONCAT(title, '!') WHERE id = 1"))
	if addrs := f.servers.Redis.Addrs(); len(addrs) > 1 {
		say("  redis-cli -c -p %s cluster nodes", portOf(addrs[0]))
	} else {
		say("  redis-cli -p %s info keyspace", portOf(addrs[0]))
	}
	say("  kill -9 any of the above; it comes back by itself\n")
	return b.String()
}

// shellFile writes a file's path so that the . of a shell reads that file: a name without a slash it looks for in PATH.
func shellFile(path string) string {
	if strings.Contains(path, "/") {
		return path
	}
	return "./" + path
}

// clientLine is a line for the shell that runs a statement.
func (f *fleet) clientLine(statement string) string {
	c, err := mysql.ParseDSN(f.servers.MySQL.DSN(devDatabase))
	if err != nil {
		return ""
	}
	host, port, err := net.SplitHostPort(c.Addr)
	if err != nil {
		return ""
	}
	return fmt.Sprintf("mariadb -h %s -P %s -u %s -p%s %s -e \"%s\"", host, port, c.User, c.Passwd, c.DBName, statement)
}

func portOf(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return port
}
