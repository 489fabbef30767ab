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

// progressPause is the time between two lines where there is no terminal.
const progressPause = 3 * time.Second

// progress shows how far a long piece of work is: a bar on a terminal, elsewhere a line now and then. It belongs to one
// goroutine at a time.
type progress struct {
	w     io.Writer
	what  string
	total int

	bars *mpb.Progress // nil without a terminal
	bar  *mpb.Bar
	said time.Time
	done int
}

func startProgress(w io.Writer, what string, total int) *progress {
	p := &progress{w: w, what: what, total: total, said: time.Now()}
	if isTerminal(w) && total > 0 {
		p.bars = mpb.New(mpb.WithOutput(w), mpb.WithWidth(60))
		p.bar = p.bars.AddBar(int64(total),
			mpb.PrependDecorators(decor.Name(what+" "), decor.CountersNoUnit("%d / %d")),
			mpb.AppendDecorators(decor.Percentage(), decor.Name(" "), decor.AverageETA(decor.ET_STYLE_GO)))
	}
	return p
}

// set shows that done of the total are done.
func (p *progress) set(done int) {
	p.done = done
	if p.bar != nil {
		p.bar.SetCurrent(int64(done))
		return
	}
	if time.Since(p.said) >= progressPause {
		p.said = time.Now()
		fmt.Fprintf(p.w, "%s: %d of %d\n", p.what, done, p.total)
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
