package audit

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/schema"
)

// metrics counts what audits see. Labels are closed sets, all there from the start.
type metrics struct {
	samples       map[schema.Tier]prometheus.Counter
	disagreements map[schema.Tier][]prometheus.Counter // by age
	untrue        map[schema.Tier]prometheus.Counter
	failures      *prometheus.CounterVec
	lastRun       prometheus.Gauge
}

// newMetrics registers the metrics, or keeps them to itself if reg is nil.
func newMetrics(reg prometheus.Registerer, ages []time.Duration) *metrics {
	vec := func(name, help string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		if reg != nil {
			reg.MustRegister(v)
		}
		return v
	}
	samples := vec("vidmeta_audit_samples_total", "Documents of a tier that were compared with MySQL.", "tier")
	disagreements := vec("vidmeta_audit_disagreements_total",
		"Documents that a tier disagreed with MySQL about for longer than an age; those of a greater age are among those of a smaller.", "tier", "outlived")
	untrue := vec("vidmeta_audit_untrue_total", "Documents that a tier called true as of a time when MySQL had a newer version.", "tier")
	m := &metrics{
		samples: make(map[schema.Tier]prometheus.Counter), untrue: make(map[schema.Tier]prometheus.Counter),
		disagreements: make(map[schema.Tier][]prometheus.Counter),
		failures:      vec("vidmeta_audit_failures_total", "Questions of the audit that were not answered.", "asked"),
		lastRun: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "vidmeta_audit_last_run_timestamp_seconds", Help: "When this sidecar last compared documents.",
		}),
	}
	for _, tier := range audited {
		m.samples[tier] = samples.WithLabelValues(tier.String())
		m.untrue[tier] = untrue.WithLabelValues(tier.String())
		for _, age := range ages {
			m.disagreements[tier] = append(m.disagreements[tier], disagreements.WithLabelValues(tier.String(), label(age)))
		}
	}
	for _, asked := range []string{partyMySQL, partyRedis, "node"} {
		m.failures.WithLabelValues(asked)
	}
	if reg != nil {
		reg.MustRegister(m.lastRun)
	}
	return m
}

// unanswered counts a question to a party. Nodes are counted together: they come and go.
func (m *metrics) unanswered(party string) {
	if party != partyMySQL && party != partyRedis {
		party = "node"
	}
	m.failures.WithLabelValues(party).Inc()
}
