package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// BenchmarkFreshness writes in plain SQL, and polls every node over HTTP until it answers with the new version: how long
// after the end of the commit the last of them does, and how old answers were just before.
func BenchmarkFreshness(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			f := start(b, shape{flavor: flavor, sidecars: 1})
			var visible, age []time.Duration
			ask := func(node int, id schema.ID) answer {
				a, err := f.get(node, id)
				if err != nil {
					b.Fatal(err)
				}
				return a
			}
			b.ResetTimer()
			for i := 0; b.Loop(); i++ {
				id := schema.ID(1 + i%100)
				for n := range f.nodes {
					age = append(age, time.Since(ask(n, id).asOf))
				}
				c, err := f.change(b.Context(), "UPDATE videos SET language = RIGHT(UUID(), 12) WHERE id = ?", id)
				if err != nil {
					b.Fatal(err)
				}
				end := time.Now()
				f.awaitVersion(b, id, c.Version)
				visible = append(visible, time.Since(end))
			}
			report(b, "visible", visible)
			report(b, "age", age)
		})
	}
}

// freshnessRates are commits in a second.
var freshnessRates = []int{250, 500, 1000}

const (
	freshnessTime   = 10 * time.Second
	freshnessSample = 20 * time.Millisecond // between two commits that are waited for
)

// BenchmarkFreshnessAtRate commits at fixed rates, however long commits take, to documents that all tiers hold; it says
// how many the machine could do. Now and then one is waited for on every node, which is asked each half millisecond. Beside
// it stands what the sidecar's steps take on average, which each change goes through, and has waited for those of the batch
// before; what one round trip to each server, and to a node, takes at that moment; and what is left of the processors, without
// which each of them waits.
func BenchmarkFreshnessAtRate(b *testing.B) {
	for _, flavor := range stacktest.Flavors(b) {
		b.Run(string(flavor), func(b *testing.B) {
			f := start(b, shape{flavor: flavor, sidecars: 1})
			for n := range f.nodes {
				for _, id := range span(1, seeds) {
					if _, err := f.get(n, id); err != nil {
						b.Fatal(err)
					}
				}
			}
			for _, rate := range freshnessRates {
				b.Run(strconv.Itoa(rate), func(b *testing.B) { f.freshnessAt(b, rate) })
			}
		})
	}
}

func (f *fleet) freshnessAt(b *testing.B, rate int) {
	var visible, age, mysql, redis, nodes []time.Duration
	before := f.steps(b)
	idle, all := processors(b)
	for b.Loop() {
		written := f.writeAtRate(b, rate, freshnessTime, func() {
			m, r := f.sampleServers(b)
			mysql, redis = append(mysql, m), append(redis, r)
			v, a, n := f.sampleFreshness(b, schema.ID(1+len(visible)%seeds))
			visible, age, nodes = append(visible, v), append(age, a...), append(nodes, n...)
		})
		b.ReportMetric(float64(written)/freshnessTime.Seconds(), "commits/s")
	}
	idleNow, allNow := processors(b)
	b.ReportMetric(100*(idleNow-idle)/(allNow-all), "idle-%")
	b.ReportMetric(0, "ns/op")
	for i, after := range f.steps(b) {
		b.ReportMetric(1e3*(after.sum-before[i].sum)/(after.count-before[i].count), after.name+"-step-ms")
	}
	report(b, "visible", visible)
	report(b, "age", age)
	report(b, "mysql-trip", mysql)
	report(b, "redis-trip", redis)
	report(b, "node-trip", nodes)
}

// step is one of those in which the sidecar carries out a batch: how often, and what it took in seconds.
type step struct {
	name       string
	count, sum float64
}

// steps returns those of the sidecar.
func (f *fleet) steps(b *testing.B) (all []step) {
	for _, name := range []string{"rows", "masters", "redis", "feed"} {
		s := step{name: name}
		for field, v := range map[string]*float64{"count": &s.count, "sum": &s.sum} {
			var err error
			if *v, err = f.metric(f.sidecarAdmins[0], fmt.Sprintf("vidmeta_sidecar_step_seconds_%s{step=%q}", field, name)); err != nil {
				b.Fatal(err)
			}
		}
		all = append(all, s)
	}
	return all
}

