// Package report makes of what the benches have measured what people read: JSON, Markdown, a page with charts, a picture.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"
	"strconv"

	"vidmeta/bench/result"
)

// The scenarios and arms that headlines are about, by the names that the program gives them.
const (
	Handler = "handler" // what HTTP itself costs
	Zipf    = "zipf"    // the main one: skewed reads, writes meanwhile
	Batch   = "batch"   // a document a request, and a hundred
	Cold    = "cold"    // what fills empty caches: of its runs Warm counts
	Vidmeta = "vidmeta" // the arm that all is about
)

// Write writes r as indented JSON, with what tables and charts show and no more: curves and timelines that no chart draws
// are taken out of r, and figures rounded to six digits. JSON has no word for what is not a number; such figures become 0,
// as those have that were not measured.
func Write(w io.Writer, r *result.Report) error {
	tidy(reflect.ValueOf(r)) // first, as figures that are rounded may choose other repeats to draw
	trim(r)
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}

// Read reads a file that Write has written.
func Read(path string) (*result.Report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := new(result.Report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("report: %s is no report of vidmeta-bench: %w", path, err)
	}
	if len(r.Scenarios)+len(r.Traces) == 0 {
		return nil, fmt.Errorf("report: %s is no report of vidmeta-bench: it has no scenario", path)
	}
	return r, nil
}

// tidy rounds floats in all that v leads to, and sets those that are no numbers to 0.
func tidy(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			tidy(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			tidy(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			tidy(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			at := reflect.New(v.Type().Elem()).Elem() // what is in a map cannot be set there
			at.Set(v.MapIndex(key))
			tidy(at)
			v.SetMapIndex(key, at)
		}
	case reflect.Float64:
		if v.CanSet() {
			v.SetFloat(rounded(v.Float()))
		}
	}
}

// rounded is f with six digits, or 0 if it is no number.
func rounded(f float64) float64 {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return 0
	}
	short, err := strconv.ParseFloat(strconv.FormatFloat(f, 'g', 6, 64), 64)
	if err != nil {
		return f // at the end of the range, where rounding leads out of it
	}
	return short
}
