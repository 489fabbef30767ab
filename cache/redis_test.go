package cache

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// held returns what Redis has under a document's key, "" if nothing, as kind and version.
func held(t *testing.T, r *Redis, id schema.ID) string {
	t.Helper()
	text, err := r.cfg.Client.Get(t.Context(), r.key("", id)).Bytes()
	if errors.Is(err, redis.Nil) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	e, err := ParseEnvelope(text)
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	if ttl := r.cfg.Client.PTTL(t.Context(), r.key("", id)).Val(); ttl <= 0 {
		t.Errorf("the key of %d has no expiry: %v", id, ttl)
	}
	return fmt.Sprintf("%c%d", e.Kind, e.Version)
}

func document(id schema.ID, v schema.Version) schema.Document {
	return schema.Document{ID: id, Version: v, Body: body(id, v)}
}

// grant takes the lease of id, which must be free.
func grant(t *testing.T, r *Redis, id schema.ID) *lease {
	t.Helper()
	got, err := r.acquire(t.Context(), "", id, 0, 0)
	if err != nil || got.state != leaseGranted {
		t.Fatalf("lease of %d: state %d, %v", id, got.state, err)
	}
	return got.lease
}

func mark(t *testing.T, r *Redis, id schema.ID, v schema.Version) (stale bool) {
	t.Helper()
	s, err := mustered(t, r).Mark(t.Context(), []schema.Change{{ID: id, Version: v}})
	if err != nil {
		t.Fatal(err)
	}
	return len(s) == 1
}

func put(t *testing.T, r *Redis, d schema.Document) {
	t.Helper()
	if err := mustered(t, r).Put(t.Context(), []schema.Document{d}, time.Now()); err != nil {
		t.Fatal(err)
	}
}

