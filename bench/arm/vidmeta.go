package arm

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"vidmeta/internal/stack"
)

// mechanism is something that vidmeta can do without.
type mechanism struct{ name, about string }

const (
	noLocal   = "no-local"
	noSidecar = "no-sidecar"
)

// mechanisms are what `vidmeta serve --without` knows, by the name of the arm, and the sidecar.
var mechanisms = []mechanism{
	{noLocal, "the local tier"},
	{"no-coalescing", "joining of reads of one document"},
	{"no-batching", "gathering of loads into one statement"},
	{"no-jitter", "jitter of lifetimes in Redis"},
	{noSidecar, "the sidecar: nobody tells it of changes"},
}

// startVidmeta starts nodes and sidecars of vidmeta itself: one of each, or what is left when some mechanisms are off.
func startVidmeta(without []string) func(context.Context, *Launcher, *Running) error {
	return func(ctx context.Context, l *Launcher, r *Running) error {
		if l.Vidmeta == "" {
			return errors.New("Launcher.Vidmeta is not set")
		}
		var addrs [3]string
		for i := range addrs {
			var err error
			if addrs[i], err = r.home.FreeAddr(); err != nil {
				return err
			}
		}
		listen, admin, sidecarAdmin := addrs[0], addrs[1], addrs[2]
		s := &r.settings
		common := []string{
			"--mysql=" + s.MySQL,
			"--redis=" + strings.Join(s.Redis, ","),
			"--redis-ttl=" + s.RedisTTL.String(),
		}
		// What this run has not set, whatever the environment says.
		env := []string{
			"VIDMETA_REDIS_USERNAME=", "VIDMETA_REDIS_PASSWORD=", "VIDMETA_ADMIN_TOKEN=", "VIDMETA_LOG_LEVEL=warn",
		}
		node := append([]string{"serve", "--listen=" + listen, "--admin-listen=" + admin,
			"--max-age=" + s.TTL.String(), "--local-bytes=" + strconv.FormatInt(s.LocalBytes, 10),
			"--origin-width=" + strconv.Itoa(s.OriginWidth)}, common...)
		ready := "/readyz"
		var off []string
		for _, name := range without {
			if name != noSidecar {
				off = append(off, strings.TrimPrefix(name, "no-"))
			}
		}
		if len(off) > 0 {
			node = append(node, "--without="+strings.Join(off, ","))
		}
		sidecar := !slices.Contains(without, noSidecar)
		if !sidecar {
			node = append(node, "--namespace=alone")
			ready = "/livez" // a node that is told of no changes never calls itself ready
		}

		r.URL, r.Admin, r.tiers, r.fill = "http://"+listen, admin, r.metrics, r.fillByLookup
		if sidecar {
			err := r.launch(ctx, RoleSidecar, stack.Command{
				Path: l.Vidmeta, Args: append([]string{"sidecar", "--admin-listen=" + sidecarAdmin}, common...), Env: env,
				Addr: sidecarAdmin, Ready: func(ctx context.Context) error { return probe(ctx, sidecarAdmin, "/readyz") },
			})
			if err != nil {
				return err
			}
		}
		return r.launch(ctx, RoleArm, stack.Command{
			Path: l.Vidmeta, Args: node, Env: env, Addr: listen,
			Ready: func(ctx context.Context) error { return probe(ctx, admin, ready) },
		})
	}
}

// metrics asks a node which tiers had an answer.
func (r *Running) metrics(ctx context.Context) (map[string]int64, error) {
	const name = "vidmeta_reads_total"
	tiers := map[string]int64{}
	err := get(ctx, r.Admin, "/metrics", func(res *http.Response) error {
		parser := expfmt.NewTextParser(model.UTF8Validation)
		families, err := parser.TextToMetricFamilies(res.Body)
		if err != nil {
			return err
		}
		if families[name] == nil {
			return fmt.Errorf("no metric %s", name)
		}
		for _, m := range families[name].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["outcome"] == "hit" {
				tiers[labels["tier"]] += int64(m.GetCounter().GetValue())
			}
		}
		return nil
	})
	return tiers, err
}
