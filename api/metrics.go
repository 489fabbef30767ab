package api

import (
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// route is a label of the metrics: one of a closed set.
type route uint8

const (
	routeVideo route = iota
	routePublicID
	routeBatch
	routeLookup
	routeOpenAPI
	routeDocs
	routeProblem
	routeOther // no such route, or a method it does not have
	routes
)

var routeNames = [routes]string{"video", "by_public_id", "batch", "lookup", "openapi", "docs", "problem", "other"}

// class is the other label: what kind of status the answer had.
type class uint8

const (
	class2xx class = iota
	class3xx
	class4xx
	classGone // the client left before there was an answer
	class5xx
	classes
)

var classNames = [classes]string{"2xx", "3xx", "4xx", "499", "5xx"}

func classOf(status int) class {
	switch {
	case status < http.StatusMultipleChoices:
		return class2xx
	case status < http.StatusBadRequest:
		return class3xx
	case status == statusClientGone:
		return classGone
	case status < http.StatusInternalServerError:
		return class4xx
	}
	return class5xx
}

// metrics holds every series, looked up once: the request path only adds to atomics.
type metrics struct {
	requests [routes][classes]prometheus.Counter
	seconds  [routes]prometheus.Observer
	inFlight prometheus.Gauge
}

// newMetrics creates all series at zero. A nil reg means that they are kept but not shown.
func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "vidmeta_http_requests_total",
		Help: "Requests answered, by route and class of status; 499 means that the client left first.",
	}, []string{"route", "class"})
	seconds := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "vidmeta_http_request_duration_seconds",
		Help: "Time from the routing of a request to the last byte of its answer handed to the connection.",
		Buckets: []float64{10e-6, 25e-6, 50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 50e-3,
			100e-3, 250e-3, 500e-3, 1, 2.5},
	}, []string{"route"})
	m := &metrics{inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "vidmeta_http_requests_in_flight",
		Help: "Requests being answered now.",
	})}
	for r, name := range routeNames {
		m.seconds[r] = seconds.WithLabelValues(name)
		for c, class := range classNames {
			m.requests[r][c] = requests.WithLabelValues(name, class)
		}
	}
	if reg != nil {
		for _, c := range []prometheus.Collector{requests, seconds, m.inFlight} {
			if err := reg.Register(c); err != nil {
				return nil, err
			}
		}
	}
	return m, nil
}

// done counts one request that began at start.
func (m *metrics) done(rt route, status int, start time.Time) {
	m.requests[rt][classOf(status)].Inc()
	m.seconds[rt].Observe(time.Since(start).Seconds())
}
