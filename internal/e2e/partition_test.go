package e2e

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"

	"vidmeta/api"
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

// faults are what can befall the network of one node.
func (n *network) faults() []fault {
	redis := slices.Concat(n.documents, n.feed)
	all := slices.Concat(redis, n.mysql)
	return []fault{
		{"one node's packets to Redis are held back", once, pauseTime,
			n.watched(n.behind, func(tr *trial) func() { return tr.poison(redis, withheld[:]...) })},
		{"one node's packets to the feed are swallowed", once, 3 * time.Second,
			n.watched(n.behind, func(tr *trial) func() { return tr.poison(n.feed, swallowed[:]...) })},
		{"one node's packets to the database are swallowed", twice, 2 * time.Second,
			n.watched(n.fails("origin"), func(tr *trial) func() { return tr.poison(n.mysql, swallowed[:]...) })},
		{"one node's packets are slow", once, 2 * time.Second,
			n.watched(n.late, func(tr *trial) func() { return tr.poison(all, slow[1]) })},
		{"one node's connections are reset", once, 0,
			n.watched(n.fails("feed"), func(tr *trial) func() { return tr.resets(all, 2*time.Second) })},
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

// watched is a fault of the network that befalls the node while many ask it. The test fails if an answer or a refusal
// takes too long, or if nothing shows that there was a fault.
func (n *network) watched(shows sign, befall func(*trial) (cure func())) func(*trial) (undo func()) {
	return func(tr *trial) func() {
		tr.Helper()
		seen := shows(tr)
		rest := n.watch(tr)
		cure := befall(tr)
		return func() {
			if err := seen(); err != nil {
				tr.Errorf("nothing shows that there was a fault: %v", err)
			}
			answered, longest := rest()
			cure()
			tr.Logf("the node has answered %d requests; none took longer than %v", answered, longest.Round(time.Millisecond))
			if answered == 0 {
				tr.Error("the node has answered nothing")
			}
			if longest > answerTime {
				tr.Errorf("a request took %v", longest)
			}
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
		if err == nil && delay < 0.15 {
			err = fmt.Errorf("the feed is %v s late", delay)
		}
		return err
	}
}

// fails: the node counts errors of what is named.
func (n *network) fails(what string) sign {
	name := "vidmeta_" + what + "_errors_total"
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
