package e2e

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"vidmeta/internal/history"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

const (
	convergeTime = 5 * time.Second // after a fault's end, until everything equals MySQL again
	maxAge       = 2 * time.Second // the service's own bound
	calmTime     = 500 * time.Millisecond
	written      = 300 // documents that are written and read while faults come and go
)

// fault is something that befalls the service while it is written to and read from. do brings it about and returns what
// ends it, which is called when it has lasted.
type fault struct {
	name  string
	often often
	lasts time.Duration
	do    func(*trial) (undo func())
}

// often says when a fault is tried.
type often int

const (
	seldom often = iota // when there is time
	once                // always, on one kind of server
	twice               // always, on each: it depends on the kind of server
)

// trial is the service under load, and what befalls it.
type trial struct {
	*workload
	*testing.T // of the fault at hand

	writing    sync.RWMutex           // held by each transaction; who locks it stops the writers
	down       [nodeCount]atomic.Bool // requests to this node may fail
	tallies    [nodeCount]tally
	mu         sync.Mutex
	unexpected []error
}

// tally is how the requests to one node ended.
type tally struct{ answered, refused, written atomic.Int64 }

// begin starts the load on a fleet; it goes on until the test ends.
func begin(t *testing.T, f *fleet) *trial {
	tr := &trial{workload: f.newWorkload(t, written), T: t}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		wg.Wait()
	})
	paced := func(pace time.Duration, step func()) {
		wg.Go(func() {
			tick := time.NewTicker(pace)
			defer tick.Stop()
			for ctx.Err() == nil {
				step()
				select {
				case <-tick.C:
				case <-ctx.Done():
				}
			}
		})
	}
	for i := range 4 {
		paced(8*time.Millisecond, func() {
			tr.writing.RLock()
			defer tr.writing.RUnlock()
			// What fails is rolled back, or recorded as a commit without an answer.
			if tr.write(ctx, fmt.Sprintf("writer %d", i+1)) == nil {
				tr.tallies[0].written.Add(1)
			}
		})
	}
	for i := range 3 * nodeCount {
		r := tr.newReader(i%nodeCount, fmt.Sprintf("reader %d", i+1))
		paced(4*time.Millisecond, func() { tr.count(r.node, r.any(ctx)) })
	}
	for _, p := range f.Redis.Nodes() {
		s := tr.newSampler(p.Addr())
		t.Cleanup(func() { s.client.Close() })
		paced(20*time.Millisecond, func() { s.look(ctx) })
	}
	return tr
}

// count counts how a request ended. One that failed is wrong, unless its node is meant to be down.
func (tr *trial) count(node int, err error) {
	var refused *refusal
	switch {
	case err == nil:
		tr.tallies[node].answered.Add(1)
	case errors.As(err, &refused):
		tr.tallies[node].refused.Add(1)
	case tr.down[node].Load() || errors.Is(err, context.Canceled):
	default:
		tr.mu.Lock()
		defer tr.mu.Unlock()
		tr.unexpected = append(tr.unexpected, err)
	}
}

// counts returns how many requests of all nodes have been answered and refused, and how many transactions committed.
func (tr *trial) counts() (answered, refused, written int64) {
	for n := range tr.tallies {
		answered += tr.tallies[n].answered.Load()
		refused += tr.tallies[n].refused.Load()
		written += tr.tallies[n].written.Load()
	}
	return answered, refused, written
}

// slowest returns how long an answer has taken at most.
func slowest(h *history.History) (d time.Duration) {
	for i := range h.Answers {
		d = max(d, h.Answers[i].End.Sub(h.Answers[i].Begin))
	}
	return d
}

// carried sums a metric of the sidecars. One that is killed begins anew.
func (tr *trial) carried(name string) (sum float64) {
	tr.Helper()
	for _, admin := range tr.sidecarAdmins {
		v, err := tr.metric(admin, name)
		tr.must(err)
		sum += v
	}
	return sum
}

// suffer has one fault happen, and fails the test if a promise is broken by it, or if the service does not come back.
func (tr *trial) suffer(t *testing.T, f fault) {
	tr.T = t
	judged := false
	defer func() {
		if !judged { // it came to no end; what was seen until then may tell why
			tr.verdict(tr.recorder.Take())
		}
	}()
	pass(calmTime)
	answered, refused, written := tr.counts()
	drops, again := tr.carried("vidmeta_sidecar_drops_total"), tr.carried("vidmeta_sidecar_changes_again_total")
	begun := history.Now()
	undo := f.do(tr)
	pass(f.lasts)
	undo()
	ended := history.Now()
	a, r, w := tr.counts()
	took, h := tr.converge(ended)
	h.Incidents = append(h.Incidents, history.Incident{Name: f.name, Begin: begun, End: history.Now()})
	for n := range tr.down {
		tr.down[n].Store(false)
		tr.muted[n].Store(false)
	}
	if err := tr.Redis.WaitHealthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Logf("%v long: %d transactions, %d requests answered, %d refused; the slowest in %v; all equal %v later; dropped %v times, %v changes marked again",
		ended.Sub(begun).Round(time.Millisecond), w-written, a-answered, r-refused,
		slowest(h).Round(time.Millisecond), took.Round(time.Millisecond),
		tr.carried("vidmeta_sidecar_drops_total")-drops, tr.carried("vidmeta_sidecar_changes_again_total")-again)
	judged = true
	tr.verdict(h)
}

