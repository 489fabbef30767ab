package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"vidmeta/internal/progress"
)

// console writes lines, and on a terminal below them one that is rewritten in place. Its methods may be called from
// several goroutines.
type console struct {
	w        io.Writer
	terminal bool

	mu     sync.Mutex
	status string // what stands on the last line of the terminal
}

func newConsole(w io.Writer) *console { return &console{w: w, terminal: progress.IsTerminal(w)} }

const clearLine = "\r\x1b[K"

// printf writes one line or more above the status.
func (c *console) printf(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	text := strings.TrimRight(fmt.Sprintf(format, args...), "\n") + "\n"
	if c.status != "" {
		text = clearLine + text + c.status
	}
	_, _ = io.WriteString(c.w, text) // nobody is left to tell
}

// show replaces the status, on a terminal.
func (c *console) show(status string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := []rune(status); len(r) > c.width()-1 {
		status = string(r[:c.width()-1])
	}
	c.status = status
	_, _ = io.WriteString(c.w, clearLine+status)
}

// end leaves the last status standing.
func (c *console) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status != "" {
		c.status = ""
		_, _ = io.WriteString(c.w, "\n")
	}
}

func (c *console) width() int {
	if f, ok := c.w.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 1 {
			return int(size.Col)
		}
	}
	return 80
}
