package main

import (
	"context"
	"errors"
	"os"
	"sync"
	"time"

	"vidmeta/internal/stack"
)

// How long what has died stays away, so that one can look at what happens without it. The servers stay away longer: a
// Redis node keeps nothing on disk, and a master that came back empty before its replica has been promoted would take
// all of its keys with it.
const (
	childPause   = 2 * time.Second
	serverPause  = 10 * time.Second
	longestPause = time.Minute
	healthyLife  = 30 * time.Second // after which the next pause is a short one again
)

// keep watches over all processes until ctx ends, and starts again what has died.
func (f *fleet) keep(ctx context.Context, d *devCommand, hands <-chan os.Signal, out *console) error {
	var wg sync.WaitGroup
	var asked []chan struct{}
	watch := func(p *stack.Process, pause time.Duration) {
		ask := make(chan struct{}, 1)
		asked = append(asked, ask)
		k := &keeper{fleet: f, process: p, pause: pause, dev: d, ask: ask, out: out}
		wg.Go(func() { k.run(ctx) })
	}
	for _, p := range f.servers.Processes() {
		watch(p, serverPause)
	}
	for _, ch := range f.children() {
		watch(ch.Process, childPause)
	}
	for {
		select {
		case <-hands:
			for _, ask := range asked {
				select {
				case ask <- struct{}{}:
				default:
				}
			}
		case <-ctx.Done():
			wg.Wait()
			return nil
		}
	}
}

// keeper watches over one process.
type keeper struct {
	fleet   *fleet
	process *stack.Process
	pause   time.Duration
	dev     *devCommand
	ask     <-chan struct{} // somebody wants it started now
	out     *console
}

func (k *keeper) run(ctx context.Context) {
	p, pause := k.process, k.pause
	begun := time.Now()
	for {
		err := p.Wait(ctx)
		if ctx.Err() != nil {
			return
		}
		if time.Since(begun) > healthyLife {
			pause = k.pause
		}
		if !k.wait(ctx, err, pause) {
			return
		}
		pause = min(2*pause, longestPause)
		begun = time.Now()
		if err := p.Restart(ctx); err != nil {
			if ctx.Err() == nil {
				k.out.printf("%v", err)
			}
			continue
		}
		k.out.printf("%s is back (pid %d)", p.Name(), p.Pid())
		if err := k.fleet.writeEnvFile(k.dev.EnvFile); err != nil {
			k.out.printf("%v", err)
		}
	}
}

// wait lets the pause go by, or waits to be asked. It is false if ctx has ended.
func (k *keeper) wait(ctx context.Context, death error, pause time.Duration) bool {
	if death == nil {
		death = errors.New("exit status 0")
	}
	select {
	case <-k.ask: // before it died
	default:
	}
	var over <-chan time.Time
	if k.dev.Restart {
		t := time.NewTimer(pause)
		defer t.Stop()
		over = t.C
		k.out.printf("%s (pid %d) has died: %v; it starts again in %v (kill -USR1 %d: at once)",
			k.process.Name(), k.process.Pid(), death, pause, os.Getpid())
	} else {
		k.out.printf("%s (pid %d) has died: %v; kill -USR1 %d starts it again",
			k.process.Name(), k.process.Pid(), death, os.Getpid())
	}
	select {
	case <-over:
	case <-k.ask:
	case <-ctx.Done():
		return false
	}
	return true
}
