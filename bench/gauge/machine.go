package gauge

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/prometheus/procfs"

	"vidmeta/bench/result"
)

// Machine says what the benches run on and against.
func Machine(ctx context.Context, db *sql.DB, r *Redis) (m result.Machine, err error) {
	m.Cores, m.Go = runtime.NumCPU(), strings.TrimPrefix(runtime.Version(), "go")
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return m, err
	}
	cpus, err := proc.CPUInfo()
	if err != nil {
		return m, fmt.Errorf("read the kind of processor: %w", err)
	}
	if len(cpus) > 0 {
		m.CPU = cpus[0].ModelName
	}
	memory, err := proc.Meminfo()
	if err != nil {
		return m, fmt.Errorf("read the size of the memory: %w", err)
	}
	if memory.MemTotalBytes != nil {
		m.MemoryMB = int64(*memory.MemTotalBytes >> 20)
	}
	kernel, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return m, err
	}
	m.Kernel = strings.TrimSpace(string(kernel))
	if err := db.QueryRowContext(ctx, "SELECT VERSION()").Scan(&m.MySQL); err != nil {
		return m, fmt.Errorf("ask MySQL for its version: %w", err)
	}
	if m.Redis, err = r.Version(ctx); err != nil {
		return m, fmt.Errorf("ask Redis for its version: %w", err)
	}
	return m, nil
}

// Commit returns the commit that this program was built from, with "+" behind it if the tree was changed, or "unknown".
func Commit() string {
	commit, changed := "unknown", ""
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return commit
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			commit = s.Value[:min(len(s.Value), 12)]
		case s.Key == "vcs.modified" && s.Value == "true":
			changed = "+"
		}
	}
	return commit + changed
}
