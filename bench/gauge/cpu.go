package gauge

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
	"golang.org/x/sys/unix"
)

// CPU returns the processor time that processes have used since they began, all their threads together, user's and
// system's, by the name that they are given under. It is known to a hundredth of a second.
func CPU(pids map[string][]int) (map[string]time.Duration, error) {
	used := make(map[string]time.Duration, len(pids))
	for name, some := range pids {
		for _, pid := range some {
			p, err := procfs.NewProc(pid)
			if err != nil {
				return nil, fmt.Errorf("processor time of %s: %w", name, err)
			}
			stat, err := p.Stat()
			if err != nil {
				return nil, fmt.Errorf("processor time of %s: %w", name, err)
			}
			used[name] += time.Duration(stat.CPUTime() * float64(time.Second))
		}
	}
	return used, nil
}

// Own returns the processor time that this process has used since it began.
func Own() (time.Duration, error) {
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		return 0, fmt.Errorf("processor time of the load: %w", err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano()), nil
}

// Stolen returns for how long processors of this machine were wanted and another guest of its host had them, all together,
// since the start; 0 where there is no host, or it does not tell.
func Stolen() (time.Duration, error) {
	proc, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	stat, err := proc.Stat()
	if err != nil {
		return 0, fmt.Errorf("stolen processor time: %w", err)
	}
	return time.Duration(stat.CPUTotal.Steal * float64(time.Second)), nil
}
