package main

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// linePause is the time between two lines where there is no terminal.
const linePause = 5 * time.Second

// progress shows how far a piece of work is: a bar on a terminal, elsewhere a line now and then. It belongs to one
// goroutine at a time.
type progress struct {
	w    io.Writer
	name string
	what string

	bars  *mpb.Progress // nil without a terminal
	bar   *mpb.Bar
	said  time.Time
	done  int
	total int
}

func newProgress(w io.Writer, name string) *progress {
	return &progress{w: w, name: name, said: time.Now()}
}

// set shows that done of total are done, and what comes now.
func (p *progress) set(done, total int, what string) {
	p.done, p.total, p.what = done, total, what
	if p.bar == nil && isTerminal(p.w) {
		p.bars = mpb.New(mpb.WithOutput(p.w), mpb.WithWidth(48))
		p.bar = p.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(p.name+" "), decor.CountersNoUnit("%d / %d")),
			mpb.AppendDecorators(decor.AverageETA(decor.ET_STYLE_GO), decor.Any(func(decor.Statistics) string { return " " + p.what })))
	}
	if p.bar != nil {
		p.bar.SetCurrent(int64(done))
		return
	}
	if time.Since(p.said) >= linePause {
		p.said = time.Now()
		fmt.Fprintf(p.w, "%s: %d of %d %s\n", p.name, done, total, what)
	}
}

// close leaves the terminal to others. The work may have ended early.
func (p *progress) close() {
	if p.bar == nil {
		return
	}
	if p.done < p.total {
		p.bar.Abort(false)
	}
	p.bars.Wait()
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
