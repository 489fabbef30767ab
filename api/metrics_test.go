package api

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"vidmeta/schema"
)

// gather returns the counts of requests by route and class, and the number of observations by route.
func gather(t *testing.T, reg *prometheus.Registry) (requests map[[2]string]float64, observed map[string]uint64, inFlight float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	requests, observed = make(map[[2]string]float64), make(map[string]uint64)
	label := func(m *dto.Metric, name string) string {
		for _, l := range m.Label {
			if l.GetName() == name {
				return l.GetValue()
			}
		}
		return ""
	}
	for _, f := range families {
		for _, m := range f.Metric {
			switch f.GetName() {
			case "vidmeta_http_requests_total":
				requests[[2]string{label(m, "route"), label(m, "class")}] = m.Counter.GetValue()
			case "vidmeta_http_request_duration_seconds":
				observed[label(m, "route")] = m.Histogram.GetSampleCount()
			case "vidmeta_http_requests_in_flight":
				inFlight = m.Gauge.GetValue()
			default:
				t.Errorf("unexpected %s", f.GetName())
			}
		}
	}
	return requests, observed, inFlight
}

func TestMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	w := newWorld(t, func(c *Config) { c.Registerer = reg })
	requests, _, _ := gather(t, reg)
	if len(requests) != int(routes)*int(classes) {
		t.Errorf("%d series before the first request", len(requests))
	}
	w.fake.fail(5, schema.ErrOverloaded, schema.Trace{})
	w.fake.fail(6, errPanic, schema.Trace{})
	w.get("/v1/videos/42")
	w.get("/v1/videos/42", "If-None-Match: *")
	w.get("/v1/videos/7")
	w.get("/v1/videos/5")
	w.get("/v1/videos/6")
	w.get("/v1/videos/by-public-id/" + testPublicID)
	w.get("/v1/videos?ids=42")
	w.lookup(`{"ids":[42]}`)
	w.get("/openapi.json")
	w.get("/docs")
	w.get("/problems/internal")
	w.get("/nowhere")
	w.do("PUT", "/v1/videos/42", "")
	requests, observed, inFlight := gather(t, reg)
	for key, n := range requests {
		want := map[[2]string]float64{
			{"video", "2xx"}: 1, {"video", "3xx"}: 1, {"video", "4xx"}: 1, {"video", "5xx"}: 2,
			{"by_public_id", "2xx"}: 1, {"batch", "2xx"}: 1, {"lookup", "2xx"}: 1, {"openapi", "2xx"}: 1, {"docs", "2xx"}: 1,
			{"problem", "2xx"}: 1, {"other", "4xx"}: 2,
		}[key]
		if n != want {
			t.Errorf("%v: %v, want %v", key, n, want)
		}
	}
	if observed["video"] != 5 || observed["other"] != 2 || inFlight != 0 {
		t.Errorf("%v, %v in flight", observed, inFlight)
	}
	if _, err := New(Config{Reader: w.fake, Registerer: reg}); err == nil {
		t.Error("a second server on one registry was accepted")
	}
}
