package report

import (
	"math"
	"time"

	"vidmeta/bench/result"
)

// traits are the known figures that a sample's arm is made of.
type traits struct {
	name                 string
	rate                 float64
	p50                  float64
	origin, local, redis float64 // shares of the answers
	stale                float64
}

var zipfArms = []traits{
	{"mysql", 4_000, 3.1, 1, 0, 0, 0},
	{"redis", 12_000, 1.4, 0.012, 0, 0.988, 0.002},
	{"local", 43_000, 0.40, 0.09, 0.91, 0, 0.31},
	{"vidmeta", 40_000, 0.36, 0.004, 0.93, 0.066, 0},
	{"rockscache", 11_000, 1.5, 0.013, 0, 0.987, 0.001},
	{"jetcache-go", 30_000, 0.6, 0.02, 0.88, 0.10, 0.22},
	{"gocache", 26_000, 0.7, 0.03, 0.85, 0.12, 0.25},
	{"go-zero", 12_500, 1.3, 0.012, 0, 0.988, 0.001},
	{"nginx", 38_000, 0.5, 0.08, 0, 0, 0.4},
	{"varnish", 36_000, 0.52, 0.08, 0, 0, 0.41},
}

// wobble makes repeats differ, the same way for all arms: repeat 2 is the median.
var wobble = []float64{0.95, 1, 1.10}

// sampleReport is one in which every scenario and trace has known figures.
func sampleReport() *result.Report {
	r := &result.Report{
		Title: "vidmeta, measured", Started: time.Date(2026, 11, 23, 2, 0, 0, 0, time.UTC), Took: 421, Commit: "0123456789ab+",
		Machine: result.Machine{
			CPU: "AMD EPYC", Cores: 2, MemoryMB: 24105, Kernel: "6.1", Go: "1.26.8",
			MySQL: "10.11.19-MariaDB", Redis: "7.0.15",
		},
		Settings: map[string]string{"keys": "36,273", "zipf s": "1.01", "writes/s": "50"},
	}
	add := func(name, title string, arms ...traits) *result.Scenario {
		s := result.Scenario{Name: name, Title: title, About: "What is looked for in " + name + "."}
		for _, a := range arms {
			s.Arms = append(s.Arms, sampleArm(a))
		}
		r.Scenarios = append(r.Scenarios, s)
		return &r.Scenarios[len(r.Scenarios)-1]
	}
	add(Handler, "what HTTP itself costs",
		traits{"constant-http", 50_000, 0.2, 0, 1, 0, 0}, traits{"constant-echo", 48_000, 0.21, 0, 1, 0, 0},
		traits{Vidmeta, 47_000, 0.22, 0, 1, 0, 0})
	add(Zipf, "skewed reads, writes meanwhile", zipfArms...)
	batch := add(Batch, "a document a request, and a hundred",
		traits{"single", 40_000, 0.4, 0.01, 0.99, 0, 0}, traits{"batch", 4_000, 2.5, 0.01, 0.99, 0, 0})
	for i := range batch.Arms[1].Runs {
		batch.Arms[1].Runs[i].Capacity.Documents *= 100
	}
	cold := add(Cold, "from nothing",
		traits{"mysql", 4_000, 3, 1, 0, 0, 0}, traits{"redis", 3_000, 4, 1, 0, 0, 0}, traits{Vidmeta, 16_000, 1, 0.5, 0.5, 0, 0})
	for i := range cold.Arms {
		for j := range cold.Arms[i].Runs {
			run := &cold.Arms[i].Runs[j]
			run.Warm = run.Capacity
			run.Capacity, run.Paced = nil, nil
		}
	}
	for j := range cold.Arms[2].Runs {
		warm := cold.Arms[2].Runs[j].Warm
		warm.MySQL = warm.Tiers["origin"] / 25
	}
	ramp := add("ramp", "rates that rise", traits{"mysql", 4_000, 3.1, 1, 0, 0, 0}, traits{Vidmeta, 40_000, 0.36, 0, 1, 0, 0})
	for i := range ramp.Arms {
		a := &ramp.Arms[i]
		top := a.Runs[1].Capacity.Rate
		for j := range a.Runs {
			run := &a.Runs[j]
			for _, share := range []float64{0.1, 0.3, 0.5, 0.7, 0.9, 1.1} {
				l := *run.Paced
				l.Offered, l.Rate = share*top, min(share, 1)*top
				l.Latency = sampleSpread(zipfArms[3].p50 * 1e3 / math.Sqrt(top) * 0.2 / max(1.15-share, 0.004))
				run.Steps = append(run.Steps, l)
			}
			run.Capacity, run.Paced = nil, nil
		}
	}
	for _, t := range []struct {
		name string
		lru  float64
	}{{"web12", 0.397}, {"orm-busy", 0.77}} {
		tr := result.Trace{Name: t.name, Source: "headissue GmbH, CC BY 4.0", Requests: 95_607, Keys: 13_756}
		for n, policy := range []string{"local tier", "lru", "ristretto", "otter"} {
			for i, room := range []float64{0.01, 0.05, 0.10, 0.25} {
				hits := 1 - (1-t.lru)*math.Pow(0.72, float64(i)) - float64(n%3)*0.03 // lru is 3 points below the local tier
				tr.Policies = append(tr.Policies, result.Policy{Name: policy, Room: room, Hits: hits})
			}
		}
		r.Traces = append(r.Traces, tr)
	}
	return r
}

