package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	readyTimeout = 90 * time.Second      // for a start on a machine that is busy with other things
	readyPause   = 20 * time.Millisecond // between two tries of Ready
	outputDelay  = time.Second           // how long a dead child's own children may hold its output
)

// Command says how to run a child process.
type Command struct {
	Name   string                      // how errors and logs call it; required
	Path   string                      // the program; looked up as in a shell; required
	Args   []string                    // without the program's name
	Env    []string                    // "key=value", added to this process' environment
	Dir    string                      // working directory; "" means this process' own
	Addr   string                      // where it listens, for whoever asks the Process
	Log    string                      // file that its output is appended to; "" means none
	Output io.Writer                   // gets its output as well; nil means nobody
	Ready  func(context.Context) error // tried until nil; nil means ready as soon as it runs

	hold *os.File // stays open in the child, and with it the lock on the file
}

// Process is a child process, or rather a place for one: after Kill or Stop, Restart runs the same command again.
// Its methods may be called from several goroutines.
type Process struct {
	command Command

	ops sync.Mutex // held while a Restart is under way; taken before mu
	mu  sync.Mutex
	run *run
}

// run is one life of a Process.
type run struct {
	pid  int
	done chan struct{}
	err  error // how it ended; written before done is closed
}

// Launch starts c and waits until it is ready. On failure nothing is left running, and the error ends with the last
// lines of the log. ctx bounds the start alone; the child lives until Stop or Kill.
//
// The child has a process group of its own, so that Ctrl-C in a terminal reaches only this process, and is killed by
// the kernel when this process ends, however that happens. What it starts in turn has no such guarantee.
func Launch(ctx context.Context, c Command) (*Process, error) {
	p := &Process{command: c}
	if err := p.start(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// Name returns the command's name.
func (p *Process) Name() string { return p.command.Name }

// Addr returns the host:port that the command was said to listen on.
func (p *Process) Addr() string { return p.command.Addr }

// Pid returns the process id, also that of a process that has ended.
func (p *Process) Pid() int { return p.current().pid }

// Done is closed when the process that runs now has ended. After a Restart, ask again.
func (p *Process) Done() <-chan struct{} { return p.current().done }

// Wait waits for the process that runs now and returns how it ended: nil for exit status 0.
func (p *Process) Wait(ctx context.Context) error {
	r := p.current()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Kill ends the process with SIGKILL and returns when it is gone. Without a process it does nothing.
func (p *Process) Kill() error {
	r := p.current()
	if err := p.signal(r, syscall.SIGKILL); err != nil {
		return err
	}
	<-r.done
	return nil
}

// Pause stops the process with SIGSTOP: its sockets stay open, and nobody answers.
func (p *Process) Pause() error { return p.signal(p.current(), syscall.SIGSTOP) }

// Resume lets a paused process go on.
func (p *Process) Resume() error { return p.signal(p.current(), syscall.SIGCONT) }

// Stop asks the process to end with SIGTERM, waits for it, and kills it when ctx is over. A paused process is resumed.
func (p *Process) Stop(ctx context.Context) error {
	r := p.current()
	if err := errors.Join(p.signal(r, syscall.SIGTERM), p.signal(r, syscall.SIGCONT)); err != nil {
		return err
	}
	select {
	case <-r.done:
		return nil
	case <-ctx.Done():
		return p.Kill()
	}
}

// Restart runs the command again, with the same address and data, and waits until it is ready. A process that still
// runs is stopped first.
func (p *Process) Restart(ctx context.Context) error {
	p.ops.Lock()
	defer p.ops.Unlock()
	if err := p.Stop(ctx); err != nil {
		return err
	}
	return p.start(ctx)
}

func (p *Process) current() *run {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.run
}

// signal reaches the whole group of r. A process that has ended is no error.
func (p *Process) signal(r *run, s syscall.Signal) error {
	select {
	case <-r.done:
		return nil
	default:
	}
	if err := syscall.Kill(-r.pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("send %v to %s (pid %d): %w", s, p.command.Name, r.pid, err)
	}
	return nil
}

// start begins a new life and waits until it is ready.
func (p *Process) start(ctx context.Context) error {
	started := make(chan error, 1)
	r := &run{done: make(chan struct{})}
	go p.live(r, started) // ends with the child; Kill, Stop and Wait wait for it
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", p.command.Name, err)
	}
	p.mu.Lock()
	p.run = r
	p.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := p.await(ctx, r); err != nil {
		killed := p.Kill()
		return errors.Join(fmt.Errorf("start %s: %w%s", p.command.Name, err, tail(p.command.Log)), killed)
	}
	return nil
}

// live runs the child from its start to its end, on one thread. The kernel kills a child with Pdeathsig when the thread
// that started it ends, not the process; so this thread is kept until there is no child any more.
func (p *Process) live(r *run, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(r.done)

	c := p.command
	cmd := exec.Command(c.Path, c.Args...)
	cmd.Dir = c.Dir
	cmd.Env = append(os.Environ(), c.Env...)
	cmd.WaitDelay = outputDelay
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if c.hold != nil {
		cmd.ExtraFiles = []*os.File{c.hold}
	}
	if c.Log != "" {
		log, err := os.OpenFile(c.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			started <- err
			return
		}
		defer log.Close()
		cmd.Stdout = log
	}
	if c.Output != nil && cmd.Stdout != nil {
		cmd.Stdout = io.MultiWriter(cmd.Stdout, c.Output)
	} else if c.Output != nil {
		cmd.Stdout = c.Output
	}
	cmd.Stderr = cmd.Stdout

	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	r.pid = cmd.Process.Pid
	started <- nil
	r.err = cmd.Wait()
}

// await tries Ready until it succeeds, the process ends or ctx is over.
func (p *Process) await(ctx context.Context, r *run) error {
	if p.command.Ready == nil {
		return nil
	}
	for {
		err := p.command.Ready(ctx)
		select {
		case <-r.done:
			return fmt.Errorf("it ended before it was ready: %w", ended(r.err))
		default:
		}
		if err == nil {
			return nil
		}
		select {
		case <-r.done:
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("%w; last seen: %w", context.Cause(ctx), err)
		}
	}
}

// ended gives an exit status of 0 a text, too.
func ended(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}
