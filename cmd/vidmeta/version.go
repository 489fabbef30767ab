package main

import (
	"fmt"
	"runtime/debug"
)

// versionCommand tells what this program was built from.
type versionCommand struct{}

// Run prints it.
func (versionCommand) Run(std streams) error {
	_, err := fmt.Fprintln(std.out, "vidmeta", version())
	return err
}

// version is that of the module, with the revision where the toolchain has noted one.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "(unknown)"
	}
	text := info.Main.Version
	if text == "" {
		text = "(devel)"
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			text += " " + s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			text += " modified"
		}
	}
	return text + " " + info.GoVersion
}