func sampleSpread(p50 float64) result.Spread {
	s := result.Spread{Count: 80_000, P50: result.Millis(p50), Mean: result.Millis(1.2 * p50)}
	at := func(share float64) result.Millis {
		return result.Millis(p50 * math.Pow(10, (nines(share)-nines(0.5))*0.45))
	}
	s.P90, s.P99, s.P999, s.Max = at(0.9), at(0.99), at(0.999), at(0.99999)
	for _, share := range []float64{0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999} {
		s.Curve = append(s.Curve, result.Quantile{Share: share, At: at(share)})
	}
	s.Curve = append(s.Curve, result.Quantile{Share: 1, At: s.Max})
	return s
}

func sampleArm(t traits) result.Arm {
	a := result.Arm{Name: t.name, About: "made of what " + t.name + " is made of"}
	for i, w := range wobble {
		load := func(rate, offered float64) *result.Load {
			n := int64(2 * rate)
			l := &result.Load{
				Offered: offered, Clients: 64, Took: 2, Requests: n, Documents: n, Rate: rate, Latency: sampleSpread(t.p50 / w),
				Tiers: map[string]int64{},
				MySQL: int64(math.Round(t.origin * float64(n))), Redis: int64(math.Round(t.redis * float64(n))),
				CPU: map[string]result.Micros{
					"arm": result.Micros(20 + 100*t.redis), "mysql": result.Micros(150 * t.origin), "redis": result.Micros(20 * t.redis),
				},
				Writes: 100, Staleness: result.Staleness{Checked: n / 10, Stale: int64(t.stale * float64(n) / 10)},
			}
			for tier, share := range map[string]float64{
				"local": t.local, "redis": t.redis, "origin": t.origin, "proxy": 1 - t.local - t.redis - t.origin,
			} {
				if share > 1e-9 {
					l.Tiers[tier] = int64(math.Round(share * float64(n)))
				}
			}
			if l.Staleness.Stale > 0 {
				l.Staleness.Late = sampleSpread(400 * t.stale)
			}
			for s := 1; s <= 20; s++ {
				l.Timeline = append(l.Timeline, result.Moment{
					At: result.Seconds(s) / 10, Rate: rate * (1 + 0.05*math.Sin(float64(s)+t.p50)), P99: l.Latency.P99,
					Origin: t.origin * rate * (1 + 0.2*math.Cos(float64(s))),
				})
			}
			return l
		}
		a.Runs = append(a.Runs, result.Run{Repeat: i + 1, Capacity: load(t.rate*w, 0), Paced: load(t.rate*w/2, t.rate*w/2)})
	}
	return a
}
