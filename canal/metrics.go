package canal

import (
	"errors"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"vidmeta/schema"
)

// metrics counts what the sidecar does.
type metrics struct {
	cold, warm    prometheus.Counter
	late, lowered prometheus.Counter
	drops         prometheus.Counter
	again         prometheus.Counter
	batches       prometheus.Counter
	steps         [len(stepNames)]prometheus.Observer
	sessionErrors *prometheus.CounterVec
	watermark     prometheus.Gauge
	leading       prometheus.Gauge
}

// newMetrics registers the metrics, or keeps them to itself if reg is nil.
func newMetrics(reg prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	changes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vidmeta_sidecar_changes_total",
		Help: "Changed documents carried to Redis, by whether it held them in an older version.",
	}, []string{"redis"})
	steps := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "vidmeta_sidecar_step_seconds",
		Help:    "What the steps of carrying a batch of changes out take, one after another.",
		Buckets: prometheus.ExponentialBuckets(0.0005, 2, 14), // to 4 s
	}, []string{"step"})
	m := &metrics{
		cold:    changes.WithLabelValues("cold"),
		warm:    changes.WithLabelValues("warm"),
		late:    counter("vidmeta_sidecar_rows_late_total", "Batches held back since their rows were not visible yet."),
		lowered: counter("vidmeta_sidecar_versions_lowered_total", "Changes whose version was lowered or deleted before it was seen."),
		drops:   counter("vidmeta_sidecar_drops_total", "Times that everything was dropped from the caches."),
		again:   counter("vidmeta_sidecar_changes_again_total", "Changes carried to Redis once more, as a promoted master had missed them."),
		batches: counter("vidmeta_sidecar_batches_total", "Batches published, heartbeats among them."),
		sessionErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "vidmeta_sidecar_session_errors_total", Help: "Sessions that ended with an error, by what it was.",
		}, []string{"reason"}),
		watermark: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "vidmeta_sidecar_watermark_timestamp_seconds",
			Help: "Every commit before this time has been applied and published.",
		}),
		leading: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "vidmeta_sidecar_leading", Help: "1 if this sidecar leads, 0 if it waits or cannot.",
		}),
	}
	for i, name := range stepNames {
		m.steps[i] = steps.WithLabelValues(name)
	}
	m.sessionErrors.WithLabelValues(otherReason)
	for _, r := range sessionReasons {
		m.sessionErrors.WithLabelValues(r.name)
	}
	if reg != nil {
		reg.MustRegister(changes, m.late, m.lowered, m.drops, m.again, m.batches, steps, m.sessionErrors, m.watermark, m.leading)
	}
	return m
}

// stepNames are the steps of carrying a batch out: to see its rows and, where Redis is likely to hold them, to load the
// documents; to make sure of the masters of Redis, or to drop everything if one is a stranger; to bring Redis up to date; and
// to tell the feed.
var stepNames = [...]string{"rows", "masters", "redis", "feed"}

// sessionReasons are the errors that a session ends with and that somebody may want to be told of, each by its name.
var sessionReasons = []struct {
	name string
	err  error
}{
	{"lock_lost", errLockLost},
	{"deposed", schema.ErrDeposed},
	{"purged", errPurged},
	{"server_id_taken", errTwin},
	{"server_moved", errMoved},
	{"binlog_reset", errAnother},
	{"stalled", errStalled},
}

const otherReason = "other"

// sessionEnded counts an error that has ended a session.
func (m *metrics) sessionEnded(err error) {
	for _, r := range sessionReasons {
		if errors.Is(err, r.err) {
			m.sessionErrors.WithLabelValues(r.name).Inc()
			return
		}
	}
	m.sessionErrors.WithLabelValues(otherReason).Inc()
}

// stepped notes what the steps of a batch of changes took, which lie between the times.
func (m *metrics) stepped(begun, seen, mustered, written, told time.Time) {
	for i, d := range [...]time.Duration{seen.Sub(begun), mustered.Sub(seen), written.Sub(mustered), told.Sub(written)} {
		m.steps[i].Observe(d.Seconds())
	}
}

func (m *metrics) applied(changes, stale int) {
	m.batches.Inc()
	m.cold.Add(float64(changes - stale))
	m.warm.Add(float64(stale))
}

func (m *metrics) published(watermark time.Time) {
	if !watermark.IsZero() {
		m.watermark.Set(float64(watermark.UnixMicro()) / 1e6)
	}
}

func (m *metrics) leads(now bool) {
	m.leading.Set(0)
	if now {
		m.leading.Set(1)
	}
}
