package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"vidmeta/cache"
	"vidmeta/internal/audit"
	"vidmeta/internal/stack/stacktest"
)

// codeOf is the exit code that an error leads to.
func codeOf(err error) int {
	if err == nil {
		return 0
	}
	return exitCode(err)
}

// TestAudit compares a node and a sidecar that audits by itself, finds them well, and then finds what it has planted.
func TestAudit(t *testing.T) {
	dsn := stacktest.Database(t, stacktest.Flavors(t)[0])
	mustRun(t, "migrate", "--mysql", dsn)
	mustRun(t, "seed", "--mysql", dsn, "--videos", "50")
	shared := []string{"--mysql", dsn, "--redis", strings.Join(stacktest.Redis(t), ","), "--namespace", "audit", "--admin-token", "s3cret"}
	node := startProgram(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"}, shared...)...)
	listen, admin := node.addrs(t)
	sidecar := startProgram(t, append([]string{"sidecar", "--admin-listen", "127.0.0.1:0", "--audit-interval", "1s", "--audit-node", admin}, shared...)...)
	_, sidecarAdmin := sidecar.addrs(t)
	run := func(ctx context.Context, log io.Writer, args ...string) (*audit.Report, error) {
		t.Helper()
		var out bytes.Buffer
		err := run(ctx, slices.Concat([]string{"audit", "--json", "--samples", "100", "--rate", "1000"}, shared, args), &out, log)
		r := &audit.Report{}
		if err := json.Unmarshal(out.Bytes(), r); out.Len() > 0 && err != nil {
			t.Fatalf("%v: %s", err, &out)
		}
		return r, err
	}
	read := func() error { // until they are there, and again before they have left
		for id := 1; id <= 50; id++ {
			status, body, err := get(fmt.Sprintf("http://%s/v1/videos/%d", listen, id))
			if err != nil || status != http.StatusOK {
				return fmt.Errorf("%d %s: %w", status, body, err)
			}
		}
		return nil
	}
	stacktest.WaitFor(t, patience, read)

	mustExec(t, openDB(t, dsn), "UPDATE videos SET title = 'changed' WHERE id <= 10")
	stacktest.WaitFor(t, patience, func() error {
		if err := read(); err != nil {
			return err
		}
		r, err := run(t.Context(), io.Discard, "--node", admin)
		if err != nil {
			t.Fatalf("%v: %+v", err, r)
		}
		if r.Tiers[0].Compared == 0 || r.Tiers[1].Compared < 20 || r.Picked.Held == 0 || r.Picked.Recent == 0 {
			return fmt.Errorf("%+v", r)
		}
		return nil
	})
	if out := mustRun(t, slices.Concat([]string{"audit", "--samples", "10", "--node", "http://" + admin + "/"}, shared)...); !strings.Contains(out, "redis") {
		t.Error(out)
	}
	if r, err := run(t.Context(), io.Discard, "--node", admin, "--node", "127.0.0.1:1"); codeOf(err) != 2 || r.Tiers[1].Compared == 0 || !strings.Contains(err.Error(), "http://127.0.0.1:1 could not be asked") {
		t.Errorf("a node is away: %v: %+v", err, r)
	}
	if _, err := run(t.Context(), io.Discard, "--node", admin, "--admin-token", "wrong"); codeOf(err) != 2 || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := run(t.Context(), io.Discard, "--rate", "0"); codeOf(err) != 2 || !strings.Contains(err.Error(), "--rate") {
		t.Errorf("a wrong setting: %v", err)
	}

	plant(t, "audit", 7)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	log, done := &buffer{}, make(chan error, 1)
	var r *audit.Report
	go func() {
		var err error
		r, err = run(ctx, log) // and without nodes
		done <- err
	}()
	stacktest.WaitFor(t, patience, func() error {
		if !strings.Contains(log.String(), "outlived=10s") {
			return errors.New("nothing has lasted yet: " + log.String())
		}
		return nil
	})
	cancel()
	err := <-done
	if codeOf(err) != 1 || len(r.Lasting) != 1 {
		t.Fatalf("%v: %+v", err, r)
	}
	if f := r.Lasting[0]; f.ID != 7 || f.Tier != "redis" || f.Kind != "older" || f.Outlived != "10s" || !f.Untrue {
		t.Errorf("%+v", f)
	}
	// The sidecar has come upon it by itself, being one document of fifty.
	waitMetric := func(series string) {
		t.Helper()
		stacktest.WaitFor(t, patience, func() error {
			req, err := http.NewRequest(http.MethodGet, "http://"+sidecarAdmin+"/metrics", nil)
			if err != nil {
				return err
			}
			req.Header.Set("Authorization", "Bearer s3cret")
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer res.Body.Close()
			text, err := io.ReadAll(res.Body)
			if err == nil && (!strings.Contains(string(text), series+" ") || strings.Contains(string(text), series+" 0\n")) {
				err = fmt.Errorf("no %s in %s", series, text)
			}
			return err
		})
	}
	waitMetric(`vidmeta_audit_samples_total{tier="redis"}`)
	waitMetric("vidmeta_audit_last_run_timestamp_seconds")
	waitMetric(`vidmeta_audit_disagreements_total{outlived="1s",tier="redis"}`)
	node.stop(t)
	sidecar.stop(t)
}

// plant writes an older version of a document into Redis, as nobody should.
func plant(t *testing.T, namespace string, id int) {
	t.Helper()
	client, err := cache.NewClient(cache.ClientConfig{Addrs: stacktest.Redis(t), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	epoch, err := client.HGet(t.Context(), "{"+namespace+":feed}:state", "epoch").Result()
	if err != nil {
		t.Fatal(err)
	}
	key := fmt.Sprintf("%s:%s:{video:%d}", namespace, epoch, id)
	text, err := client.Get(t.Context(), key).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	e, err := cache.ParseEnvelope(text)
	if err != nil {
		t.Fatal(err)
	}
	e.Version--
	if err := client.Set(t.Context(), key, e.Append(nil), time.Hour).Err(); err != nil {
		t.Fatal(err)
	}
}

func TestVerdictOfAudit(t *testing.T) {
	tiers := func(compared, after1s, after10s, followed int) []audit.TierReport {
		return []audit.TierReport{{Tier: "local", After: []audit.AgeReport{{Outlived: "60s"}}}, {Tier: "redis", Compared: compared, After: []audit.AgeReport{
			{Outlived: "0s", Compared: compared, Disagreed: 5}, {Outlived: "1s", Compared: compared, Disagreed: after1s},
			{Outlived: "10s", Compared: compared, Disagreed: after10s}, {Outlived: "60s", Compared: followed},
		}}}
	}
	well := []audit.PartyReport{{Name: "mysql", Asked: 9, Unanswered: 2}}
	away := []audit.PartyReport{{Name: "mysql", Asked: 9}, {Name: "redis", Asked: 2, Unanswered: 2, Error: "cut off"}}
	for name, c := range map[string]struct {
		report audit.Report
		err    error
		want   int
		says   string
	}{
		"well":                      {audit.Report{Tiers: tiers(9, 0, 0, 9), Asked: well}, nil, 0, ""},
		"for a second":              {audit.Report{Tiers: tiers(9, 2, 0, 9), Asked: well}, nil, 0, ""},
		"for ten seconds":           {audit.Report{Tiers: tiers(9, 2, 1, 9), Asked: well}, nil, 1, "1 disagreements outlived 10 s"},
		"for ten seconds, and away": {audit.Report{Tiers: tiers(9, 2, 1, 9), Asked: away}, context.Canceled, 1, "canceled"},
		"away":                      {audit.Report{Tiers: tiers(9, 0, 0, 9), Asked: away}, nil, 2, "redis could not be asked: cut off"},
		"interrupted":               {audit.Report{Tiers: tiers(9, 2, 0, 9), Asked: well}, context.Canceled, 2, "canceled"},
		"lost sight of one":         {audit.Report{Tiers: tiers(9, 2, 0, 8), Asked: well}, nil, 2, "1 disagreements could not be followed"},
	} {
		err := verdictOf(&c.report, c.err)
		if codeOf(err) != c.want || !strings.Contains(fmt.Sprint(err), c.says) {
			t.Errorf("%s: %v, code %d, want %d", name, err, codeOf(err), c.want)
		}
	}
}

func TestExitCode(t *testing.T) {
	_, parse := (&cli{}).parse([]string{"audit", "--nonsense"}, io.Discard, io.Discard)
	var coder kong.ExitCoder
	if !errors.As(parse, &coder) || exitCode(parse) < 3 {
		t.Errorf("a command line that cannot be understood: %v, %d", parse, exitCode(parse))
	}
	if got := exitCode(errUnwell); got != 1 {
		t.Errorf("anything else: %d", got)
	}
}

func TestPrintAudit(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ages := []audit.AgeReport{
		{Outlived: "0s", Compared: 3000, Disagreed: 4, AtLeast: 0.99695, Nines: 2}, {Outlived: "1s", Compared: 3000, AtLeast: 0.999002, Nines: 3},
		{Outlived: "10s", Compared: 3000, AtLeast: 0.999002, Nines: 3}, {Outlived: "60s"},
	}
	var b strings.Builder
	err := printAudit(&b, &audit.Report{
		Took: 1.25, Picked: audit.Picked{Random: 1, Held: 2, Recent: 3},
		Tiers: []audit.TierReport{{Tier: "local", Compared: 3000, Unserved: 12, Untrue: 1, After: ages}, {Tier: "redis", After: ages}},
		Asked: []audit.PartyReport{{Name: "mysql", Asked: 9}, {Name: "http://a:1", Asked: 9, Unanswered: 2, Error: "cut off"}},
		Lasting: []audit.Finding{
			{ID: 7, Tier: "local", Node: "http://a:1", Kind: "older", Version: 5, MySQL: 6, Lasted: 60.01, Untrue: true, AsOf: &at},
			{ID: 8, Tier: "redis", Kind: "differs", Version: 5, MySQL: 5, Lasted: 2},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"6 documents in 1.2 s: 1 picked out of all, 2 out of what tiers held, 3 changed of late\n",
		"99.69 % (2)", "99.900 % (3)", "?",
		"http://a:1 did not answer 2 of 9 questions: cut off\n",
		"video 7: local tier of http://a:1 holds version 5, MySQL has 6, and says it is true as of 03:04:05.000; seen for 60.0 s\n",
		"video 8: redis holds another body of version 5 than MySQL; seen for 2.0 s\n",
	} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("lacks %q:\n%s", want, &b)
		}
	}
}

func TestAdminURLs(t *testing.T) {
	got, err := adminURLs("--node", []string{"10.0.0.1:9090", " '[::1]:1' ", "https://node.example/", "http://a:1"})
	if want := []string{"http://10.0.0.1:9090", "http://[::1]:1", "https://node.example", "http://a:1"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "a b", "ftp://a:1", "http://", "http://a/b", "http://a?b"} {
		if got, err := adminURLs("--node", []string{bad}); err == nil {
			t.Errorf("%q became %v", bad, got)
		}
	}
}
