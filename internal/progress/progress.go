// Package progress shows how far a long piece of work is: a bar on a terminal, elsewhere a line now and then.
package progress

import (
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

const (
	pause = 5 * time.Second // between two lines where there is no terminal
	width = 48              // of a bar, in characters
)

// Bar shows one piece of work. It belongs to one goroutine at a time.
type Bar struct {
	w    io.Writer
	name string
	said time.Time // when the last line was written

	done, total int
	what        atomic.Pointer[string] // a bar is drawn by a goroutine of its own

	bars *mpb.Progress // nil without a terminal, and before the first Set
	bar  *mpb.Bar
}

// New returns a bar of what name says is being done. It shows nothing before the first Set.
func New(w io.Writer, name string) *Bar { return &Bar{w: w, name: name, said: time.Now()} }

// Set shows that done of total are done, and what comes now, which may be "". The total stays that of the first call.
func (b *Bar) Set(done, total int, what string) {
	b.done, b.total = done, total
	b.what.Store(&what)
	if b.bar == nil && total > 0 && IsTerminal(b.w) {
		now := func(decor.Statistics) string { return " " + *b.what.Load() }
		b.bars = mpb.New(mpb.WithOutput(b.w), mpb.WithWidth(width))
		b.bar = b.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(b.name+" "), decor.CountersNoUnit("%d / %d")),
			mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO), decor.Any(now)))
	}
	if b.bar != nil {
		b.bar.SetCurrent(int64(done))
		return
	}
	if time.Since(b.said) < pause {
		return
	}
	b.said = time.Now()
	line := fmt.Sprintf("%s: %d of %d", b.name, done, total)
	if what != "" {
		line += ", " + what
	}
	fmt.Fprintln(b.w, line)
}

// Close leaves the terminal to others. The work may have ended early. Further calls do nothing.
func (b *Bar) Close() {
	if b.bar == nil {
		return
	}
	if b.done < b.total {
		b.bar.Abort(false)
	}
	b.bars.Wait()
}

// IsTerminal reports whether what is written to w shows on a terminal.
func IsTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