func fill(t *testing.T, r *Redis, l *lease, d schema.Document) (stored bool) {
	t.Helper()
	stored, err := r.fill(t.Context(), l, d, time.Now().UnixMicro())
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

// Each case is a row of steps on one key and what is there after each.
func TestScripts(t *testing.T) {
	type step struct {
		do   func(t *testing.T, r *Redis, leases map[string]*lease)
		want string
	}
	take := func(name string) func(*testing.T, *Redis, map[string]*lease) {
		return func(t *testing.T, r *Redis, ls map[string]*lease) { ls[name] = grant(t, r, 1) }
	}
	renews := func(name string) func(*testing.T, *Redis, map[string]*lease) { // the value there is not good enough
		return func(t *testing.T, r *Redis, ls map[string]*lease) {
			got, err := r.acquire(t.Context(), "", 1, schema.MaxVersion, 0)
			if err != nil || got.state != leaseGranted {
				t.Fatalf("lease: state %d, %v", got.state, err)
			}
			ls[name] = got.lease
		}
	}
	fills := func(name string, v schema.Version, want bool) func(*testing.T, *Redis, map[string]*lease) {
		return func(t *testing.T, r *Redis, ls map[string]*lease) {
			if stored := fill(t, r, ls[name], document(1, v)); stored != want {
				t.Errorf("fill of %d: stored %v, want %v", v, stored, want)
			}
		}
	}
	marks := func(v schema.Version, wantStale bool) func(*testing.T, *Redis, map[string]*lease) {
		return func(t *testing.T, r *Redis, _ map[string]*lease) {
			if stale := mark(t, r, 1, v); stale != wantStale {
				t.Errorf("mark of %d: stale %v, want %v", v, stale, wantStale)
			}
		}
	}
	puts := func(v schema.Version) func(*testing.T, *Redis, map[string]*lease) {
		return func(t *testing.T, r *Redis, _ map[string]*lease) { put(t, r, document(1, v)) }
	}
	deletes := func(v schema.Version) func(*testing.T, *Redis, map[string]*lease) {
		return func(t *testing.T, r *Redis, _ map[string]*lease) { put(t, r, schema.Document{ID: 1, Version: v}) }
	}
	evicted := func(t *testing.T, r *Redis, _ map[string]*lease) {
		if err := r.cfg.Client.Del(t.Context(), r.key("", 1)).Err(); err != nil {
			t.Error(err)
		}
	}
	busy := func(t *testing.T, r *Redis, _ map[string]*lease) {
		if got, err := r.acquire(t.Context(), "", 1, 0, 0); err != nil || got.state != leaseBusy {
			t.Errorf("a second lease: state %d, %v", got.state, err)
		}
	}
	cases := map[string][]step{
		"a fill under a lease":                        {{take("a"), ""}, {busy, ""}, {fills("a", 5, true), "L5"}},
		"a lease fills once":                          {{take("a"), ""}, {fills("a", 5, true), "L5"}, {evicted, ""}, {fills("a", 5, false), ""}},
		"a change ends the lease":                     {{take("a"), ""}, {marks(6, false), ""}, {take("b"), ""}, {fills("a", 5, false), ""}, {fills("b", 6, true), "L6"}},
		"a fill never goes back":                      {{take("a"), ""}, {fills("a", 7, true), "L7"}, {renews("b"), "L7"}, {fills("b", 6, false), "L7"}},
		"a fill of the same version renews":           {{take("a"), ""}, {fills("a", 7, true), "L7"}, {renews("b"), "L7"}, {fills("b", 7, true), "L7"}},
		"a cold document stays cold":                  {{marks(6, false), ""}, {puts(6), ""}},
		"a warm document is reported and put":         {{take("a"), ""}, {fills("a", 5, true), "L5"}, {marks(6, true), "L5"}, {puts(6), "L6"}, {marks(6, false), "L6"}},
		"what was filled before the mark is found":    {{take("a"), ""}, {fills("a", 5, true), "L5"}, {marks(6, true), "L5"}, {puts(7), "L7"}, {marks(7, false), "L7"}},
		"a put never goes back":                       {{take("a"), ""}, {fills("a", 7, true), "L7"}, {puts(6), "L7"}, {deletes(6), "L7"}},
		"a deletion is a version":                     {{take("a"), ""}, {fills("a", 5, true), "L5"}, {marks(6, true), "L5"}, {deletes(6), "A6"}, {marks(7, true), "A6"}, {puts(7), "L7"}},
		"a value as new as the change is not stale":   {{take("a"), ""}, {fills("a", 6, true), "L6"}, {marks(6, false), "L6"}, {marks(5, false), "L6"}},
		"versions of different widths are compared":   {{take("a"), ""}, {fills("a", 99, true), "L99"}, {marks(100, true), "L99"}, {puts(100), "L100"}, {puts(99), "L100"}},
		"a put to a key gone cold leaves it as it is": {{take("a"), ""}, {fills("a", 5, true), "L5"}, {marks(6, true), "L5"}, {evicted, ""}, {puts(6), ""}},
	}
	for name, steps := range cases {
		t.Run(name, func(t *testing.T) {
			r, leases := openRedis(t), map[string]*lease{}
			for i, s := range steps {
				s.do(t, r, leases)
				if got := held(t, r, 1); got != s.want {
					t.Fatalf("after step %d redis holds %q, want %q", i+1, got, s.want)
				}
			}
		})
	}
}

// What has had no answer is asked once more, but for a lease.
func TestLeaseIsAskedForOnce(t *testing.T) {
	r := openRedis(t)
	key := r.key("", 1)
	ops := []*op{getOp(key), {script: leaseScript, keys: []string{key, key + leaseSuffix}, args: []any{"token", 10000, "0", "0"}}}
	replies := []reply{{err: io.EOF}, {err: io.EOF}}
	redirect(t.Context(), r.cfg.Client, ops, replies)
	if !errors.Is(replies[0].err, redis.Nil) || !errors.Is(replies[1].err, io.EOF) {
		t.Errorf("%v; want that nothing is there, and that the lease has failed", replies)
	}
	grant(t, r, 1)
}

// The lease script takes a value for a hit only if it is as new as asked.
func TestLeaseNeedless(t *testing.T) {
	r := openRedis(t)
	stored := fill(t, r, grant(t, r, 1), document(1, 5))
	if !stored {
		t.Fatal("not stored")
	}
	got, err := r.acquire(t.Context(), "", 1, 5, 0)
	if err != nil || got.state != leaseNeedless || got.held.Version != 5 || string(got.held.Body) != string(body(1, 5)) {
		t.Errorf("state %d, %+v, %v; want the value", got.state, got.held, err)
	}
	if got, err = r.acquire(t.Context(), "", 1, 6, 0); err != nil || got.state != leaseGranted {
		t.Errorf("a newer version was asked for: state %d, %v; want a lease", got.state, err)
	}
	stored = fill(t, r, grant(t, r, 2), document(2, 5))
	if !stored {
		t.Fatal("not stored")
	}
	if got, err = r.acquire(t.Context(), "", 2, 0, time.Now().Add(time.Second).UnixMicro()); err != nil || got.state != leaseGranted {
		t.Errorf("a later load was asked for: state %d, %v; want a lease", got.state, err)
	}
}

// A node that has lost its scripts is taught them again.
func TestScriptsAreReloaded(t *testing.T) {
	r := openRedis(t)
	for range 2 {
		for id := range schema.ID(50) {
			mark(t, r, id+1, 1)
		}
		err := r.cfg.Client.ForEachMaster(t.Context(), func(ctx context.Context, c *redis.Client) error { return c.ScriptFlush(ctx).Err() })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTTLsAreJittered(t *testing.T) {
	r := openRedis(t)
	seen := map[time.Duration]bool{}
	for range 1000 {
		ttl := r.ttlOf(document(1, 1))
		if ttl < 54*time.Minute || ttl > 66*time.Minute {
			t.Fatalf("%v is not 1 h give or take a tenth", ttl)
		}
		seen[ttl] = true
	}
	if len(seen) < 900 {
		t.Errorf("%d distinct TTLs of 1000", len(seen))
	}
}

func TestSingleServer(t *testing.T) {
	r := openRedis(t, stacktest.SingleRedis(t))
	if stored := fill(t, r, grant(t, r, 1), document(1, 5)); !stored || held(t, r, 1) != "L5" {
		t.Error("a server without cluster support does not work")
	}
}

func TestClusterFromOneSeed(t *testing.T) {
	r := openRedis(t, stacktest.Redis(t)[0])
	for id := range schema.ID(50) { // of all slots' masters
		if stored := fill(t, r, grant(t, r, id+1), document(id+1, 5)); !stored {
			t.Error("a cluster does not work from one seed")
		}
	}
}

// Of addresses that masters have had, only those are remembered that somebody has asked of late, or still waits for.
func TestAddressesAreForgotten(t *testing.T) {
	r := openRedis(t)
	gone, late, busy, full := &redisNode{}, &redisNode{}, &redisNode{}, &redisNode{}
	gone.latest = time.Now().Add(-nodeIdle - time.Second)
	late.latest = time.Now().Add(-nodeIdle + time.Minute)
	busy.latest, busy.running = gone.latest, 1
	full.latest, full.waiting = gone.latest, []*request[*op, reply]{{}}
	r.nodes = map[string]*redisNode{"gone": gone, "late": late, "busy": busy, "full": full}
	if n, err := r.node(t.Context(), r.key("e", 1)); err != nil || n.idle(nodeIdle) {
		t.Errorf("a node that has just come could be forgotten: %v", err)
	}
	for id := range schema.ID(50) { // of all three masters, which come one after another
		if _, _, _, err := r.get(t.Context(), "e", id+1); err != nil {
			t.Fatal(err)
		}
	}
	if r.nodes["gone"] != nil || r.nodes["late"] != late || r.nodes["busy"] != busy || r.nodes["full"] != full || len(r.nodes) != 6 {
		t.Errorf("%d nodes: %v", len(r.nodes), slices.Sorted(maps.Keys(r.nodes)))
	}
}

// A value of another format is replaced rather than stumbled over.
func TestForeignFormat(t *testing.T) {
	r := openRedis(t)
	foreign := func() {
		if err := r.cfg.Client.Set(t.Context(), r.key("", 1), "2L"+strings.Repeat("9", 60), time.Minute).Err(); err != nil {
			t.Fatal(err)
		}
	}
	foreign()
	if stored := fill(t, r, grant(t, r, 1), document(1, 5)); !stored || held(t, r, 1) != "L5" {
		t.Errorf("fill: redis holds %q", held(t, r, 1))
	}
	foreign()
	if !mark(t, r, 1, 6) {
		t.Error("mark takes it for new")
	}
	put(t, r, document(1, 6))
	if held(t, r, 1) != "L6" {
		t.Errorf("put: redis holds %q", held(t, r, 1))
	}
}

// A server that does not let us in answers no question, and none of its silence may be taken for an answer.
func TestRefusedConnection(t *testing.T) {
	r := openRedis(t)
	c, err := r.cfg.Client.MasterForKey(t.Context(), r.key("", 1))
	if err != nil {
		t.Fatal(err)
	}
	opts := *c.Options()
	opts.Username, opts.Password = "nobody", "nothing"
	stranger := redis.NewClient(&opts)
	defer stranger.Close()
	key := r.key("", 1)
	for _, rep := range askNode(t.Context(), stranger, []*op{getOp(key), {script: markScript, keys: []string{key, key + ":lease"}, args: []any{"1"}}}) {
		if rep.err == nil || !strings.Contains(rep.err.Error(), "WRONGPASS") || rep.from != "" {
			t.Errorf("%+v", rep)
		}
	}
}