// processors returns how long the machine's processors have had nothing to do, and how long there were any, in ticks: the
// first line of /proc/stat (proc(5)).
func processors(b *testing.B) (idle, all float64) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		b.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, field := range strings.Fields(line)[1:] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			b.Fatal(err)
		}
		const idleField, waitField, guestField = 3, 4, 8 // guests are in user time already
		if i < guestField {
			all += n
		}
		if i == idleField || i == waitField {
			idle += n
		}
	}
	return idle, all
}

// writeAtRate commits so often for a time, and calls sample between two of its ticks. It returns how many commits ended.
func (f *fleet) writeAtRate(b *testing.B, rate int, total time.Duration, sample func()) int64 {
	ctx, cancel := context.WithTimeout(b.Context(), total)
	defer cancel()
	var written atomic.Int64
	var g errgroup.Group
	due := make(chan schema.ID, rate) // a second's backlog
	for range 24 {
		g.Go(func() error {
			for id := range due {
				if _, err := f.db.ExecContext(b.Context(), "UPDATE videos SET language = RIGHT(UUID(), 12) WHERE id = ?", uint64(id)); err != nil {
					return err
				}
				written.Add(1)
			}
			return nil
		})
	}
	g.Go(func() error {
		defer close(due)
		begun := time.Now()
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for n := 0; ; {
			select {
			case <-ctx.Done():
				return nil
			case <-tick.C:
			}
			for ; n < int(time.Since(begun).Seconds()*float64(rate)); n++ {
				select {
				case due <- schema.ID(1 + rand.N(seeds)):
				default: // the machine cannot; the rate that is reported tells
				}
			}
		}
	})
	tick := time.NewTicker(freshnessSample)
	defer tick.Stop()
	for ctx.Err() == nil {
		<-tick.C
		sample()
	}
	if err := g.Wait(); err != nil {
		b.Error(err)
	}
	return written.Load()
}

// sampleFreshness changes a document, and returns how long after the end of the commit the last node shows it, how old the
// answers of the nodes were before, and how long each took for what it had just answered.
func (f *fleet) sampleFreshness(b *testing.B, id schema.ID) (visible time.Duration, ages, trips []time.Duration) {
	ask := func(node int) answer {
		a, err := f.get(node, id)
		if err != nil {
			b.Fatal(err)
		}
		return a
	}
	for n := range f.nodes {
		ages = append(ages, time.Since(ask(n).asOf))
		begun := time.Now()
		ask(n) // has it in memory now
		trips = append(trips, time.Since(begun))
	}
	c, err := f.change(b.Context(), "UPDATE videos SET language = RIGHT(UUID(), 12) WHERE id = ?", id)
	if err != nil {
		b.Fatal(err)
	}
	end := time.Now()
	f.awaitVersion(b, id, c.Version)
	return time.Since(end), ages, trips
}

// awaitVersion returns when all nodes answer with a version or a later one. The first is asked half a millisecond after its
// last answer, and the others then: to ask all of them all the time would take a quarter of a core from what is measured.
func (f *fleet) awaitVersion(b *testing.B, id schema.ID, version uint64) {
	await := func(node int) error {
		for {
			if a, err := f.get(node, id); err != nil || uint64(a.version) >= version {
				return err
			}
			<-time.After(500 * time.Microsecond)
		}
	}
	if err := await(0); err != nil {
		b.Fatal(err)
	}
	var g errgroup.Group
	for n := 1; n < len(f.nodes); n++ {
		g.Go(func() error { return await(n) })
	}
	if err := g.Wait(); err != nil {
		b.Fatal(err)
	}
}

// sampleServers returns how long the servers themselves take to say that they are there, in one round trip each.
func (f *fleet) sampleServers(b *testing.B) (mysql, redis time.Duration) {
	begun := time.Now()
	if _, err := f.db.ExecContext(b.Context(), "DO 1"); err != nil {
		b.Fatal(err)
	}
	asked := time.Now()
	if err := f.redis.Ping(b.Context()).Err(); err != nil {
		b.Fatal(err)
	}
	return asked.Sub(begun), time.Since(asked)
}

func report(b *testing.B, what string, d []time.Duration) {
	slices.Sort(d)
	b.ReportMetric(float64(d[len(d)/2].Microseconds())/1e3, what+"-p50-ms")
	b.ReportMetric(float64(d[(len(d)-1)*99/100].Microseconds())/1e3, what+"-p99-ms")
}
