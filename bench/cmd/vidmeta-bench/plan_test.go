package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"vidmeta/bench/run"
)

// parse reads a command line as the program does, in an environment that says nothing but what the test has it say.
func parse(t *testing.T, args ...string) *runCommand {
	t.Helper()
	var c cli
	parser, err := kong.New(&c, kong.Exit(func(int) { t.Error("the command line ended the program") }))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(args); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	return &c.Run
}

// unset takes variables out of the environment until the test's end.
func unset(t *testing.T, names ...string) {
	t.Helper()
	for _, name := range names {
		t.Setenv(name, "") // so that it is put back
		if err := os.Unsetenv(name); err != nil {
			t.Fatal(err)
		}
	}
}

func TestFlagsOverrideThePlan(t *testing.T) {
	unset(t, "VIDMETA_BENCH_MYSQL", "VIDMETA_BENCH_REDIS", "VIDMETA_MYSQLD")
	vidmeta := filepath.Join(t.TempDir(), "vidmeta")
	if err := os.WriteFile(vidmeta, nil, 0o755); err != nil {
		t.Fatal(err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		full bool
		want func(*run.Plan) // what differs from the short plan or the full one
	}{
		{"", false, func(*run.Plan) {}},
		{"run", false, func(*run.Plan) {}},
		{"--full", true, func(*run.Plan) {}},
		{"--scenario=zipf,cold", false, func(p *run.Plan) { p.Scenarios, p.Traces = []string{"zipf", "cold"}, nil }},
		{"--scenario=zipf --scenario=cold --trace=web12 --trace=youtube:f", false, func(p *run.Plan) {
			p.Scenarios, p.Traces = []string{"zipf", "cold"}, []string{"web12", "youtube:f"}
		}},
		{"--trace=orm-busy", false, func(p *run.Plan) { p.Traces = []string{"orm-busy"} }},
		{"--full --scenario=zipf", true, func(p *run.Plan) { p.Scenarios, p.Traces = []string{"zipf"}, nil }},
		{"--arm=mysql,redis", false, func(p *run.Plan) { p.Arms = []string{"mysql", "redis"} }},
		{"--arm=no-local+no-jitter,redis", false, func(p *run.Plan) { p.Arms = []string{"no-local+no-jitter", "redis"} }},
		{"--repeats=2 --measure=300ms --clients=7", false, func(p *run.Plan) {
			p.Repeats, p.Others, p.Measure, p.Clients = 2, 2, 300*time.Millisecond, 7
		}},
		{"--full --repeats=2", true, func(p *run.Plan) { p.Repeats, p.Others = 2, 2 }},
		{"--videos=200000", false, func(p *run.Plan) { p.Videos = 200_000 }},
		{"--videos=50", false, func(p *run.Plan) { p.Videos, p.Hot, p.Cold = 50, 50, 50 }},
		{"--skew=0 --writes=0", false, func(p *run.Plan) { p.Skew, p.Writes = 0, 0 }},
		{"--skew=1.2 --writes=0.5", false, func(p *run.Plan) { p.Skew, p.Writes = 1.2, 0.5 }},
		{"--shared-cpus", false, func(p *run.Plan) { p.Shared = true }},
		{"--empty-local", false, func(p *run.Plan) { p.Empty = true }},
		{"--profile", false, func(p *run.Plan) { p.Profile = true }},
		{"--mysql=DSN --redis=a:1,b:2", false, func(p *run.Plan) {
			p.Servers.MySQL, p.Servers.Redis = "DSN", []string{"a:1", "b:2"}
		}},
		{"--mysqld=/opt/mysqld", false, func(p *run.Plan) { p.Servers.MySQLD = "/opt/mysqld" }},
		{"--dir=elsewhere", false, func(p *run.Plan) {
			p.Out, p.Servers.Dir = filepath.Join("elsewhere", "logs"), filepath.Join("elsewhere", "servers")
		}},
	} {
		got, err := parse(t, append(strings.Fields(c.args), "--vidmeta="+vidmeta)...).plan()
		if err != nil {
			t.Errorf("%q: %v", c.args, err)
			continue
		}
		want := run.Short()
		if c.full {
			want = run.Full()
		}
		want.Program, want.Vidmeta = program, vidmeta
		want.Out, want.Servers.Dir = filepath.Join(".bench", "logs"), filepath.Join(".bench", "servers")
		c.want(&want)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q:\ngot  %+v\nwant %+v", c.args, got, want)
		}
	}
}

func TestPlanOfTheEnvironment(t *testing.T) {
	unset(t, "VIDMETA_MYSQLD")
	t.Setenv("VIDMETA_BENCH_MYSQL", "DSN")
	t.Setenv("VIDMETA_BENCH_REDIS", "a:1,b:2")
	p, err := parse(t, "--mysql=another", "--vidmeta="+os.Args[0]).plan()
	if err != nil || p.Servers.MySQL != "another" || !reflect.DeepEqual(p.Servers.Redis, []string{"a:1", "b:2"}) {
		t.Errorf("servers = %+v, %v; want the flag's MySQL and the environment's Redis", p.Servers, err)
	}
}

func TestPlanNeedsVidmeta(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	beside := filepath.Join(filepath.Dir(program), "vidmeta")
	_, err = parse(t).plan()
	if err == nil || !strings.Contains(err.Error(), "--vidmeta") || !strings.Contains(err.Error(), beside) {
		t.Errorf("error = %v, want one with the flag and %s", err, beside)
	}
}
