package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// environment is what other programs on this machine want to know of the fleet, as lines that a shell can read. The
// quotes around the DSN are for its parentheses; vidmeta takes them off where docker --env-file leaves them on.
func (f *fleet) environment() string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%s=%s\n", name, value) }
	addrs := func(of []*child, addr func(*child) string) (all []string) {
		for _, ch := range of {
			all = append(all, addr(ch))
		}
		return all
	}
	listen := func(ch *child) string { return ch.Addr() }
	admin := func(ch *child) string { return ch.admin }

	line("VIDMETA_MYSQL", "'"+f.servers.MySQL.DSN(devDatabase)+"'")
	line("VIDMETA_REDIS", strings.Join(f.servers.Redis.Addrs(), ","))
	if len(f.nodes) > 0 {
		line("VIDMETA_LISTEN", f.nodes[0].Addr())
		line("VIDMETA_ADMIN_LISTEN", f.nodes[0].admin)
	}
	line("VIDMETA_NODES", strings.Join(addrs(f.nodes, listen), ","))
	line("VIDMETA_NODE_ADMINS", strings.Join(addrs(f.nodes, admin), ","))
	line("VIDMETA_SIDECAR_ADMINS", strings.Join(addrs(f.sidecars, admin), ","))
	pids := []string{fmt.Sprintf("dev:%d", os.Getpid())}
	for _, p := range f.processes() {
		pids = append(pids, fmt.Sprintf("%s:%d", p.Name(), p.Pid()))
	}
	line("VIDMETA_PIDS", strings.Join(pids, ","))
	return b.String()
}

// writeEnvFile replaces the file in one step; "" is no file.
func (f *fleet) writeEnvFile(path string) error {
	if path == "" {
		return nil
	}
	f.envFile.Lock()
	defer f.envFile.Unlock()
	tmp, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("--env-file: %w", err)
	}
	_, err = tmp.WriteString(f.environment())
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("--env-file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// removeEnvFile takes back what says that all is up.
func removeEnvFile(path string) error {
	if path == "" {
		return nil
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("--env-file: %w", err)
	}
	return nil
}
