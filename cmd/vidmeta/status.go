package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"vidmeta/schema"
)

const (
	statusPeriod = time.Second
	statusSparse = 10 * time.Second // between two lines where there is no terminal and all stays up
)

// counts are what the nodes have counted, and where their watermarks stand.
type counts struct {
	at       time.Time
	requests float64
	hits     [len(schema.Trace{})]float64 // answers by the tier that they came from
	behind   time.Duration                // of the node that has heard least
	heard    bool                         // behind means something
}

// status says how things are going, from what was counted between two looks and what is down.
func status(from, to counts, down []string) string {
	var b strings.Builder
	var hits [len(schema.Trace{})]float64
	var total float64
	for t := range hits {
		hits[t] = max(0, to.hits[t]-from.hits[t]) // less than before: a node has been restarted
		total += hits[t]
	}
	rate := 0.0
	if span := to.at.Sub(from.at).Seconds(); span > 0 {
		rate = max(0, to.requests-from.requests) / span
	}
	fmt.Fprintf(&b, "%.0f requests/s", rate)
	if total > 0 {
		b.WriteString(", from")
		for t := range hits {
			fmt.Fprintf(&b, " %s %.1f%%", schema.Tier(t), 100*hits[t]/total)
		}
	}
	if to.heard {
		fmt.Fprintf(&b, ", feed %v behind", to.behind.Round(time.Millisecond))
	} else {
		b.WriteString(", no feed")
	}
	if len(down) > 0 {
		fmt.Fprintf(&b, ", down: %s", strings.Join(down, " "))
	} else {
		b.WriteString(", all up")
	}
	return b.String()
}

// watch shows the status until ctx ends.
func (f *fleet) watch(ctx context.Context, out *console) error {
	defer out.end()
	tick := time.NewTicker(statusPeriod)
	defer tick.Stop()
	said, saidDown := f.look(ctx), ""
	last := said
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		now, down := f.look(ctx), f.down()
		switch names := strings.Join(down, " "); {
		case out.terminal:
			out.show(status(last, now, down))
		case names != saidDown || now.at.Sub(said.at) >= statusSparse:
			out.printf("%s", status(said, now, down))
			said, saidDown = now, names
		}
		last = now
	}
}

// down names what does not run.
func (f *fleet) down() (names []string) {
	for _, p := range f.processes() {
		select {
		case <-p.Done():
			names = append(names, p.Name())
		default:
		}
	}
	return names
}

// look asks all nodes at once. One that does not answer counts for nothing.
func (f *fleet) look(ctx context.Context) counts {
	ctx, cancel := context.WithTimeout(ctx, statusPeriod)
	defer cancel()
	each := make([]counts, len(f.nodes))
	var wg sync.WaitGroup
	for i, n := range f.nodes {
		wg.Go(func() {
			if families, err := scrape(ctx, n.admin); err == nil {
				each[i] = countsOf(families, time.Now())
			}
		})
	}
	wg.Wait()
	return sum(each, time.Now())
}

func sum(each []counts, at time.Time) counts {
	all := counts{at: at}
	for _, c := range each {
		all.requests += c.requests
		for t := range c.hits {
			all.hits[t] += c.hits[t]
		}
		if c.heard {
			all.behind, all.heard = max(all.behind, c.behind), true
		}
	}
	return all
}

// countsOf picks out what matters here from all that a node tells.
func countsOf(families map[string]*dto.MetricFamily, now time.Time) counts {
	c := counts{at: now}
	for _, m := range families["vidmeta_http_requests_total"].GetMetric() {
		c.requests += m.GetCounter().GetValue()
	}
	for _, m := range families["vidmeta_reads_total"].GetMetric() {
		for t := range c.hits {
			if label(m, "tier") == schema.Tier(t).String() && label(m, "outcome") == schema.Hit.String() {
				c.hits[t] += m.GetCounter().GetValue()
			}
		}
	}
	for _, m := range families["vidmeta_watermark_timestamp_seconds"].GetMetric() {
		if w := m.GetGauge().GetValue(); w > 0 {
			c.behind, c.heard = now.Sub(time.UnixMicro(int64(w*1e6))), true
		}
	}
	return c
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}

// scrape reads the metrics of an admin listener.
func scrape(ctx context.Context, admin string) (map[string]*dto.MetricFamily, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+admin+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		_, _ = io.Copy(io.Discard, resp.Body)
		return nil, fmt.Errorf("metrics of %s: %s", admin, resp.Status)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	return parser.TextToMetricFamilies(resp.Body)
}
