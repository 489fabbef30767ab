// Package vidmeta holds the rules that the compiler does not know.
package vidmeta

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

// allowed says which packages of this module each package may import, tests aside.
var allowed = map[string]struct {
	imports []string
	reason  string
}{
	"schema":                   {nil, "the vocabulary depends on nobody"},
	"cache":                    {[]string{"schema", "internal/seldom"}, "siblings do not know each other: cmd connects them"},
	"canal":                    {[]string{"schema", "internal/seldom"}, "siblings do not know each other: cmd connects them"},
	"api":                      {[]string{"schema"}, "siblings do not know each other: cmd connects them"},
	"internal/audit":           {[]string{"schema", "cache", "internal/seldom"}, "it compares what cache holds with what schema loads"},
	"internal/migrate":         {[]string{"schema", "internal/mysqldb"}, "it applies the schema's migrations"},
	"internal/mysqldb":         {nil, "it knows how to open a database, not what is in it"},
	"internal/progress":        {nil, "it shows how far anything is"},
	"internal/seldom":          {nil, "it counts failures of anything"},
	"internal/model":           {nil, "it is a model of the service, not a part of it"},
	"internal/seed":            {[]string{"schema"}, "it writes rows as any program would"},
	"internal/history":         {nil, "it knows what was seen of the service, not the service"},
	"internal/e2e":             {nil, "it sees the service from outside; its tests may import what they like"},
	"internal/stack":           {nil, "it runs other people's servers"},
	"internal/stack/stacktest": {[]string{"internal/stack"}, "it gives tests those servers"},
	"bench/result":             {nil, "the vocabulary of the benches depends on nobody"},
	"bench/load":               {[]string{"bench/result"}, "siblings do not know each other: run connects them"},
	"bench/cores":              {nil, "it knows processors, not who runs on them"},
	"bench/gauge":              {[]string{"bench/result"}, "siblings do not know each other: run connects them"},
	"bench/arm": {[]string{"schema", "cache", "internal/mysqldb", "internal/stack"},
		"siblings do not know each other: run connects them"},
	"bench/run": {[]string{"bench/arm", "bench/cores", "bench/gauge", "bench/load", "bench/result", "bench/trace",
		"cache", "internal/migrate", "internal/mysqldb", "internal/seed", "internal/stack"}, "it puts the parts of the benches together"},
	"bench/trace":  {[]string{"bench/result"}, "siblings do not know each other: run connects them"},
	"bench/report": {[]string{"bench/result"}, "siblings do not know each other: run connects them"},
}

type source struct {
	path string
	file *ast.File
	fset *token.FileSet
	test bool
}

func sources(t *testing.T) (all []source) {
	t.Helper()
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if filepath.Ext(p) != ".go" {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		all = append(all, source{path: filepath.ToSlash(p), file: f, fset: fset, test: strings.HasSuffix(p, "_test.go")})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func imports(f *ast.File) (paths []string) {
	for _, i := range f.Imports {
		paths = append(paths, strings.Trim(i.Path.Value, `"`))
	}
	return paths
}

func TestImports(t *testing.T) {
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		rule, ruled := allowed[dir]
		for _, i := range imports(s.file) {
			local, ours := strings.CutPrefix(i, "vidmeta/")
			if !s.test && i == "testing" && !strings.HasSuffix(dir, "test") {
				t.Errorf("%s imports testing: programs would link it", s.path)
			}
			if strings.HasSuffix(i, "/promauto") {
				t.Errorf("%s imports promauto: metrics hang on a registry that cmd makes", s.path)
			}
			if s.test || !ours || !ruled {
				continue
			}
			ok := false
			for _, a := range rule.imports {
				ok = ok || a == local
			}
			if !ok {
				t.Errorf("%s imports %s: %s", s.path, local, rule.reason)
			}
		}
	}
}

func TestEveryPackageIsRuled(t *testing.T) {
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		if _, ruled := allowed[dir]; !s.test && !ruled && !strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(dir, "bench/cmd/") {
			t.Errorf("%s: no rule says what this package may import", s.path)
		}
	}
}

func TestPackageComments(t *testing.T) {
	said, seen := map[string]int{}, map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		if s.test && dir != "." {
			continue
		}
		seen[dir] = true
		if s.file.Doc != nil {
			said[dir]++
		}
	}
	for dir := range seen {
		if said[dir] != 1 {
			t.Errorf("%s has %d package comments, want one that says what it is", dir, said[dir])
		}
	}
}

func TestNoSleepInTests(t *testing.T) {
	for _, s := range sources(t) {
		if !s.test {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" && sel.Sel.Name == "Sleep" {
				t.Errorf("%s sleeps: wait for what you are waiting for", s.fset.Position(n.Pos()))
			}
			return true
		})
	}
}
