package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// What dev says of its settings, a shell can do, wherever the file is.
func TestShellFile(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"vidmeta.env", "sub/vidmeta.env", "./vidmeta.env", filepath.Join(dir, "vidmeta.env")} {
		path := name
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, name)
		}
		if err := os.WriteFile(path, []byte("NAME='"+name+"'\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		sh := exec.Command("sh", "-c", "set -a; . "+shellFile(name)+"; set +a; printf %s \"$NAME\"")
		sh.Dir = dir
		if out, err := sh.CombinedOutput(); err != nil || string(out) != name {
			t.Errorf("%s: %v: %s", name, err, out)
		}
	}
}
