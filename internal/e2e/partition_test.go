package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"vidmeta/api"
	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

const (
	watchers = 8
	// answerTime is how long a request may take: the node's own bound, and what a machine that all share adds to it.
	answerTime = api.DefaultTimeout + time.Second
	resetTime  = 100 * time.Millisecond // how often it is drawn anew which connections are reset
)

// What a network does.
var (
	// withheld is what a partition does to TCP: what is sent during it arrives after it, even if the sender has given up.
	withheld = toxic("latency", &toxics.LatencyToxic{Latency: time.Hour.Milliseconds()})
	// swallowed is what a firewall does that forgets its connections: nothing arrives, and they end with it.
	swallowed = toxic("timeout", &toxics.TimeoutToxic{})
	slow      = toxic("latency", &toxics.LatencyToxic{Latency: 300, Jitter: 100})
	reset     = toxic("reset_peer", &toxics.ResetToxic{})[1] // an answer is lost, and the connection with it
)

// The network between one node and its servers fails in the ways of networks, which rarely say that they do.
func TestPartition(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			f := start(t, shape{flavor: flavor, sidecars: 1, videos: written + 100})
			n := f.detour(t, 2)
			tr := begin(t, f)
			for _, f := range n.faults() {
				if f.often == twice || flavor == stack.MariaDB {
					t.Run(f.name, func(t *testing.T) { tr.suffer(t, f) })
				}
			}
		})
	}
}

// faults are what can befall the network of one node.
func (n *network) faults() []fault {
	redis := slices.Concat(n.documents, n.feed)
	all := slices.Concat(redis, n.mysql)
	return []fault{
		{"one node's packets to Redis are held back", once, pauseTime, func(tr *trial) func() {
			return n.watched(tr, n.behind, func() func() { return tr.poison(redis, withheld[:]...) })
		}},
		{"one node's packets to the feed are swallowed", once, 3 * time.Second, func(tr *trial) func() {
			return n.watched(tr, n.behind, func() func() { return tr.poison(n.feed, swallowed[:]...) })
		}},
		{"one node's packets to the database are swallowed", twice, 2 * time.Second, func(tr *trial) func() {
			return n.watched(tr, n.grows("vidmeta_origin_errors_total"), func() func() { return tr.poison(n.mysql, swallowed[:]...) })
		}},
		{"one node's packets are slow", once, 2 * time.Second, func(tr *trial) func() {
			return n.watched(tr, n.late, func() func() { return tr.poison(all, slow[1]) })
		}},
		{"one node's connections are reset", once, 0, func(tr *trial) func() {
			return n.watched(tr, n.grows("vidmeta_feed_errors_total"), func() func() { return tr.resets(all, 2*time.Second) })
		}},
	}
}

// resets has four of five connections reset, others each time, over and over again.
func (tr *trial) resets(proxies []*toxiproxy.Proxy, d time.Duration) (cure func()) {
	some := reset
	some.Toxicity = 0.8
	cure = tr.poison(proxies, some)
	for range d / resetTime {
		pass(resetTime)
		cure()
		cure = tr.poison(proxies, some)
	}
	return cure
}

// sign remembers how the node was; seen returns an error unless the fault shows in it.
type sign func(tr *trial) (seen func() error)

// watched has a fault of the network befall the node, and many ask it meanwhile. The test fails if an answer or a refusal
// takes too long, or if the fault has shown in nothing.
func (n *network) watched(tr *trial, shows sign, befall func() (cure func())) (undo func()) {
	tr.Helper()
	seen := shows(tr)
	rest := n.watch(tr)
	cure := befall()
	return func() {
		if err := seen(); err != nil {
			tr.Errorf("there was nothing of the fault to see: %v", err)
		}
		answered, longest := rest()
		cure()
		tr.Logf("%d requests to the node answered by those who watched it, the longest after %v", answered, longest.Round(time.Millisecond))
		if answered == 0 {
			tr.Error("the node has answered nothing")
		}
		if longest > answerTime {
			tr.Errorf("a request took %v", longest)
		}
	}
}

// watch asks the node until rest is called, which waits for the last answers.
func (n *network) watch(tr *trial) (rest func() (answered int, longest time.Duration)) {
	ctx, cancel := context.WithCancel(tr.Context())
	var (
		wg       sync.WaitGroup
		mu       sync.Mutex
		answered int
		longest  time.Duration
	)
	for i := range watchers {
		r := tr.newReader(n.node, fmt.Sprintf("watcher %d", i+1))
		wg.Go(func() {
			tick := time.NewTicker(10 * time.Millisecond)
			defer tick.Stop()
			for ctx.Err() == nil {
				begun := time.Now()
				err := r.any(context.WithoutCancel(ctx))
				took := time.Since(begun)
				tr.count(n.node, err)
				mu.Lock()
				longest = max(longest, took)
				if err == nil {
					answered++
				}
				mu.Unlock()
				<-tick.C
			}
		})
	}
	return func() (int, time.Duration) {
		cancel()
		wg.Wait()
		return answered, longest
	}
}

// behind: the node has been told nothing for most of the fault, and the others have.
func (n *network) behind(tr *trial) (seen func() error) {
	return func() error {
		now := time.Now()
		var ages [nodeCount]time.Duration
		for i, admin := range tr.admins {
			w, err := tr.metric(admin, "vidmeta_watermark_timestamp_seconds")
			if err != nil {
				return err
			}
			ages[i] = now.Sub(time.UnixMicro(int64(w * 1e6)))
		}
		for i, age := range ages {
			if i != n.node && (ages[n.node] < 2*time.Second || age > ages[n.node]/2) {
				return fmt.Errorf("nodes have been told nothing for %v", ages)
			}
		}
		return nil
	}
}

// late: what the node is told is as old as the network makes it.
func (n *network) late(tr *trial) (seen func() error) {
	return func() error {
		delay, err := tr.metric(tr.admins[n.node], "vidmeta_feed_delay_seconds")
		if err == nil && delay < 0.2 {
			err = fmt.Errorf("the feed is %v s late", delay)
		}
		return err
	}
}

// grows: the node counts what fails.
func (n *network) grows(name string) sign {
	return func(tr *trial) (seen func() error) {
		tr.Helper()
		before, err := tr.metric(tr.admins[n.node], name)
		tr.must(err)
		return func() error {
			after, err := tr.metric(tr.admins[n.node], name)
			if err == nil && after == before {
				err = fmt.Errorf("%s has stayed %v", name, before)
			}
			return err
		}
	}
}
