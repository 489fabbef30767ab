// Package report makes of what the benches have measured what people read: JSON, Markdown, a page with charts, a picture.
package report

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"reflect"

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

// Write writes r as indented JSON. JSON has no word for what is not a number; such figures become 0 in r, as those have
// that were not measured.
func Write(w io.Writer, r *result.Report) error {
	makeFinite(reflect.ValueOf(r))
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
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
	return r, nil
}

// makeFinite sets floats that are no numbers to 0 in all that v leads to.
func makeFinite(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			makeFinite(v.Elem())
		}
	case reflect.Struct:
		for i := range v.NumField() {
			makeFinite(v.Field(i))
		}
	case reflect.Slice:
		for i := range v.Len() {
			makeFinite(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			at := reflect.New(v.Type().Elem()).Elem() // what is in a map cannot be set there
			at.Set(v.MapIndex(key))
			makeFinite(at)
			v.SetMapIndex(key, at)
		}
	case reflect.Float64:
		if f := v.Float(); v.CanSet() && (math.IsNaN(f) || math.IsInf(f, 0)) {
			v.SetFloat(0)
		}
	}
}
