package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	tempPattern  = "vidmeta-stack-"
	lockName     = "lock"
	sweepAge     = time.Minute // a younger folder may be without a lock only because it is being made
	socketLimit  = 107         // bytes of a Unix socket's path
	socketSuffix = ".lock"     // MySQL makes a file of this name beside its socket
)

// home is the folder of one stack. It is locked while the stack or one of its database servers lives.
type home struct {
	path    string
	temp    bool
	lock    *os.File
	sockets string // a short folder for sockets, if path is too long for them
}

// openHome makes and locks the folder; "" means a temporary one. A lock that is held is waited for until ctx is over or
// a few seconds have passed: the servers of a stack that was killed take a moment to go.
func openHome(ctx context.Context, path string) (h *home, err error) {
	h = &home{path: path, temp: path == ""}
	if h.temp {
		sweep(os.TempDir())
		if h.path, err = os.MkdirTemp("", tempPattern); err != nil {
			return nil, fmt.Errorf("make a folder for servers: %w", err)
		}
	} else if h.path, err = filepath.Abs(path); err == nil {
		err = os.MkdirAll(h.path, 0o755)
	}
	if err != nil {
		return nil, fmt.Errorf("make the folder %s: %w", path, err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockTimeout)
	defer cancel()
	if h.lock, err = lock(ctx, filepath.Join(h.path, lockName)); err != nil {
		return nil, fmt.Errorf("lock the folder %s, which another stack uses: %w", h.path, err)
	}
	return h, nil
}

const lockTimeout = 10 * time.Second

// socket returns the path of a Unix socket in the folder or, if that is too long, in a short one.
func (h *home) socket(name string) (string, error) {
	path := filepath.Join(h.path, name)
	if len(path+socketSuffix) <= socketLimit {
		return path, nil
	}
	if h.sockets == "" {
		dir, err := os.MkdirTemp("", "vm")
		if err != nil {
			return "", fmt.Errorf("make a folder for sockets: %w", err)
		}
		h.sockets = dir
	}
	path = filepath.Join(h.sockets, name)
	if len(path+socketSuffix) > socketLimit {
		return "", fmt.Errorf("no place for a Unix socket: %s is longer than %d bytes; set TMPDIR", path, socketLimit)
	}
	return path, nil
}

// close unlocks the folder, and removes it if it is temporary.
func (h *home) close() error {
	var errs []error
	if h.temp {
		errs = append(errs, os.RemoveAll(h.path))
	}
	if h.sockets != "" {
		errs = append(errs, os.RemoveAll(h.sockets))
	}
	return errors.Join(append(errs, h.lock.Close())...)
}

// lock opens path and locks it for as long as the file, or a child's copy of it, is open.
func lock(ctx context.Context, path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		select {
		case <-time.After(readyPause):
		case <-ctx.Done():
			return nil, errors.Join(err, f.Close())
		}
	}
}

// sweep removes the temporary folders of stacks that were killed. What cannot be removed stays for the next sweep.
func sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	now, cancel := context.WithCancel(context.Background())
	cancel()
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), tempPattern) || time.Since(info.ModTime()) < sweepAge {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if f, err := lock(now, filepath.Join(path, lockName)); err == nil {
			_ = os.RemoveAll(path)
			_ = f.Close()
		}
	}
}
