package cache

import (
	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/schema"
)

// metrics counts what the tiers do. Labels are closed sets, all there from the start.
type metrics struct {
	reads            [3][schema.Failed + 1]prometheus.Counter
	local            tally // of hits in the local tier, which reads and stale are told of when metrics are collected
	originStatements prometheus.Counter
	originDocuments  prometheus.Counter
	originErrors     prometheus.Counter
	collapsed        prometheus.Counter
	leases           map[string]prometheus.Counter
	fills            map[string]prometheus.Counter
	stale            prometheus.Counter
	renewals         prometheus.Counter
	feedEntries      prometheus.Counter
	feedChanges      prometheus.Counter
	feedGaps         map[string]prometheus.Counter
	feedErrors       prometheus.Counter
	feedDelay        prometheus.Gauge
}

// newMetrics registers the metrics, or keeps them to itself if reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
		if reg != nil {
			reg.MustRegister(c)
		}
		return c
	}
	vec := func(name, help, label string, values ...string) map[string]prometheus.Counter {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
		if reg != nil {
			reg.MustRegister(v)
		}
		m := make(map[string]prometheus.Counter, len(values))
		for _, value := range values {
			m[value] = v.WithLabelValues(value)
		}
		return m
	}
	m := &metrics{
		originStatements: counter("vidmeta_origin_statements_total", "Statements sent to MySQL by reads."),
		originDocuments:  counter("vidmeta_origin_documents_total", "Documents asked of MySQL by reads."),
		originErrors:     counter("vidmeta_origin_errors_total", "Statements of reads that failed."),
		collapsed:        counter("vidmeta_reads_collapsed_total", "Reads that joined a load already under way."),
		leases:           vec("vidmeta_leases_total", "What came of asking for a lease.", "outcome", "granted", "busy", "needless", "failed"),
		fills:            vec("vidmeta_fills_total", "What came of storing a loaded document in Redis; a change meanwhile refuses it.", "outcome", "stored", "refused", "failed"),
		renewals:         counter("vidmeta_renewals_total", "Loads in the background that renewed an entry before its end or after its bound."),
		feedEntries:      counter("vidmeta_feed_entries_total", "Entries of the feed that were applied."),
		feedChanges:      counter("vidmeta_feed_changes_total", "Changes in those entries."),
		feedGaps:         vec("vidmeta_feed_gaps_total", "Breaks in the feed; each dropped the local tier.", "reason", gapReasons...),
		feedErrors:       counter("vidmeta_feed_errors_total", "Failed reads of the feed."),
	}
	m.feedDelay = prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "vidmeta_feed_delay_seconds",
		Help: "This node's clock when the newest entry of the feed came, less that of Redis when it was appended: some milliseconds in health, anything else where a clock is wrong.",
	})
	m.stale = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "vidmeta_answers_stale_total",
		Help: "Answers older than asked for: given at once while they were renewed, or since nothing better could be had.",
	})
	reads := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vidmeta_reads_total", Help: "Reads by what each tier had to say.",
	}, []string{"tier", "outcome"})
	if reg != nil {
		reg.MustRegister(folded{reads, m}, folded{m.stale, m}, m.feedDelay)
	}
	for t := range m.reads {
		for o := range m.reads[t] {
			if schema.Outcome(o) != schema.NotAsked {
				m.reads[t][o] = reads.WithLabelValues(schema.Tier(t).String(), schema.Outcome(o).String())
			}
		}
	}
	return m
}

// folded is a collector that first adds what the local tier has tallied.
type folded struct {
	prometheus.Collector
	metrics *metrics
}

// Collect implements prometheus.Collector.
func (f folded) Collect(ch chan<- prometheus.Metric) {
	f.metrics.fold()
	f.Collector.Collect(ch)
}

func (m *metrics) fold() {
	hits, stale := m.local.take()
	m.reads[schema.TierLocal][schema.Hit].Add(float64(hits))
	m.stale.Add(float64(stale))
}

// read counts what the tiers said to one read.
func (m *metrics) read(t *schema.Trace) {
	for tier, step := range t {
		if step.Outcome != schema.NotAsked {
			m.reads[tier][step.Outcome].Inc()
		}
	}
}

// observe registers what is read off the chain when metrics are collected.
func (c *Chain) observe(reg prometheus.Registerer) {
	gauge := func(name, help string, f func() float64) {
		reg.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, f))
	}
	gauge("vidmeta_watermark_timestamp_seconds", "Every commit before this time has been told to this node.", func() float64 {
		return float64(c.redis.standing.Load().watermark) / 1e6
	})
	gauge("vidmeta_local_bytes", "Bytes accounted to the local tier.", func() float64 {
		return float64(c.local.bytes())
	})
}
