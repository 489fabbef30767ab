package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	kongyaml "github.com/alecthomas/kong-yaml"
	"gopkg.in/yaml.v3"
)

// file is a configuration file. To kong it is a resolver.
type file struct {
	name   string
	keys   []string // of all values, those of nested maps joined with dashes
	values kong.Resolver
}

// loadFile reads a YAML file.
func loadFile(r io.Reader) (kong.Resolver, error) {
	f := &file{name: "the configuration file"}
	if named, ok := r.(*os.File); ok {
		f.name = named.Name()
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, err
	}
	if f.values, err = kongyaml.Loader(bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("%s: %w", f.name, err)
	}
	f.keys = leaves(tree, "", nil)
	return f, nil
}

func leaves(tree map[string]any, prefix string, keys []string) []string {
	for key, value := range tree {
		if below, ok := value.(map[string]any); ok {
			keys = leaves(below, prefix+key+"-", keys)
		} else {
			keys = append(keys, prefix+key)
		}
	}
	return keys
}

// Validate refuses keys that no command knows: they are slips.
func (f *file) Validate(app *kong.Application) error {
	known := make(map[string]bool)
	for _, flag := range app.Flags {
		known[flag.Name] = true
	}
	for _, command := range app.Children {
		known[command.Name] = true // with nothing below it
		for _, flag := range command.Flags {
			known[flag.Name], known[command.Name+"-"+flag.Name] = true, true
		}
	}
	var unknown []string
	for _, key := range f.keys {
		if !known[key] {
			unknown = append(unknown, key)
		}
	}
	if len(unknown) == 0 {
		return nil
	}
	slices.Sort(unknown)
	return fmt.Errorf("%s: no setting is called %s", f.name, strings.Join(unknown, " or "))
}

// Resolve returns what the file says of a flag, first for the command and then for all. kong asks after it has looked at
// the environment, and would let the file win.
func (f *file) Resolve(ctx *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, set := os.LookupEnv(env); set {
			return nil, nil
		}
	}
	for _, path := range []*kong.Path{parent, ctx.Path[0]} {
		value, err := f.values.Resolve(ctx, path, flag)
		if err != nil {
			return nil, err
		}
		switch value.(type) {
		case nil:
			continue
		case map[string]any:
			return nil, errors.New("a single value or a list is wanted, not a map")
		case []any:
			return value, nil
		}
		return fmt.Sprint(value), nil // kong's own errors about types would print the value, which may be a secret
	}
	return nil, nil
}
