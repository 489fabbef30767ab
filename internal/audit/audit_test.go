package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"golang.org/x/sync/errgroup"

	"vidmeta/cache"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// broken is a node that says of some documents what no node should.
type broken struct {
	node http.Handler
	says map[schema.ID]func(asked int, d *localDocument)

	mu    sync.Mutex
	asked map[schema.ID]int
}

func (b *broken) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	rec := httptest.NewRecorder()
	b.node.ServeHTTP(rec, r)
	var documents []localDocument
	if err := json.Unmarshal(rec.Body.Bytes(), &documents); err != nil {
		http.Error(rw, err.Error(), http.StatusInternalServerError)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range documents {
		d := &documents[i]
		if says := b.says[d.ID]; says != nil && r.URL.Query().Has("ids") {
			b.asked[d.ID]++
			says(b.asked[d.ID], d)
		}
	}
	_ = json.NewEncoder(rw).Encode(documents)
}

// Each kind of disagreement is planted, beside a node that is well.
func TestPlanted(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			w := newWorld(t, flavor)
			w.warm()
			w.plant(3, func(e *cache.Envelope) { e.Version-- })
			w.plant(4, func(e *cache.Envelope) { e.Version++ })
			w.plant(5, func(e *cache.Envelope) { e.Body = []byte(`{"id":5}`) })
			w.plant(6, func(e *cache.Envelope) { e.Kind, e.Body = cache.Absent, nil })
			old := func(_ int, d *localDocument) { d.Version-- }
			bad := &broken{node: LocalHandler(w.nodes[1]), asked: map[schema.ID]int{}, says: map[schema.ID]func(int, *localDocument){
				7: old,
				8: func(asked int, d *localDocument) {
					if asked <= 2 {
						d.Version--
					}
				},
				9: func(_ int, d *localDocument) {
					d.Version, d.Why = d.Version-1, "it was loaded before its last invalidation"
				},
				10: func(_ int, d *localDocument) {
					*d = localDocument{ID: d.ID, Held: cache.Held{State: cache.StateNothing}}
				},
			}}
			a := w.auditor(shortAges, func(c *Config) { c.Nodes = []string{w.urls[0], w.serve(bad)} })
			r, err := a.Run(t.Context(), Plan{Samples: 20, Recent: 100, Rate: 1000})
			if err != nil {
				t.Fatal(err)
			}
			text, _ := json.MarshalIndent(r, "", "  ")
			got := map[schema.ID]string{}
			for _, f := range r.Lasting {
				where := f.Tier
				if f.Node != "" && f.Node == a.cfg.Nodes[1] {
					where = "bad"
				}
				if f.ID == 8 && f.Outlived == "1s" { // on a slow machine the second look comes late
					f.Outlived = "0.1s"
				}
				got[f.ID] += fmt.Sprintf("%s %s %s;", where, f.Kind, f.Outlived)
				if older := f.Kind == "older"; f.ID != 8 && f.Untrue != older { // seen for so short it may be either
					t.Errorf("video %d: untrue=%t", f.ID, f.Untrue)
				}
			}
			if want := map[schema.ID]string{
				3: "redis older 2s;",
				4: "redis newer 2s;",
				5: "redis differs 2s;",
				6: "redis differs 2s;",
				7: "bad older 2s;",
				8: "bad older 0.1s;",
			}; !maps.Equal(got, want) {
				t.Errorf("found %v, want %v\n%s", got, want, text)
			}
			if r.Picked.Recent+r.Picked.Held+r.Picked.Random != videos {
				t.Errorf("picked %+v of %d videos", r.Picked, videos)
			}
			for i, want := range []struct{ compared, disagreed, lasting int }{{videos, 2, 1}, {videos, 4, 4}} {
				tier := r.Tiers[i]
				if tier.Compared != want.compared || tier.After[0].Disagreed != want.disagreed || tier.After[3].Disagreed != want.lasting {
					t.Errorf("%s", text)
				}
			}
		})
	}
}

