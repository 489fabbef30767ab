package gauge

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
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
