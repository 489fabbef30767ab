package main

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

const exposition = `
# TYPE vidmeta_http_requests_total counter
vidmeta_http_requests_total{class="2xx",route="video"} 90
vidmeta_http_requests_total{class="5xx",route="batch"} 10
# TYPE vidmeta_reads_total counter
vidmeta_reads_total{outcome="hit",tier="local"} 80
vidmeta_reads_total{outcome="miss",tier="local"} 20
vidmeta_reads_total{outcome="hit",tier="redis"} 15
vidmeta_reads_total{outcome="hit",tier="origin"} 5
# TYPE vidmeta_watermark_timestamp_seconds gauge
vidmeta_watermark_timestamp_seconds 1000
`

func TestStatus(t *testing.T) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(exposition))
	if err != nil {
		t.Fatal(err)
	}
	begun := time.Unix(1000, 0)
	node := countsOf(families, begun.Add(120*time.Millisecond))
	late := node
	late.behind = time.Second
	silent := counts{} // a node that does not answer
	all := sum([]counts{node, late, silent}, begun.Add(2*time.Second))
	for _, c := range []struct {
		name     string
		from, to counts
		down     []string
		want     string
	}{
		{"two nodes", counts{at: begun}, all, nil, "100 requests/s, from local 80.0% redis 15.0% origin 5.0%, feed 1s behind, all up"},
		{"idle", all, all, []string{"redis-1", "node-2"}, "0 requests/s, feed 1s behind, down: redis-1 node-2"},
		{"restarted", all, counts{at: begun.Add(3 * time.Second)}, nil, "0 requests/s, no feed, all up"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := status(c.from, c.to, c.down); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