// stampede has many clients want documents at once that no cache holds.
func (tr *trial) stampede(t *testing.T) {
	tr.T = t
	const cold, clients = 20, 10
	var wg sync.WaitGroup
	for i := range clients * nodeCount {
		r := tr.newReader(i%nodeCount, fmt.Sprintf("client %d", i+1))
		wg.Go(func() {
			for id := range schema.ID(cold) {
				tr.count(r.node, r.get(t.Context(), schema.ID(tr.videos)-id, plain))
			}
		})
	}
	wg.Wait()
	h := tr.recorder.History()
	loads := 0
	for _, l := range h.Loads {
		if l.ID > uint64(tr.videos-cold) {
			loads++
		}
	}
	if loads != cold {
		t.Errorf("%d loads of %d documents", loads, cold)
	}
	tr.verdict(h)
}

// verdict fails the test for whatever was wrong.
func (tr *trial) verdict(h *history.History) {
	tr.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	for i, err := range tr.unexpected {
		if i == 10 {
			break
		}
		tr.Errorf("a request failed: %v", err)
	}
	tr.unexpected = nil
	check(tr.T, h, history.Limits{Lease: leaseTime, Settle: dropTime})
}

// converge stops the writers and waits until all tiers of all nodes equal MySQL, document by document, and answers are
// fresh again. It returns how long that took from the end of the fault, and the history until then.
func (tr *trial) converge(since history.Time) (took time.Duration, h *history.History) {
	tr.Helper()
	tr.writing.Lock()
	defer tr.writing.Unlock()
	quiet := time.Now()
	var last error
	var began history.Time // when the last look at everything did; on a busy machine it takes a while
	stacktest.WaitFor(tr, 60*time.Second, func() error {
		began = history.Now()
		err := tr.agreed(tr.Context(), quiet)
		if err != nil {
			last = err
		}
		return err
	})
	if took = began.Sub(since); took > convergeTime {
		tr.Errorf("it took %v until everything equalled MySQL again, want %v; the last that did not: %v", took, convergeTime, last)
	}
	if looked := history.Now().Sub(began); looked > convergeTime {
		tr.Logf("to look at everything took %v", looked)
	}
	return took, tr.renew(tr.truth(tr.T, tr.all()...))
}

// agreed returns an error unless all tiers of all nodes equal MySQL, which is not being written to since a time.
func (tr *trial) agreed(ctx context.Context, quiet time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	for n, admin := range tr.admins {
		if w, err := tr.metric(admin, "vidmeta_watermark_timestamp_seconds"); err != nil || w < float64(quiet.UnixMicro())/1e6 {
			return fmt.Errorf("node %d has been told until %f, want %f (%v)", n+1, w, float64(quiet.UnixMicro())/1e6, err)
		}
	}
	docs, err := tr.store.Load(ctx, tr.all())
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return tr.redisAgrees(ctx, docs) })
	for n := range tr.nodes {
		g.Go(func() error {
			for range 2 { // the second time from the local tier
				if err := tr.nodeAgrees(ctx, n, docs); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

func (tr *trial) nodeAgrees(ctx context.Context, node int, docs []schema.Document) error {
	ids := make([]byte, 0, 4*len(docs))
	for _, d := range docs {
		ids = fmt.Appendf(ids, "%d,", d.ID)
	}
	body := fmt.Appendf(nil, `{"ids":[%s]}`, ids[:len(ids)-1])
	asked := time.Now()
	_, text, err := (&reader{workload: tr.workload, node: node}).ask(ctx, "POST", "/v1/videos/lookup", map[string]string{"Content-Type": "application/json"}, body)
	if err != nil {
		return err
	}
	results, err := parseResults(text)
	if err != nil || len(results) != len(docs) {
		return fmt.Errorf("node %d: %d results for %d documents: %w", node+1, len(results), len(docs), err)
	}
	for i, res := range results {
		a := answer{status: res.Status, version: schema.Version(res.Version), body: string(res.Video), path: "lookup"}
		if err := a.differs(docs[i]); err != nil {
			return fmt.Errorf("node %d: %w", node+1, err)
		}
		if age := asked.Sub(res.AsOf); age > maxAge {
			return fmt.Errorf("node %d: video %d: the answer is %v old", node+1, res.ID, age)
		}
	}
	return nil
}

// pass lets the load go on for a while.
func pass(d time.Duration) { <-time.After(d) }

// await waits for something that a fault brings about.
func (tr *trial) await(what func() error) {
	tr.Helper()
	stacktest.WaitFor(tr, 20*time.Second, what)
}

// must ends the test if something that a fault needs does not work.
func (tr *trial) must(err error) {
	tr.Helper()
	if err != nil {
		tr.Fatal(err)
	}
}
