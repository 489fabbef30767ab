package progress

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestLinesWithoutTerminal(t *testing.T) {
	var out bytes.Buffer
	b := New(&out, "counting")
	b.Set(1, 10, "sheep")
	if out.Len() > 0 {
		t.Errorf("at once it wrote %q", &out)
	}
	long := func() { b.said = time.Now().Add(-pause) }
	long()
	b.Set(2, 10, "sheep")
	b.Set(3, 10, "goats")
	long()
	b.Set(4, 10, "")
	b.Close()
	if want := "counting: 2 of 10, sheep\ncounting: 4 of 10\n"; out.String() != want {
		t.Errorf("it wrote %q, want %q", &out, want)
	}
}

func TestBarOnTerminal(t *testing.T) {
	for _, c := range []struct{ done, total int }{{10, 10}, {4, 10}} {
		seen := onTerminal(t, func(w *os.File) {
			b := New(w, "counting")
			b.Set(0, c.total, "sheep")
			b.Set(c.done, c.total, "goats")
			b.Close()
			b.Close()
			fmt.Fprintln(w, "next")
		})
		for _, want := range []string{"counting ", fmt.Sprintf("%d / %d", c.done, c.total), "goats"} {
			if !strings.Contains(seen, want) {
				t.Errorf("%d of %d: no %q in %q", c.done, c.total, want, seen)
			}
		}
		if last := seen[strings.LastIndex(seen, "counting "):]; !strings.HasSuffix(last, "\nnext\r\n") {
			t.Errorf("%d of %d: what comes after it is not on a line of its own: %q", c.done, c.total, last)
		}
	}
}

// A terminal gets no line of work that has no parts.
func TestNothingToDo(t *testing.T) {
	seen := onTerminal(t, func(w *os.File) {
		b := New(w, "counting")
		b.Set(0, 0, "")
		b.Close()
	})
	if seen != "" {
		t.Errorf("it wrote %q", seen)
	}
}

func TestIsTerminal(t *testing.T) {
	var buffer bytes.Buffer
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if IsTerminal(&buffer) || IsTerminal(file) {
		t.Error("a buffer or a file is taken for a terminal")
	}
	onTerminal(t, func(w *os.File) {
		if !IsTerminal(w) {
			t.Error("a terminal is not seen as one")
		}
	})
}

// onTerminal returns what a terminal of 200 columns is sent by write.
func onTerminal(t *testing.T, write func(*os.File)) string {
	t.Helper()
	ours, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.Close()
	fd := int(ours.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 25, Col: 200}); err != nil {
		t.Fatal(err)
	}
	theirs, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan []byte)
	go func() {
		all, _ := io.ReadAll(ours) // it ends with an error when nobody has the other side open any more
		seen <- all
	}()
	write(theirs)
	if err := theirs.Close(); err != nil {
		t.Error(err)
	}
	return string(<-seen)
}
