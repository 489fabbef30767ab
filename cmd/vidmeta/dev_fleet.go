package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/internal/stack"
)

// fleet is all that dev has started.
type fleet struct {
	servers  *stack.Stack
	nodes    []*child
	sidecars []*child

	envFile sync.Mutex // held while the environment file is written, so that of two restarts the later one writes last
}

// child is a node or a sidecar.
type child struct {
	*stack.Process
	admin string // host:port

	// settled says that it has been ready once. It is restarted while something else may be broken on purpose, and then
	// it is enough that it runs.
	settled atomic.Bool
}

const (
	childStop  = 5 * time.Second // for a node to answer what it has begun; then it is killed
	childProbe = 2 * time.Second
)

// launchFleet starts sidecars and nodes side by side, and waits until all are ready. On failure none is left running.
func launchFleet(ctx context.Context, p *plan, servers *stack.Stack, d *devCommand, c *cli) (*fleet, error) {
	if err := p.settle(servers.FreeAddr); err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	common := []string{
		"VIDMETA_MYSQL=" + servers.MySQL.DSN(devDatabase),
		"VIDMETA_REDIS=" + strings.Join(servers.Redis.Addrs(), ","),
		// What this machine's servers do not have, whatever the environment says of others.
		"VIDMETA_REDIS_USERNAME=", "VIDMETA_REDIS_PASSWORD=", "VIDMETA_ADMIN_TOKEN=",
		"VIDMETA_LOG_LEVEL=" + c.LogLevel.String(), "VIDMETA_LOG_FORMAT=" + c.LogFormat,
	}
	if c.Config != "" {
		path, err := filepath.Abs(string(c.Config))
		if err != nil {
			return nil, err
		}
		common = append(common, "VIDMETA_CONFIG="+path)
	}

	f := &fleet{servers: servers, nodes: make([]*child, d.Nodes), sidecars: make([]*child, d.Sidecars)}
	g, gctx := errgroup.WithContext(ctx)
	start := func(slot **child, kind string, i int, listen, admin string) {
		ch := &child{admin: callable(admin)}
		path := "/readyz"
		if d.Sidecars == 0 {
			path = "/livez" // a node that is told of no changes never calls itself ready
		}
		command := stack.Command{
			Name: fmt.Sprintf("%s-%d", kind, i+1), Path: program, Args: []string{"serve"},
			Env:   append(common[:len(common):len(common)], "VIDMETA_LISTEN="+listen, "VIDMETA_ADMIN_LISTEN="+admin),
			Addr:  callable(listen),
			Ready: func(ctx context.Context) error { return ch.probe(ctx, path) },
		}
		if kind == "sidecar" {
			command.Args, command.Addr = []string{"sidecar"}, ch.admin
		}
		command.Log = servers.LogFile(command.Name)
		g.Go(func() (err error) {
			if ch.Process, err = stack.Launch(gctx, command); err != nil {
				return err
			}
			ch.settled.Store(true)
			*slot = ch
			return nil
		})
	}
	for i := range f.sidecars {
		start(&f.sidecars[i], "sidecar", i, "", p.sidecarAdmins[i])
	}
	for i := range f.nodes {
		start(&f.nodes[i], "node", i, p.nodes[i], p.nodeAdmins[i])
	}
	if err := g.Wait(); err != nil {
		f.stop()
		return nil, err
	}
	return f, nil
}

// probe asks the child's admin listener.
func (ch *child) probe(ctx context.Context, path string) error {
	if ch.settled.Load() {
		path = "/livez"
	}
	ctx, cancel := context.WithTimeout(ctx, childProbe)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+ch.admin+path, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", path, resp.Status)
	}
	return nil
}

// stop ends nodes and sidecars, but not the servers. Those that do not end in time are killed.
func (f *fleet) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), childStop)
	defer cancel()
	var wg sync.WaitGroup
	for _, ch := range f.children() {
		wg.Go(func() { _ = ch.Stop(ctx) }) // what cannot be signalled ends with this process
	}
	wg.Wait()
}

// children returns nodes and sidecars, as far as they have been started.
func (f *fleet) children() []*child {
	var all []*child
	for _, ch := range append(f.nodes[:len(f.nodes):len(f.nodes)], f.sidecars...) {
		if ch != nil {
			all = append(all, ch)
		}
	}
	return all
}

// processes returns all that run: the database, Redis, nodes, sidecars.
func (f *fleet) processes() []*stack.Process {
	all := f.servers.Processes()
	for _, ch := range f.children() {
		all = append(all, ch.Process)
	}
	return all
}
