// Package arm holds the ways to serve GET /v1/videos/{id} that the benches compare. Each is a child process, or a few: the
// service itself, with and without its mechanisms, caches as anybody would write them, libraries used as their own
// documentation has it, and proxies that cache.
//
// A [Launcher] starts an arm and stops it. Arms that are written in Go run in the benches' own program, called anew, in
// [Serve].
package arm

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"slices"
	"strings"
)

// Kind is one way to serve.
type Kind struct {
	Name  string   // as on the command line
	About string   // a line: what it is made of
	Needs []string // out of "mysql", "redis", "sidecar", "nginx", "varnish"
	// Keeps says that what is kept in the process ends when it is told of a change, and not by a TTL of seconds.
	Keeps bool

	// handler makes what Serve serves; nil for what is no Go arm.
	handler func(*parts) (http.Handler, error)
	// start starts the processes; nil for those that are a Go arm and nothing else.
	start func(context.Context, *Launcher, *Running) error
}

// Kinds returns all arms, in the order of reports.
func Kinds() []Kind {
	origin, cached, whole := []string{"mysql"}, []string{"mysql", "redis"}, []string{"mysql", "redis", "sidecar"}
	kinds := []Kind{
		{Name: "constant-http", About: "bare net/http, one constant answer of 1 KB", handler: constantHTTP},
		{Name: "constant-echo", About: "Echo, one constant answer of 1 KB", handler: constantEcho},
		{Name: "mysql", About: "every request is one statement in MySQL", Needs: origin, handler: documents(fromMySQL)},
		{Name: "redis", About: "Redis Cluster with a TTL, then MySQL", Needs: cached, handler: documents(fromRedis)},
		{Name: "local", About: "Ristretto with a TTL, then MySQL", Needs: origin, handler: documents(fromLocal)},
		{
			Name: "vidmeta", About: "Ristretto, Redis Cluster, MySQL, and the sidecar",
			Needs: whole, Keeps: true, start: startVidmeta(nil),
		},
	}
	for _, m := range mechanisms {
		kinds = append(kinds, reduced(m.name, []string{m.name}, []string{m.about}))
	}
	return append(kinds,
		Kind{
			Name: "rockscache", About: "dtm-labs/rockscache v0.1.1: Redis Cluster",
			Needs: cached, handler: documents(fromRockscache),
		},
		Kind{
			Name: "jetcache-go", About: "mgtv-tech/jetcache-go v1.2.6: FreeCache, Redis Cluster",
			Needs: cached, handler: documents(fromJetcache),
		},
		Kind{
			Name: "gocache", About: "eko/gocache v4.2.0: Ristretto, Redis Cluster",
			Needs: cached, handler: documents(fromGocache),
		},
		Kind{
			Name: "go-zero", About: "zeromicro/go-zero v1.8.3 core/stores/cache: Redis Cluster",
			Needs: cached, handler: documents(fromGoZero),
		},
		Kind{Name: "nginx", About: "nginx with proxy_cache before mysql", Needs: []string{"mysql", "nginx"}, start: startNginx},
		Kind{Name: "varnish", About: "Varnish before mysql", Needs: []string{"mysql", "varnish"}, start: startVarnish},
	)
}

// Find returns the arm of that name. Names of vidmeta without something may be joined by plus signs, as in
// "no-local+no-jitter": then it does without all of them.
func Find(name string) (Kind, error) {
	kinds := Kinds()
	at := func(name string) int { return slices.IndexFunc(kinds, func(k Kind) bool { return k.Name == name }) }
	if i := at(name); i >= 0 {
		return kinds[i], nil
	}
	parts := strings.Split(name, "+")
	var abouts []string
	for _, part := range parts {
		i := slices.IndexFunc(mechanisms, func(m mechanism) bool { return m.name == part })
		if i < 0 {
			var names []string
			for _, k := range kinds {
				names = append(names, k.Name)
			}
			return Kind{}, fmt.Errorf("arm %q: there are %s", name, strings.Join(names, ", "))
		}
		abouts = append(abouts, mechanisms[i].about)
	}
	return reduced(name, parts, abouts), nil
}

// reduced is vidmeta without some mechanisms. Without a sidecar what is kept is not vouched for after Settings.TTL.
func reduced(name string, without, abouts []string) Kind {
	k := Kind{
		Name: name, About: "vidmeta without " + strings.Join(abouts, " and "), Needs: []string{"mysql", "redis"},
		start: startVidmeta(without),
	}
	sidecar := !slices.Contains(without, noSidecar)
	if sidecar {
		k.Needs = append(k.Needs, "sidecar")
	}
	k.Keeps = sidecar && !slices.Contains(without, noLocal)
	return k
}

// Installed returns an error that says what to do if a program that the arm needs is missing on this machine.
func (k Kind) Installed() error {
	for _, need := range k.Needs {
		for _, program := range programs[need] {
			if _, err := findProgram(program); err != nil {
				return fmt.Errorf("arm %s: %w", k.Name, err)
			}
		}
	}
	return nil
}

// programs are what some needs stand for.
var programs = map[string][]string{"nginx": {"nginx"}, "varnish": {"varnishd", "varnishstat"}}

// findProgram looks on the path and, for servers, where a plain user's path does not lead.
func findProgram(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err == nil {
		return path, nil
	}
	if path, err := exec.LookPath("/usr/sbin/" + name); err == nil {
		return path, nil
	}
	return "", fmt.Errorf("%w (scripts/install.sh bench installs it)", err)
}