// A fleet that is well is found to be well, whatever is being written.
func TestHealthyUnderWrites(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			w := newWorld(t, flavor)
			w.warm()
			ctx, cancel := context.WithCancel(t.Context())
			g, ctx := errgroup.WithContext(ctx)
			var written atomic.Int64
			for n := range 4 {
				g.Go(func() error {
					for i := n; ctx.Err() == nil; i += 7 {
						id := i%videos + 1
						var err error
						switch {
						case i%11 == 0 && id > 30:
							_, err = w.db.Exec("DELETE FROM videos WHERE id = ?", id)
						case id > 30:
							_, err = w.db.Exec("REPLACE INTO videos (id, title) VALUES (?, ?)", id, i)
						default:
							_, err = w.db.Exec("UPDATE videos SET title = ? WHERE id = ?", i, id)
						}
						if err != nil && !strings.Contains(err.Error(), "Deadlock") && !strings.Contains(err.Error(), "try restarting") {
							return err
						}
						written.Add(1)
					}
					return nil
				})
				g.Go(func() error { // has the local tiers hold what is written
					for ctx.Err() == nil {
						for id := schema.ID(1); id <= videos; id++ {
							_, _ = w.nodes[n%2].Get(ctx, id, schema.ReadOptions{})
						}
					}
					return nil
				})
			}
			// Every document is looked at in each of these.
			total := 0
			for range 5 {
				r, err := w.auditor(ages).Run(t.Context(), Plan{Samples: videos, Recent: videos, Rate: 2000})
				if err != nil {
					t.Fatal(err)
				}
				for _, tier := range r.Tiers {
					total += tier.Compared
					if tier.After[1].Disagreed > 0 || tier.Untrue > 0 || tier.After[3].Compared != tier.Compared {
						text, _ := json.MarshalIndent(r, "", "  ")
						t.Fatalf("%s", text)
					}
				}
				for _, p := range r.Asked {
					if p.Unanswered > 0 {
						t.Errorf("%+v", p)
					}
				}
			}
			cancel()
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			if written.Load() < 100 || total < 100 {
				t.Errorf("%d writes and %d comparisons are too few", written.Load(), total)
			}
			t.Logf("%d comparisons during %d writes", total, written.Load())
		})
	}
}

// Who cannot be asked is counted; the others are compared all the same.
func TestAway(t *testing.T) {
	w := newWorld(t, stacktest.Flavors(t)[0])
	w.warm()
	away := httptest.NewServer(nil)
	away.Close()
	reg := prometheus.NewRegistry()
	a := w.auditor(shortAges, func(c *Config) { c.Nodes, c.Registerer = []string{away.URL, w.urls[0]}, reg })
	r, err := a.Run(t.Context(), Plan{Samples: 10, Recent: 10, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Asked {
		if gone := p.Name == away.URL; gone != (p.Unanswered == p.Asked) || gone != (p.Error != "") {
			t.Errorf("%+v", p)
		}
	}
	if r.Tiers[0].Compared == 0 || r.Tiers[1].Compared == 0 || len(r.Asked) != 4 {
		t.Errorf("%+v", r)
	}
	if n := testutil.ToFloat64(a.metrics.failures.WithLabelValues("node")); n == 0 {
		t.Error("no failure is counted")
	}
}

// An audit is no load: it looks at no more documents in a second than it may.
func TestRate(t *testing.T) {
	w := newWorld(t, stacktest.Flavors(t)[0])
	w.warm()
	r, err := w.auditor(shortAges).Run(t.Context(), Plan{Recent: videos, Rate: videos})
	if err != nil {
		t.Fatal(err)
	}
	if r.Picked.Recent != videos || r.Took < 0.7 { // the last quarter is looked at after 0.75 s
		t.Errorf("%d documents in %.2f s", r.Picked.Recent, r.Took)
	}
}

// It is interrupted while a node is being asked, who is not to blame for that.
func TestInterrupted(t *testing.T) {
	w := newWorld(t, stacktest.Flavors(t)[0])
	w.warm()
	w.plant(3, func(e *cache.Envelope) { e.Version-- })
	ctx, cancel := context.WithCancel(t.Context())
	well, asked := LocalHandler(w.nodes[0]), 0
	url := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if asked++; asked == 5 {
			cancel()
			<-r.Context().Done()
		}
		well.ServeHTTP(rw, r)
	}))
	a := w.auditor([]time.Duration{0, 10 * time.Millisecond, time.Hour}, func(c *Config) { c.Nodes = []string{url} })
	r, err := a.Run(ctx, Plan{Recent: videos, Rate: 1000})
	if !errors.Is(err, context.Canceled) || r == nil || len(r.Lasting) != 1 || r.Lasting[0].Outlived != "0.01s" {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, p := range r.Asked {
		if p.Unanswered > 0 {
			t.Errorf("%+v", p)
		}
	}
}

// In the background a few documents are looked at in each interval, by the one who leads.
func TestWatch(t *testing.T) {
	w := newWorld(t, stacktest.Flavors(t)[0])
	w.warm()
	w.plant(3, func(e *cache.Envelope) { e.Version-- })
	a := w.auditor(shortAges)
	ctx, cancel := context.WithCancel(t.Context())
	var leads atomic.Bool
	asked := make(chan struct{}, 1000)
	done := make(chan error, 1)
	go func() {
		done <- a.Watch(ctx, 20*time.Millisecond, func() bool {
			asked <- struct{}{}
			return leads.Load()
		})
	}()
	for range 2 {
		select {
		case <-asked:
		case <-time.After(patience):
			t.Fatal("nobody asks who leads")
		}
	}
	if n := testutil.ToFloat64(a.metrics.samples[schema.TierRedis]); n != 0 {
		t.Errorf("%v documents were compared by one who does not lead", n)
	}
	leads.Store(true)
	stacktest.WaitFor(t, patience, func() error {
		w.exec("UPDATE videos SET title = 'of late' WHERE id = 2")
		local, redis := testutil.ToFloat64(a.metrics.samples[schema.TierLocal]), testutil.ToFloat64(a.metrics.samples[schema.TierRedis])
		first, last := testutil.ToFloat64(a.metrics.disagreements[schema.TierRedis][0]), testutil.ToFloat64(a.metrics.disagreements[schema.TierRedis][3])
		if local < 1 || redis < 10 || first < 1 || last < 1 || testutil.ToFloat64(a.metrics.lastRun) == 0 {
			return fmt.Errorf("compared %v local and %v in Redis, %v disagreements and %v that lasted", local, redis, first, last)
		}
		return nil
	})
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(a.metrics.disagreements[schema.TierLocal][1]); n != 0 {
		t.Errorf("%v local documents disagree", n)
	}
}

