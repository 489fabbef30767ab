// Package cores gives those who ask and those who answer processors of their own, so that the kernel need not decide between
// them: what one saves is not spent by the other, and no answer waits for a processor that a question has.
package cores

import (
	"errors"
	"fmt"
	"math/bits"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Split is who has which processors. The zero value leaves all to all. Its methods are not for concurrent use.
type Split struct {
	asks, answers []int // none where all is everybody's
}

// Halve gives the last half of the processors that this process may use to this process, and the others to those that it
// starts; an odd one is theirs, too. Of a single processor there is nothing to give: then it returns the zero value.
func Halve() (Split, error) {
	all, err := allowed()
	if err != nil || len(all) < 2 {
		return Split{}, err
	}
	theirs := len(all) - len(all)/2
	return Split{asks: all[theirs:], answers: all[:theirs]}, nil
}

// allowed are the processors that this thread may use.
func allowed() (all []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask which processors there are: %w", err)
	}
	for cpu := range bits.UintSize * len(set) {
		if set.IsSet(cpu) {
			all = append(all, cpu)
		}
	}
	return all, nil
}

// Asking is how many processors this process has for itself; 0 if it shares all of them.
func (s Split) Asking() int { return len(s.asks) }

// String says who has which.
func (s Split) String() string {
	if len(s.asks) == 0 {
		return "shared by all"
	}
	return "load and writers on " + list(s.asks) + ", servers and arms on " + list(s.answers)
}

func list(cpus []int) string {
	var words []string
	for _, cpu := range cpus {
		words = append(words, strconv.Itoa(cpu))
	}
	return strings.Join(words, ", ")
}

// Enter puts this process on its own processors until leave is called, and has Go use no more threads at once than these.
func (s Split) Enter() (leave func(), err error) {
	if len(s.asks) == 0 {
		return func() {}, nil
	}
	before, err := allowed()
	if err != nil {
		return nil, err
	}
	leave = func() {
		_ = pin(self, before) // it was there, so it may go there
		runtime.SetDefaultGOMAXPROCS()
	}
	if err := pin(self, s.asks); err != nil {
		leave()
		return nil, err
	}
	runtime.GOMAXPROCS(len(s.asks))
	return leave, nil
}

// Start runs f, which starts processes, with all of this process on the processors of those who answer: processes inherit
// them, and what they start in turn. Between Enter and leave alone.
func (s Split) Start(f func() error) error {
	if len(s.asks) == 0 {
		return f()
	}
	if err := pin(self, s.answers); err != nil {
		return err
	}
	return errors.Join(f(), pin(self, s.asks))
}

// Lend runs f with all of this process, and of others that answer, on all processors, for work that nobody measures. What f
// starts has all processors, too, and must have ended when f returns. Between Enter and leave alone.
func (s Split) Lend(pids []int, f func() error) error {
	if len(s.asks) == 0 {
		return f()
	}
	all := slices.Concat(s.answers, s.asks)
	move := func(own, theirs []int) error {
		errs := []error{pin(self, own)}
		for _, pid := range pids {
			errs = append(errs, pin(strconv.Itoa(pid), theirs))
		}
		return errors.Join(errs...)
	}
	if err := move(all, all); err != nil {
		return errors.Join(err, move(s.asks, s.answers))
	}
	return errors.Join(f(), move(s.asks, s.answers))
}

// self is this process by the kernel's name for it.
const self = "self"

// pin puts all threads of a process on some processors. A thread that is made meanwhile has those of the one that made
// it, which may have been the old ones, so it looks again until there is no new one.
func pin(process string, cpus []int) error {
	var set unix.CPUSet
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	done := map[string]bool{}
	for more := true; more; {
		more = false
		threads, err := os.ReadDir("/proc/" + process + "/task")
		if err != nil {
			return err
		}
		for _, t := range threads {
			if done[t.Name()] {
				continue
			}
			done[t.Name()], more = true, true
			id, err := strconv.Atoi(t.Name())
			if err != nil {
				return err
			}
			if err := unix.SchedSetaffinity(id, &set); err != nil && !errors.Is(err, unix.ESRCH) { // ESRCH: it has ended
				return fmt.Errorf("run on the processors %s: %w", list(cpus), err)
			}
		}
	}
	return nil
}
