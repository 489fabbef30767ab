package cache

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// servers is Redis of its own for one test, with a tier and a leader on it.
type servers struct {
	*stack.Redis
	tier   *Redis
	shared *Shared
}

func startServers(t *testing.T, nodes int, args ...string) *servers {
	t.Helper()
	s := &servers{Redis: stacktest.Start(t, stack.Config{RedisNodes: nodes, RedisArgs: args}).Redis}
	s.tier = openRedis(t, s.Addrs()...)
	s.shared = mustered(t, s.tier)
	s.trust()
	return s
}

// trust tells the tier's readers of the roster as it is, with a watermark of now.
func (s *servers) trust() {
	s.tier.standing.Store(&standing{epoch: s.shared.epoch, watermark: time.Now().UnixMicro(), roster: s.shared.roster()})
}

// master returns the process that serves a document, and a client of it.
func (s *servers) master(t *testing.T, id schema.ID) (*stack.Process, *redis.Client) {
	t.Helper()
	key := s.tier.key("", id)
	p, err := s.MasterOf(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	c := redis.NewClient(&redis.Options{Addr: p.Addr()})
	t.Cleanup(func() { c.Close() })
	return p, c
}

// replica returns the replica of a master.
func (s *servers) replica(t *testing.T, master *redis.Client) *stack.Process {
	t.Helper()
	text, err := master.Info(t.Context(), "replication").Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Nodes() {
		if _, port, _ := net.SplitHostPort(p.Addr()); strings.Contains(info(text).field("slave0"), "port="+port) {
			return p
		}
	}
	t.Fatalf("no replica in %q", text)
	return nil
}

// failOver kills the master of a document, lets the paused go on, and waits for another master.
func (s *servers) failOver(t *testing.T, id schema.ID, paused ...*stack.Process) {
	t.Helper()
	old, _ := s.master(t, id)
	if err := old.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, p := range paused {
		if err := p.Resume(); err != nil {
			t.Fatal(err)
		}
	}
	stacktest.WaitFor(t, 30*time.Second, func() error {
		if now, err := s.MasterOf(t.Context(), s.tier.key("", id)); err != nil || now == old {
			return fmt.Errorf("master %v, %w", now, err)
		}
		return nil
	})
}

// muster musters until it succeeds, as sessions do, and returns what was handed out again.
func (s *servers) muster(t *testing.T) (again []schema.Change, stranger string) {
	t.Helper()
	stacktest.WaitFor(t, 30*time.Second, func() (err error) {
		s.shared.mustered = time.Time{}
		stranger, err = s.shared.Muster(t.Context(), func(_ context.Context, changes []schema.Change) error {
			again = changes
			return nil
		})
		return err
	})
	return again, stranger
}

// store gives Redis a document, as a reader would.
func (s *servers) store(t *testing.T, d schema.Document) {
	t.Helper()
	if !fill(t, s.tier, grant(t, s.tier, d.ID), d) {
		t.Fatalf("%d was not stored", d.ID)
	}
}

func (s *servers) mark(t *testing.T, id schema.ID, v schema.Version) {
	t.Helper()
	if _, err := s.shared.Mark(t.Context(), []schema.Change{{ID: id, Version: v}}); err != nil {
		t.Fatal(err)
	}
}

// A replica that is promoted without the latest writes is not believed until it has been brought up to date.
func TestMusterOfAnHeir(t *testing.T) {
	t.Parallel()
	s := startServers(t, 6)
	s.store(t, document(1, 5))
	s.mark(t, 1, 5)
	_, master := s.master(t, 1)
	if n, err := master.Wait(t.Context(), 1, 10*time.Second).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas, %v", n, err)
	}
	if again, stranger := s.muster(t); len(again) > 0 || stranger != "" {
		t.Fatalf("in health: %v, %q", again, stranger)
	}
	origin := newMemory()
	origin.set(1, 6)
	c := openChain(t, origin, s.tier)

	// The replica is cut off for a moment, in which the document changes and the master dies.
	replica := s.replica(t, master)
	if err := errors.Join(replica.Pause(), master.ClientKillByFilter(t.Context(), "type", "replica").Err()); err != nil {
		t.Fatal(err)
	}
	s.mark(t, 1, 6)
	if err := s.shared.Put(t.Context(), []schema.Document{document(1, 6)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.trust() // the feed has told of version 6
	s.failOver(t, 1, replica)

	var from reign
	stacktest.WaitFor(t, 30*time.Second, func() error {
		e, who, ok, err := s.tier.get(t.Context(), "", 1)
		if err != nil || !ok || who == "" {
			return fmt.Errorf("%v, by %q, %w", ok, who, err)
		}
		if from = who; e.Version != 5 {
			return fmt.Errorf("the replica was meant to have missed version 6")
		}
		return nil
	})
	if s.tier.standing.Load().roster.has(from, slotOf(1)) {
		t.Error("the promoted replica is on the roster")
	}
	if a := get(t, c, 1, 6, schema.ReadOptions{MaxAge: time.Millisecond}); a.Trace[schema.TierOrigin].Outcome != schema.Hit {
		t.Errorf("it was believed: %+v", a.Trace)
	}
	if err := s.tier.cfg.Client.Set(t.Context(), s.tier.key("", 1), envelopeOf(document(1, 5), 1, 1).Append(nil), 0).Err(); err != nil {
		t.Fatal(err) // as it was before that read
	}
	if _, err := s.shared.Mark(t.Context(), []schema.Change{{ID: 1, Version: 6}}); err == nil {
		t.Error("a change was marked in a master that has not been mustered")
	}

	stacktest.WaitFor(t, 30*time.Second, func() error {
		s.shared.mustered = time.Time{}
		_, err := s.shared.Muster(t.Context(), func(context.Context, []schema.Change) error { return errBroken })
		if !errors.Is(err, errBroken) { // the client may still look for the master that died
			return fmt.Errorf("muster: %w", err)
		}
		return nil
	})
	if s.shared.roster().has(from, slotOf(1)) {
		t.Error("it is on the roster though nobody could bring it up to date")
	}
	again, stranger := s.muster(t)
	if want := []schema.Change{{ID: 1, Version: 6}}; stranger != "" || !slices.Equal(again, want) {
		t.Errorf("missed: %v, stranger %q; want %v", again, stranger, want)
	}
	if !s.shared.roster().has(from, slotOf(1)) {
		t.Error("it is not on the roster")
	}
	s.mark(t, 1, 7)
}

// Somebody who has just begun to lead cannot know what an heir lacks.
func TestMusterOfAStranger(t *testing.T) {
	t.Parallel()
	s := startServers(t, 6)
	old := s.shared.roster().text
	s.failOver(t, 1)
	s.shared.recall(old)
	if again, stranger := s.muster(t); stranger == "" || len(again) > 0 {
		t.Errorf("missed %v, stranger %q; want a stranger", again, stranger)
	}
	s.shared.Raise("next")
	if _, stranger := s.muster(t); stranger != "" {
		t.Errorf("%s is a stranger in an epoch of which nobody can hold anything", stranger)
	}
	s.shared.SetEpoch("next")
	s.mark(t, 1, 5)
}

// A server that comes back empty has nothing old, but may have been at work before anybody knew.
func TestMusterOfTheNewborn(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	p := s.Nodes()[0]
	for _, recalled := range []bool{false, true} { // by a leader that has just begun
		s.mark(t, 1, 5)
		if err := errors.Join(p.Kill(), p.Restart(t.Context())); err != nil {
			t.Fatal(err)
		}
		if s.tier.standing.Load().roster.has(s.who(t), slotOf(1)) {
			t.Error("it is on the roster still")
		}
		s.store(t, document(1, 4)) // loaded before version 5, which has been marked elsewhere
		l := grant(t, s.tier, 2)
		if recalled {
			s.shared.recall(s.shared.roster().text)
		}
		if again, stranger := s.muster(t); stranger != "" || len(again) != 0 {
			t.Errorf("missed %v, stranger %q; want neither", again, stranger)
		}
		if !s.shared.roster().has(s.who(t), slotOf(1)) {
			t.Error("it is not on the roster")
		}
		if got := held(t, s.tier, 1); got != "" {
			t.Errorf("it is on the roster with %q", got)
		}
		if fill(t, s.tier, l, document(2, 4)) {
			t.Error("a load from before it was on the roster has filled")
		}
		s.trust()
	}
}

// A server that comes back with an old dump holds old documents.
func TestMusterOfAnOldDump(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.store(t, document(1, 5))
	if err := s.tier.cfg.Client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.mark(t, 1, 6)
	if err := s.shared.Put(t.Context(), []schema.Document{document(1, 6)}, time.Now()); err != nil {
		t.Fatal(err)
	}
	s.trust()
	p := s.Nodes()[0]
	if err := errors.Join(p.Kill(), p.Restart(t.Context())); err != nil {
		t.Fatal(err)
	}
	origin := newMemory()
	origin.set(1, 6)
	if e, _, _, err := s.tier.get(t.Context(), "", 1); err != nil || e.Version != 5 {
		t.Fatalf("it holds version %d, %v; want the old one", e.Version, err)
	}
	get(t, openChain(t, origin, s.tier), 1, 6, schema.ReadOptions{MaxAge: time.Millisecond})
	if _, stranger := s.muster(t); stranger == "" {
		t.Error("it was believed")
	}
}

// A server that is still loading its dump has nothing to say of itself yet: it looks as if it had begun with nothing.
func TestMusterOfALoadingMaster(t *testing.T) {
	t.Parallel()
	// A tenth of a second for each key, and an answer to whoever asks after each.
	s := startServers(t, 1, "--rdbcompression", "no", "--key-load-delay", "100000", "--loading-process-events-interval-bytes", "1024")
	s.store(t, document(1, 5))
	for i := range 1000 {
		if err := s.tier.cfg.Client.Set(t.Context(), fmt.Sprint("ballast:", i), make([]byte, 1024), 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.tier.cfg.Client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	s.mark(t, 1, 6) // the dump holds version 5
	s.trust()
	p, server := s.master(t, 1)
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	back := make(chan error, 1)
	go func() { back <- p.Restart(t.Context()) }() // returns when all is loaded
	stacktest.WaitFor(t, 20*time.Second, func() error {
		text, err := server.Info(t.Context(), "persistence").Result()
		if err == nil && info(text).field("loading") != "1" {
			err = errors.New("it is not loading")
		}
		return err
	})

	before := s.shared.roster().text
	s.shared.mustered = time.Time{}
	again := func(_ context.Context, changes []schema.Change) error {
		return fmt.Errorf("%v are marked again", changes)
	}
	if stranger, err := s.shared.Muster(t.Context(), again); stranger != "" || err == nil || !strings.Contains(err.Error(), "loading its data") {
		t.Errorf("while it loads: stranger %q, %v", stranger, err)
	}
	if now := s.shared.roster().text; now != before {
		t.Errorf("while it loads: the roster was %q and is %q", before, now)
	}
	if err := s.shared.Ready(t.Context()); err == nil {
		t.Error("while it loads: ready")
	}
	if _, err := s.shared.Mark(t.Context(), []schema.Change{{ID: 1, Version: 7}}); err == nil {
		t.Error("while it loads: a change was marked")
	}
	origin := newMemory()
	origin.set(1, 7)
	c := openChain(t, origin, s.tier)
	if a := get(t, c, 1, 7, schema.ReadOptions{}); outcomes(a) != "miss failed hit" {
		t.Errorf("while it loads: a read went %q", outcomes(a))
	}

	if err := server.ConfigSet(t.Context(), "key-load-delay", "0").Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-back; err != nil {
		t.Fatal(err)
	}
	if s.shared.roster().has(s.who(t), slotOf(1)) {
		t.Error("it is on the roster before it has been mustered")
	}
	if _, stranger := s.muster(t); stranger == "" {
		t.Error("with what it has loaded it was believed")
	}
}

// Redis gives a master another name when its first replica comes. It is the same all the same.
func TestMusterOfARenamedMaster(t *testing.T) {
	t.Parallel()
	s := startServers(t, 1)
	s.mark(t, 1, 5)
	s.shared.unlist(slotOf(2)) // before that: it is nobody's, and what is there may be old
	s.store(t, document(2, 5))
	before := s.who(t)
	other := stacktest.Start(t, stack.Config{RedisNodes: 1}).Redis
	replica := redis.NewClient(&redis.Options{Addr: other.Addrs()[0]})
	defer replica.Close()
	host, port, err := net.SplitHostPort(s.Addrs()[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := replica.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	stacktest.WaitFor(t, 20*time.Second, func() error {
		s.shared.called = time.Now() // as if it were looked at all the time
		if now := s.who(t); now == before {
			return errors.New("it has kept its name")
		}
		return nil
	})
	if again, stranger := s.muster(t); stranger != "" || len(again) != 0 {
		t.Errorf("missed %v, stranger %q", again, stranger)
	}
	if got := held(t, s.tier, 2); got != "" || !s.shared.lists(slotOf(2)) {
		t.Errorf("of the slot that nobody was listed for it holds %q", got)
	}
	if got := s.shared.recent.ring; len(got) != 1 || got[0].at != s.who(t) {
		t.Errorf("%+v is remembered, of what was marked in %s", got, s.who(t))
	}
	s.mark(t, 1, 6)
}

func TestReplace(t *testing.T) {
	r := openRedis(t)
	s := mustered(t, r)
	for _, id := range []schema.ID{1, 2} {
		if !fill(t, r, grant(t, r, id), document(id, schema.Version(3+2*id))) { // 5 and 7
			t.Fatal("not stored")
		}
	}
	l := grant(t, r, 3)
	changes := []schema.Change{{ID: 1, Version: 6}, {ID: 2, Version: 6}, {ID: 3, Version: 6}}
	stale, err := s.Replace(t.Context(), changes, []schema.Document{document(1, 6), document(2, 6), document(3, 6)}, time.Now())
	if err != nil || stale != 1 {
		t.Errorf("%d were stale, %v; want 1", stale, err)
	}
	if got := held(t, r, 1) + held(t, r, 2) + held(t, r, 3); got != "L6L7" {
		t.Errorf("redis holds %q; want what was stale replaced, what was newer kept, what was cold left", got)
	}
	if fill(t, r, l, document(3, 5)) {
		t.Error("a load from before the change has filled")
	}
}

// What somebody else has put in a document's place holds nobody up.
func TestMarkOfAForeignKey(t *testing.T) {
	r := openRedis(t)
	s := mustered(t, r)
	key := r.key("", 1)
	if err := r.cfg.Client.RPush(t.Context(), key, "a").Err(); err != nil {
		t.Fatal(err)
	}
	if stale, err := s.Mark(t.Context(), []schema.Change{{ID: 1, Version: 6}}); err != nil || len(stale) != 0 {
		t.Errorf("stale %v, %v", stale, err)
	}
	if n, err := r.cfg.Client.Exists(t.Context(), key).Result(); err != nil || n != 0 {
		t.Errorf("it is there still: %d, %v", n, err)
	}
}

// who returns who serves document 1.
func (s *servers) who(t *testing.T) (who reign) {
	t.Helper()
	stacktest.WaitFor(t, 10*time.Second, func() error {
		rep := s.tier.do(t.Context(), getOp(s.tier.key("", 1)))
		who = rep.from
		if who == "" {
			return fmt.Errorf("nobody: %w", rep.err)
		}
		return nil
	})
	return who
}

func TestRecent(t *testing.T) {
	r := newRecent()
	change := func(id int) schema.Change { return schema.Change{ID: schema.ID(id), Version: 1} }
	if _, ok := r.beyond("a", 1<<40); ok {
		t.Error("nothing is known of a, and that is said to be all")
	}
	r.begin("a", 100)
	r.begin("b", 500)
	r.add(change(1), "a")
	r.add(change(2), "b")
	r.settle(map[reign]member{"a": {offset: 150}, "b": {offset: 550}})
	r.add(change(3), "a")
	for offset, want := range map[int64]int{101: 2, 150: 2, 151: 1, 1 << 60: 1} {
		if got, ok := r.beyond("a", offset); !ok || len(got) != want {
			t.Errorf("beyond %d: %v, %v; want %d", offset, got, ok, want)
		}
	}
	if _, ok := r.beyond("a", 100); ok {
		t.Error("what was marked before 100 is not known")
	}
	for i := range recentSize - 1 { // forgets 1 and 2
		r.add(change(i+10), "a")
	}
	if _, ok := r.beyond("a", 150); ok {
		t.Error("150 has been forgotten")
	}
	if got, ok := r.beyond("a", 151); !ok || len(got) != recentSize {
		t.Errorf("beyond 151: %d, %v", len(got), ok)
	}
	r.forgo("a", 1<<41)
	if _, ok := r.beyond("a", 1<<41); ok {
		t.Error("what was done up to there has been forgone")
	}
	r.end(map[reign]member{"b": {}})
	if _, ok := r.beyond("a", 1<<60); ok {
		t.Error("a is no more")
	}
}
