package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// follow runs a subscriber of a chain until the test ends.
func follow(t *testing.T, c *Chain) *Subscriber {
	t.Helper()
	client, err := NewClient(ClientConfig{Addrs: stacktest.Redis(t), Timeout: 5 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	s := NewSubscriber(c, client)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s
}

func lead(t *testing.T, r *Redis) *Feed {
	t.Helper()
	f := NewFeed(NewShared(r))
	if _, _, err := f.Lead(t.Context()); err != nil {
		t.Fatal(err)
	}
	muster(t, f.shared)
	return f
}

// publish sends changes with a watermark of now, and waits until a chain has been told.
func publish(t *testing.T, f *Feed, c *Chain, epoch string, changes ...schema.Change) {
	t.Helper()
	w := time.Now()
	if err := f.Publish(t.Context(), epoch, "", w, changes); err != nil {
		t.Fatal(err)
	}
	told(t, c, w)
}

func told(t *testing.T, c *Chain, w time.Time) {
	t.Helper()
	stacktest.WaitFor(t, 10*time.Second, func() error {
		if got := c.redis.standing.Load().watermark; got < w.UnixMicro() {
			return fmt.Errorf("the watermark is %d, want %d", got, w.UnixMicro())
		}
		return nil
	})
}

func gaps(c *Chain) map[string]int {
	m := map[string]int{}
	for reason, counter := range c.metrics.feedGaps {
		if n := int(testutil.ToFloat64(counter)); n > 0 {
			m[reason] = n
		}
	}
	return m
}

func TestFeedInvalidates(t *testing.T) {
	origin, r := newMemory(), openRedis(t)
	c := openChain(t, origin, r)
	f := lead(t, r)
	publish2 := func(changes ...schema.Change) { t.Helper(); publish(t, f, c, "", changes...) }
	follow(t, c)
	publish2()
	for v := schema.Version(1); v < 20; v++ {
		origin.set(1, v)
		if mark(t, r, 1, v) {
			put(t, r, document(1, v))
		}
		publish2(schema.Change{ID: 1, Version: v})
		get(t, c, 1, v, schema.ReadOptions{})
		if a := get(t, c, 1, v, schema.ReadOptions{}); outcomes(a) != "hit not_asked not_asked" {
			t.Fatalf("version %d: %q", v, outcomes(a))
		}
	}
	if g := gaps(c); len(g) != 0 {
		t.Errorf("gaps: %v", g)
	}
	if d := testutil.ToFloat64(c.metrics.feedDelay); d == 0 || d > 10 || d < -10 {
		t.Errorf("the feed took %v s, on one machine", d)
	}
}

func TestFeedManyChanges(t *testing.T) {
	r := openRedis(t)
	c := openChain(t, newMemory(), r)
	f := lead(t, r)
	follow(t, c)
	publish(t, f, c, "")
	var changes []schema.Change
	before := map[schema.ID]uint64{}
	for id := range schema.ID(3*feedBatch + 1) {
		changes = append(changes, schema.Change{ID: id + 1, Version: 7})
		before[id+1] = c.fence.Stamp(id + 1)
	}
	publish(t, f, c, "", changes...)
	for id, stamp := range before {
		if c.fence.Stamp(id) == stamp {
			t.Fatalf("%d was not invalidated", id)
		}
	}
}

func TestFeedGaps(t *testing.T) {
	deposeAndForget := func(t *testing.T, r *Redis, f *Feed, c *Chain) *Feed {
		keys := r.feedKeys()
		if err := r.cfg.Client.Del(t.Context(), keys...).Err(); err != nil {
			t.Fatal(err)
		}
		return lead(t, r)
	}
	for name, tc := range map[string]struct {
		happens func(t *testing.T, r *Redis, f *Feed, c *Chain) *Feed
		epoch   string
		want    map[string]int
	}{
		"nothing":       {func(_ *testing.T, _ *Redis, f *Feed, _ *Chain) *Feed { return f }, "", map[string]int{}},
		"the next term": {func(t *testing.T, r *Redis, _ *Feed, _ *Chain) *Feed { return lead(t, r) }, "", map[string]int{}},
		"another epoch": {func(_ *testing.T, _ *Redis, f *Feed, _ *Chain) *Feed { return f }, "e2", map[string]int{gapEpoch: 1}},
		"all is lost":   {deposeAndForget, "", map[string]int{gapTerm: 1}},
		"a missing entry": {func(t *testing.T, r *Redis, f *Feed, c *Chain) *Feed {
			f.seq++ // as if an entry had been trimmed before this node read it
			return f
		}, "", map[string]int{gapSequence: 1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := openRedis(t)
			c := openChain(t, newMemory(), r)
			f := lead(t, r)
			follow(t, c)
			publish(t, f, c, "")
			stamp := c.fence.Stamp(1)
			f = tc.happens(t, r, f, c)
			if name == "a missing entry" {
				if err := r.cfg.Client.HIncrBy(t.Context(), r.feedKeys()[1], "seq", 1).Err(); err != nil {
					t.Fatal(err)
				}
			}
			publish(t, f, c, tc.epoch)
			if g := gaps(c); fmt.Sprint(g) != fmt.Sprint(tc.want) {
				t.Errorf("gaps %v, want %v", g, tc.want)
			}
			if dropped := c.fence.Stamp(1) != stamp; dropped != (len(tc.want) > 0) {
				t.Errorf("local tier dropped: %v", dropped)
			}
			if got := r.standing.Load(); got.epoch != tc.epoch || got.roster.text != f.shared.roster().text {
				t.Errorf("standing %+v, want epoch %q and roster %q", got, tc.epoch, f.shared.roster().text)
			}
		})
	}
}

func TestFeedFencesDeposedLeader(t *testing.T) {
	r := openRedis(t)
	old := lead(t, r)
	if err := old.Publish(t.Context(), "e", "position 1", time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	next := NewFeed(NewShared(r))
	epoch, checkpoint, err := next.Lead(t.Context())
	if err != nil || epoch != "e" || checkpoint != "position 1" {
		t.Fatalf("the next leader finds %q, %q, %v", epoch, checkpoint, err)
	}
	if err := old.Publish(t.Context(), "e", "position 2", time.Now(), nil); !errors.Is(err, schema.ErrDeposed) {
		t.Errorf("the old leader publishes: %v", err)
	}
	if err := next.Publish(t.Context(), "e", "", time.Now(), nil); err != nil {
		t.Error(err)
	}
	if _, checkpoint, err = NewFeed(NewShared(r)).Lead(t.Context()); err != nil || checkpoint != "position 1" {
		t.Errorf("checkpoint %q, %v; want what was written last", checkpoint, err)
	}
}

// A clock that is ahead must not make others believe in a time to come.
func TestClockAhead(t *testing.T) {
	r := openRedis(t)
	f := lead(t, r)
	if err := f.Publish(t.Context(), "", "", time.Now().Add(time.Minute), nil); !errors.Is(err, errAhead) {
		t.Errorf("a watermark of the next minute: %v", err)
	}
	if err := f.Publish(t.Context(), "", "", time.Now(), nil); err != nil {
		t.Errorf("a watermark of now: %v", err)
	}
	ahead := time.Now().Add(time.Minute).UnixMicro()
	if err := runScript(t.Context(), r.cfg.Client, leadScript, r.feedKeys()[1:], "term", ahead).Err(); !isAhead(err) {
		t.Errorf("somebody who lives in the next minute may lead: %v", err)
	}
	if err := f.shared.Put(t.Context(), []schema.Document{document(2, 5)}, time.Now().Add(time.Minute)); err == nil {
		t.Error("what was loaded in the next minute is put")
	}
	l := grant(t, r, 1)
	if stored, err := r.fill(t.Context(), l, document(1, 5), ahead); stored || !errors.Is(err, errAhead) {
		t.Errorf("what was loaded in the next minute is stored: %v, %v", stored, err)
	}
	grant(t, r, 1) // the lease was used up
}

// A watermark vouches for the masters of its own roster. After a gap others may be on it, who never heard of it.
func TestFeedGapEndsTheWatermark(t *testing.T) {
	c := openChain(t, newMemory(), openRedis(t))
	s := &Subscriber{chain: c, log: c.cfg.Logger}
	for i, e := range []feedEntry{
		{term: "a", seq: 1, watermark: 10, roster: "x"},
		{term: "a", seq: 2, roster: "y"},                // continues: y holds what was told
		{term: "a", seq: 4, roster: "x"},                // a gap
		{term: "a", seq: 5, watermark: 20, roster: "x"}, // continues
		{term: "b", seq: 1, roster: "z"},                // another leader, who starts from elsewhere
		{term: "b", seq: 2, watermark: 30, roster: "z"},
		{term: "b", seq: 3, epoch: "e", roster: "z"},
	} {
		s.apply(e)
		want := fmt.Sprint(e.epoch, []int64{10, 10, 0, 20, 0, 30, 0}[i], e.roster)
		if got := c.redis.standing.Load().String(); got != want {
			t.Errorf("entry %d: %s, want %s", i, got, want)
		}
	}
}

// A leader that goes on trusts the masters that it knows, unless somebody else has led, or its own last epoch is lost.
func TestLeadRecallsTheRoster(t *testing.T) {
	r := openRedis(t)
	f := lead(t, r)
	publish := func(epoch string) {
		t.Helper()
		if err := f.Publish(t.Context(), epoch, "position", time.Now(), nil); err != nil {
			t.Fatal(err)
		}
	}
	again := func(f *Feed) (epoch string) {
		t.Helper()
		epoch, _, err := f.Lead(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return epoch
	}
	publish("")
	all := f.shared.roster().text
	f.shared.recent.begin("somebody", 1)
	if again(f); f.shared.roster().text != all || f.shared.recent.reach["somebody"] != 1 {
		t.Error("a leader that goes on has forgotten what it knew")
	}
	publish("")
	if again(f); f.shared.recent.reach["somebody"] != 1 {
		t.Error("a leader that has led without a word since has forgotten")
	}
	other := NewFeed(NewShared(r))
	again(f) // whose answer does not matter
	if again(other); other.shared.roster().text != all {
		t.Errorf("another leader recalls %q, want %q", other.shared.roster().text, all)
	}
	if err := other.Publish(t.Context(), "", "position", time.Now(), nil); err != nil {
		t.Fatal(err)
	}
	again(f) // the answer to which may be lost
	f.shared.recent.begin("somebody", 1)
	if again(f); f.shared.roster().text != all || len(f.shared.recent.reach) != 0 {
		t.Error("somebody else has led, and nothing was forgotten")
	}
	f.shared.Raise("next")
	muster(t, f.shared)
	f.shared.recent.begin("somebody", 1)
	if epoch := again(f); epoch != "" || len(f.shared.recent.reach) != 0 {
		t.Errorf("back in epoch %q, nothing was forgotten", epoch)
	}
}

// A master that fails over to a replica without the last entries makes the leader notice, not go on as if nothing was.
func TestFeedNoticesLoss(t *testing.T) {
	r := openRedis(t)
	f := lead(t, r)
	for range 3 {
		if err := f.Publish(t.Context(), "", "", time.Now(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.cfg.Client.HSet(t.Context(), r.feedKeys()[1], "seq", 2).Err(); err != nil {
		t.Fatal(err)
	}
	if err := f.Publish(t.Context(), "", "", time.Now(), nil); !errors.Is(err, schema.ErrDeposed) {
		t.Errorf("got %v, want ErrDeposed", err)
	}
}

// A node that starts later begins with the newest entry.
func TestFeedBeginsAtTheEnd(t *testing.T) {
	r := openRedis(t)
	f := lead(t, r)
	w := time.Now()
	for i := range 5 {
		if err := f.Publish(t.Context(), "e", "", w.Add(time.Duration(i)), []schema.Change{{ID: 1, Version: 6}}); err != nil {
			t.Fatal(err)
		}
	}
	c := openChain(t, newMemory(), r)
	s := follow(t, c)
	told(t, c, w)
	if err := s.Healthy(t.Context()); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(c.metrics.feedEntries); n != 1 {
		t.Errorf("%v entries were read, want the newest alone", n)
	}
	if g := gaps(c); len(g) != 1 || g[gapEpoch] != 1 {
		t.Errorf("gaps %v, want that of the epoch", g)
	}
}

func TestChangesRoundTrip(t *testing.T) {
	for _, changes := range [][]schema.Change{nil, {{ID: 1, Version: 2}}, {{ID: 1<<64 - 1, Version: schema.MaxVersion}, {ID: 5, Version: 0}}} {
		got, err := parseChanges(string(formatChanges(changes)), nil)
		if err != nil || !slices.Equal(got, changes) {
			t.Errorf("got %v, %v, want %v", got, err, changes)
		}
	}
	for _, s := range []string{"1", "1:", ":1", "1:2 ", "1:2,3:4", "-1:2", " "} {
		if got, err := parseChanges(s, nil); err == nil && s != "1:2 " {
			t.Errorf("%q was read as %v", s, got)
		}
	}
}

func BenchmarkFeedApply(b *testing.B) {
	c := openChain(b, newMemory(), openRedis(b, nowhere))
	s := &Subscriber{chain: c, log: c.cfg.Logger, term: "t"}
	var changes []schema.Change
	for id := range schema.ID(feedBatch) {
		changes = append(changes, schema.Change{ID: id + 1, Version: 1763837680123456})
	}
	values := map[string]any{"term": "t", "after": "", "epoch": "", "seq": "1", "watermark": "1", "roster": "", "changes": string(formatChanges(changes))}
	b.ReportAllocs()
	for b.Loop() {
		e, err := parseFeedEntry(values, s.buf[:0])
		if err != nil {
			b.Fatal(err)
		}
		e.seq = s.seq + 1
		s.apply(e)
		s.buf = e.changes
	}
	b.ReportMetric(float64(b.N*feedBatch)/b.Elapsed().Seconds(), "changes/s")
}
