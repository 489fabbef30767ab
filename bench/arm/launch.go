package arm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"vidmeta/cache"
	"vidmeta/internal/stack"
)

const (
	stopTimeout  = 5 * time.Second // to answer what has begun; then it is killed
	probeTimeout = 2 * time.Second
	flushTimeout = 10 * time.Second
)

// Launcher starts arms. All fields are required, as far as the arms that it starts need them.
type Launcher struct {
	// Program is how the benches' own program is called as an arm: its path, and the words before the arm's name.
	Program []string
	// Vidmeta is the path of the program vidmeta.
	Vidmeta string
	// Settings are what all arms are told. Name, Listen and Admin are of no account.
	Settings Settings
}

// Roles of processes.
const (
	RoleArm     = "arm"     // the Go program that answers, or that a proxy asks
	RoleSidecar = "sidecar" // of vidmeta
	RoleProxy   = "proxy"   // nginx or Varnish
)

// Running is an arm that runs. Its methods may be called from several goroutines.
type Running struct {
	// URL is what goes before /v1/videos/.
	URL string
	// Admin is the host:port of the Go program, which has /debug/pprof; of a proxy's arm it is that of the program behind.
	Admin string

	settings Settings
	log      string
	home     *stack.Stack // without servers: ports, and a folder
	procs    map[string]*stack.Process
	releases []func() // of guards
	tiers    func(context.Context) (map[string]int64, error)
	fill     func(ctx context.Context, videos int) error // nil where there is nothing to fill
}

// Start starts all processes of the arm on free loopback ports and waits until
// they are ready. What they print is appended to the file log. The database must have been migrated. On failure nothing is
// left running, and the error ends with the last lines of the log. ctx bounds the start alone; should this process be
// killed, so are those of the arm.
func (l *Launcher) Start(ctx context.Context, name, log string) (r *Running, err error) {
	kind, err := Find(name)
	if err != nil {
		return nil, err
	}
	if err := kind.Installed(); err != nil {
		return nil, err
	}
	r = &Running{settings: l.Settings, log: log, procs: map[string]*stack.Process{}}
	r.settings.Name = name
	if err := r.settings.validate(); err != nil {
		return nil, fmt.Errorf("arm %s: %w", name, err)
	}
	quiet()
	if r.home, err = stack.Start(ctx, stack.Config{}); err != nil {
		return nil, fmt.Errorf("arm %s: %w", name, err)
	}
	start := kind.start
	if start == nil {
		start = startGo
	}
	if err := start(ctx, l, r); err != nil {
		return nil, errors.Join(fmt.Errorf("arm %s: %w", name, err), r.Stop(context.WithoutCancel(ctx)))
	}
	return r, nil
}

// Pids returns the ids of the processes that run now, by role.
func (r *Running) Pids() map[string][]int {
	pids := make(map[string][]int, len(r.procs))
	for role, p := range r.procs {
		pids[role] = family(p.Pid())
	}
	return pids
}

// Tiers returns how many reads have been answered by each tier since the start: "local", "redis", "origin", "proxy", as far
// as the arm has them. Reads that waited for the load of another count for where that came from; where a library does not
// tell, for Redis. Call it between loads: while requests keep coming, Varnish is slow to say and says too little.
func (r *Running) Tiers(ctx context.Context) (map[string]int64, error) {
	tiers, err := r.tiers(ctx)
	if err != nil {
		return nil, fmt.Errorf("arm %s: ask for its counters: %w", r.settings.Name, err)
	}
	return tiers, nil
}

// Stop ends all processes of the arm and waits until they are gone. Those that take longer than a few seconds, or than
// ctx, are killed. Further calls do nothing.
func (r *Running) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	var g errgroup.Group
	for _, p := range r.procs {
		g.Go(func() error { return p.Stop(ctx) })
	}
	err := g.Wait()
	for _, release := range r.releases {
		release()
	}
	r.releases = nil
	return errors.Join(err, r.home.Close())
}

// Flush empties Redis: FLUSHALL on every master. What arms have put there outlives them otherwise, for each to find its own.
func (l *Launcher) Flush(ctx context.Context) error {
	if len(l.Settings.Redis) == 0 {
		return nil
	}
	client, err := cache.NewClient(cache.ClientConfig{Addrs: l.Settings.Redis, Timeout: flushTimeout})
	if err != nil {
		return err
	}
	defer client.Close()
	err = client.ForEachMaster(ctx, func(ctx context.Context, master *redis.Client) error { return master.FlushAll(ctx).Err() })
	if err != nil {
		return fmt.Errorf("empty Redis: %w", err)
	}
	return nil
}

// startGo starts an arm that is one Go program.
func startGo(ctx context.Context, l *Launcher, r *Running) error {
	if err := r.startProgram(ctx, l, r.settings.Name); err != nil {
		return err
	}
	r.URL = "http://" + r.procs[RoleArm].Addr()
	r.tiers = r.counters
	if kind, err := Find(r.settings.Name); err == nil && slices.Contains(kind.Needs, "redis") {
		r.fill = r.fillProgram
	}
	return nil
}

// startProgram starts the Go arm of that name, as the process that answers.
func (r *Running) startProgram(ctx context.Context, l *Launcher, name string) error {
	if len(l.Program) == 0 {
		return errors.New("Launcher.Program is not set")
	}
	s := r.settings
	s.Name = name
	var err error
	if s.Listen, err = r.home.FreeAddr(); err != nil {
		return err
	}
	if s.Admin, err = r.home.FreeAddr(); err != nil {
		return err
	}
	r.Admin = s.Admin
	return r.launch(ctx, RoleArm, stack.Command{
		Path: l.Program[0], Args: append(l.Program[1:len(l.Program):len(l.Program)], s.args()...), Addr: s.Listen,
		Ready: func(ctx context.Context) error { return probe(ctx, s.Admin, countersPath) },
	})
}

// launch starts a process of the arm and waits until it is ready.
func (r *Running) launch(ctx context.Context, role string, c stack.Command) error {
	c.Name, c.Log = r.settings.Name+"'s "+role, r.log
	p, err := stack.Launch(ctx, c)
	if err != nil {
		return err
	}
	r.procs[role] = p
	return nil
}

// counters asks a Go arm.
func (r *Running) counters(ctx context.Context) (map[string]int64, error) {
	var tiers map[string]int64
	err := get(ctx, r.Admin, countersPath, func(res *http.Response) error {
		return json.NewDecoder(res.Body).Decode(&tiers)
	})
	delete(tiers, "failed")
	return tiers, err
}

// probe returns nil if a GET is answered with 200.
func probe(ctx context.Context, addr, path string) error {
	return get(ctx, addr, path, func(*http.Response) error { return nil })
}

// get hands a response with 200 to read.
func get(ctx context.Context, addr, path string, read func(*http.Response) error) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+path, nil)
	if err != nil {
		return err
	}
	req.Close = true // an arm that is to stop need not wait for an idle connection
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", path, res.Status)
	}
	return read(res)
}