// What is to be looked at comes from everywhere, each document once.
func TestPick(t *testing.T) {
	for _, flavor := range stacktest.Flavors(t) {
		t.Run(string(flavor), func(t *testing.T) {
			w := newWorld(t, flavor)
			p := picker{db: w.db, feed: w.cfg.Redis}
			w.exec("INSERT INTO videos (id, title) VALUES (1000, 'far away')")
			found := map[schema.ID]int{}
			for range 20 {
				ids, err := p.random(t.Context(), largestBatch)
				if err != nil || len(ids) != largestBatch {
					t.Fatalf("%v, %v", ids, err)
				}
				for _, id := range ids {
					found[id]++
				}
			}
			if len(found) < videos/2 || found[1000] == 0 {
				t.Errorf("of %d videos only these were picked: %v", videos+1, found)
			}
			for id := range found {
				if id > videos && id != 1000 {
					t.Errorf("there never was a video %d", id)
				}
			}

			w.exec("UPDATE videos SET title = 'x' WHERE id IN (3, 4)")
			w.exec("UPDATE videos SET title = 'y' WHERE id = 4")
			var ids []schema.ID
			stacktest.WaitFor(t, patience, func() error {
				more, err := p.changed(t.Context(), 100)
				ids = append(ids, more...)
				if err == nil && (!slices.Contains(ids, 3) || !slices.Contains(ids, 4)) {
					err = fmt.Errorf("%v", ids)
				}
				return err
			})
			if more, err := p.changed(t.Context(), 100); err != nil || len(more) > 1 { // the second change of 4 may come late
				t.Errorf("changed again: %v, %v", more, err)
			}

			w.exec("DELETE FROM videos")
			w.exec("DELETE FROM " + schema.VersionTable)
			if ids, err := (&picker{db: w.db}).random(t.Context(), 3); err != nil || len(ids) != 0 {
				t.Errorf("of nothing: %v, %v", ids, err)
			}
		})
	}
}

func TestNode(t *testing.T) {
	w := newWorld(t, stacktest.Flavors(t)[0])
	w.warm()
	n := &node{url: w.urls[0], client: http.DefaultClient}
	held, err := n.inspect(t.Context(), []schema.ID{7, 100, 7})
	if err != nil || len(held) != 3 || held[0].State != cache.StateLive || held[0].Digest == "" || held[1].State != cache.StateNothing || held[2].Digest != held[0].Digest {
		t.Errorf("%+v, %v", held, err)
	}
	if ids, err := n.sample(t.Context(), 10); err != nil || len(ids) != 10 {
		t.Errorf("%v, %v", ids, err)
	}
	if ids, err := n.sample(t.Context(), 1000); err != nil || len(ids) != videos {
		t.Errorf("%v, %v", ids, err)
	}
	for query, want := range map[string]int{
		"ids=1": 200, "sample=1000": 200,
		"": 400, "ids=": 400, "ids=0": 400, "ids=1,x": 400, "ids=-1": 400, "sample=0": 400, "sample=1001": 400, "sample=x": 400,
		"ids=1" + strings.Repeat(",1", 999): 200, "ids=1" + strings.Repeat(",1", 1000): 400,
	} {
		res, err := http.Get(w.urls[0] + LocalPath + "?" + query)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("%.20s: %d, want %d", query, res.StatusCode, want)
		}
	}
	for name, answer := range map[string]string{
		"another document": `[{"id":8,"state":"live"}]`,
		"too many":         `[{"id":7,"state":"live"},{"id":7,"state":"live"}]`,
		"no JSON":          `oops`,
		"endless":          `[{"id":7,"why":"` + strings.Repeat("x", 2<<20) + `"}]`,
	} {
		url := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, answer) }))
		if held, err := (&node{url: url, client: http.DefaultClient}).inspect(t.Context(), []schema.ID{7}); err == nil {
			t.Errorf("%s: %+v", name, held)
		}
	}
	asks := make(chan string, 1)
	url := w.serve(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		asks <- r.Header.Get("Authorization")
		http.Error(rw, "a bearer token is required", http.StatusUnauthorized)
	}))
	if _, err := (&node{url: url, token: "s3cret", client: http.DefaultClient}).inspect(t.Context(), []schema.ID{7}); err == nil || !strings.Contains(err.Error(), "bearer token") {
		t.Errorf("%v", err)
	}
	if got := <-asks; got != "Bearer s3cret" {
		t.Errorf("%q", got)
	}
}
