// Package trace is recorded traces of requests, and how many of them caches answer that have room for a share of the keys.
package trace

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// data is linked into the program, as 4 MB are less trouble than a folder that has to be found.
//
//go:embed data/*.trace.gz
var data embed.FS

const headissue = "headissue GmbH (Jens Wilke), cache2k benchmarks, CC BY 4.0"

// shipped says who recorded what is in the folder data.
var shipped = []struct{ name, source string }{
	{"web12", "HTTP GETs of a shop's product page, 2013; " + headissue},
	{"orm-busy", "objects that a shop's ORM loads, 2016; " + headissue},
}

// Names returns the traces that need no file.
func Names() (names []string) {
	for _, s := range shipped {
		names = append(names, s.name)
	}
	return names
}

// Trace is what was asked for, in order.
type Trace struct {
	Name   string
	Source string // who recorded it, and its licence
	// IDs has one entry for each request. The n-th distinct key is the id n: ids begin with 1 and have no gaps.
	IDs  []uint32
	Keys int // distinct ids
}

// Open reads a trace into memory, four bytes a request. A name is one of Names, or FORMAT:FILE, where the file may be
// gzipped and the format is
//
//	uint32   one big-endian uint32 for each request, as cache2k and Caffeine have it
//	int64    one big-endian int64, as Caffeine's "scarab" traces
//	youtube  the lines of the UMass YouTube traces: time, server, client, request, video, content server
func Open(name string) (*Trace, error) {
	for _, s := range shipped {
		if s.name != name {
			continue
		}
		packed, err := data.ReadFile("data/" + name + ".trace.gz")
		if err != nil {
			return nil, err
		}
		return read(bytes.NewReader(packed), "uint32", name, s.source)
	}
	format, path, ok := strings.Cut(name, ":")
	if !ok {
		return nil, fmt.Errorf("no trace is called %q: give %s, or FORMAT:FILE", name, strings.Join(Names(), ", "))
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("trace: %w", err)
	}
	defer f.Close()
	base := filepath.Base(path)
	return read(f, format, strings.TrimSuffix(strings.TrimSuffix(base, ".gz"), ".trace"), "the file "+base)
}

func read(r io.Reader, format, name, source string) (*Trace, error) {
	scan, ok := formats[format]
	if !ok {
		return nil, fmt.Errorf("trace %s: no format is called %q: give uint32, int64 or youtube", name, format)
	}
	in := bufio.NewReaderSize(r, 1<<16)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		unpacked, err := gzip.NewReader(in)
		if err != nil {
			return nil, fmt.Errorf("trace %s: %w", name, err)
		}
		in = bufio.NewReaderSize(unpacked, 1<<16)
	}
	t := &Trace{Name: name, Source: source}
	if err := scan(in, t); err != nil {
		return nil, fmt.Errorf("trace %s: request %d: %w", name, len(t.IDs)+1, err)
	}
	if len(t.IDs) == 0 {
		return nil, fmt.Errorf("trace %s: no request is in it", name)
	}
	return t, nil
}
