package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// programEnv makes the test binary the program itself, and so are the arms that it starts.
const programEnv = "VIDMETA_BENCH_TEST_IS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		main()
		return
	}
	stacktest.Main(m)
}

// program is a call of vidmeta-bench.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, out, errs *bytes.Buffer) {
	t.Helper()
	cmd = exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Env = append(os.Environ(), programEnv+"=1")
	cmd.WaitDelay = 10 * time.Second
	out, errs = new(bytes.Buffer), new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = out, errs
	return cmd, out, errs
}

// tiny are the flags of a run on the shared servers, which measures what HTTP costs and nothing else.
func tiny(t *testing.T, dir string) []string {
	t.Helper()
	vidmeta := filepath.Join(dir, "vidmeta")
	if err := os.WriteFile(vidmeta, nil, 0o755); err != nil { // no arm of these needs it
		t.Fatal(err)
	}
	return []string{
		"--scenario=handler", "--arm=constant-http,constant-echo", "--measure=100ms", "--repeats=1", "--videos=10", "--clients=4",
		"--mysql=" + stacktest.Database(t, stack.MariaDB), "--redis=" + strings.Join(stacktest.Redis(t), ","),
		"--dir=" + dir, "--vidmeta=" + vidmeta,
	}
}

func TestProgramMeasures(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "report.svg"), []byte("<svg/>"), 0o644); err != nil { // of an earlier run
		t.Fatal(err)
	}
	cmd, out, errs := program(t, append(tiny(t, dir), "--fail-below")...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	for _, want := range []string{"constant-http", "constant-echo"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report lacks %s:\n%s", want, out)
		}
	}
	if !strings.Contains(errs.String(), filepath.Join(dir, "report.html")) {
		t.Errorf("it does not say where the report is: %s", errs)
	}
	allForms(t, dir, false)
}

// A run that is cut short leaves a report that says so, and the README as it was; before anything is measured, what an
// earlier run has left.
func TestProgramIsInterrupted(t *testing.T) {
	for _, c := range []struct {
		name, flag, arm string // whose log shows how far the run is
		measured        bool
	}{
		{"with something measured", "--repeats=1000", "constant-http", true},
		{"before anything is", "--measure=1m", "constant-echo", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			readme, text := filepath.Join(dir, "README.md"), first+"\nthe table of a whole run\n"+last+"\n"
			earlier := filepath.Join(dir, "report.md")
			for path, text := range map[string]string{readme: text, earlier: "# of an earlier run"} {
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd, out, errs := program(t, append(tiny(t, dir), c.flag, "--readme="+readme)...)
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			stacktest.WaitFor(t, time.Minute, func() error {
				_, err := os.Stat(filepath.Join(dir, "logs", "handler-"+c.arm+".log"))
				return err
			})
			if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
				t.Fatal(err)
			}
			if err := cmd.Wait(); err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "vidmeta-bench: ") {
				t.Errorf("it ended with %v, want status 1: %s", err, errs)
			}
			if after, err := os.ReadFile(readme); err != nil || string(after) != text {
				t.Errorf("the README became %q, %v", after, err)
			}
			if c.measured {
				allForms(t, dir, false)
				if !strings.Contains(out.String(), "cut short") {
					t.Errorf("it does not say that this is not all: %q", out)
				}
			} else if after, err := os.ReadFile(earlier); err != nil || string(after) != "# of an earlier run" {
				t.Errorf("the earlier report became %q, %v", after, err)
			}
		})
	}
}

func TestProgramRefuses(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "odd.json")
	if err := os.WriteFile(odd, []byte("{}"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, says string
		args       []string
	}{
		{"a flag that is not there", "--sceanrio", []string{"--sceanrio=zipf"}},
		{"no repeats", "0 repeats", append(tiny(t, dir), "--repeats=0")},
		{"no report but JSON", "no report", []string{"report", odd}},
		{"an arm that is not there", `"oracle"`, append(tiny(t, dir), "--arm=oracle")},
		{"no program vidmeta", "--vidmeta", append(tiny(t, dir), "--vidmeta="+filepath.Join(dir, "nowhere"))},
		{"a README without a place", first, append(tiny(t, dir), "--readme="+filepath.Join(dir, "vidmeta"))},
		{"no report", "nowhere.json", []string{"report", filepath.Join(dir, "nowhere.json")}},
	} {
		cmd, _, errs := program(t, c.args...)
		if err := cmd.Run(); err == nil || !strings.Contains(errs.String(), c.says) {
			t.Errorf("%s: %v, said %q", c.name, err, errs)
		}
	}
}

func TestProgramListsArms(t *testing.T) {
	cmd, out, errs := program(t, "arms")
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs)
	}
	for _, arm := range []string{"mysql ", "vidmeta ", "rockscache ", "varnish "} {
		if !strings.Contains("\n"+out.String(), "\n"+arm) {
			t.Errorf("no line for %s:\n%s", arm, out)
		}
	}
}
