package cache

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
	"vidmeta/schema"
)

// mover moves the slot of document 1 from one master to another, as redis-cli --cluster reshard does, step by step.
type mover struct {
	*testing.T
	*servers
	from, to       *redis.Client
	source, target string
	key            string
	slot           int
}

func newMover(t *testing.T) *mover {
	t.Helper()
	m := &mover{T: t, servers: startServers(t, 6), slot: slotOf(1)}
	m.key = m.tier.key("", 1)
	_, m.from = m.master(t, 1)
	for id := schema.ID(2); m.to == nil; id++ {
		if _, c := m.master(t, id); c.Options().Addr != m.from.Options().Addr {
			m.to = c
		}
	}
	m.source, m.target = m.do(m.from, "cluster", "myid").(string), m.do(m.to, "cluster", "myid").(string)
	return m
}

func (m *mover) do(c *redis.Client, args ...any) any {
	m.Helper()
	got, err := c.Do(m.Context(), args...).Result()
	if err != nil {
		m.Fatalf("%v: %v", args, err)
	}
	return got
}

func (m *mover) begin() {
	m.Helper()
	m.do(m.to, "cluster", "setslot", m.slot, "importing", m.source)
	m.do(m.from, "cluster", "setslot", m.slot, "migrating", m.target)
}

// carry takes keys along.
func (m *mover) carry(keys ...string) {
	m.Helper()
	host, port, err := net.SplitHostPort(m.to.Options().Addr)
	if err != nil {
		m.Fatal(err)
	}
	for _, key := range keys {
		if got := m.do(m.from, "migrate", host, port, key, 0, 5000); got != "OK" {
			m.Fatalf("MIGRATE %s: %v", key, got)
		}
	}
}

// end gives the slot to a node for good.
func (m *mover) end(to string) {
	m.Helper()
	m.do(m.to, "cluster", "setslot", m.slot, "node", to)
	m.do(m.from, "cluster", "setslot", m.slot, "node", to)
}

// moved moves the slot with the document in it.
func (m *mover) moved() {
	m.Helper()
	m.store(m.T, document(1, 5))
	m.begin()
	m.carry(m.key)
	m.end(m.target)
}

func (m *mover) giveUp() {
	m.Helper()
	m.do(m.to, "cluster", "setslot", m.slot, "stable")
	m.do(m.from, "cluster", "setslot", m.slot, "stable")
}

// whole musters, without anybody lacking anything.
func (m *mover) whole() {
	m.Helper()
	if again, stranger := m.muster(m.T); len(again) > 0 || stranger != "" {
		m.Errorf("missed %v, stranger %q", again, stranger)
	}
}

// listed is who is listed for the slot.
func (m *mover) listed() (all []reign) {
	for who, of := range m.shared.roster().of {
		if of.has(m.slot) {
			all = append(all, who)
		}
	}
	return all
}

// found reports whether a node has a key, whoever's its slot is.
func (m *mover) found(c *redis.Client, key string) bool {
	m.Helper()
	keys := m.do(c, "cluster", "getkeysinslot", m.slot, 1000).([]any)
	for _, k := range keys {
		if k == key {
			return true
		}
	}
	return false
}

// soon marks when the slot is somebody's again: a client that does not know yet whose makes it nobody's once more.
func (m *mover) soon(v schema.Version) {
	m.Helper()
	stacktest.WaitFor(m, 10*time.Second, func() error {
		m.muster(m.T)
		_, err := m.shared.Mark(m.Context(), []schema.Change{{ID: 1, Version: v}})
		if err == nil && len(m.listed()) == 0 {
			err = errors.New("nobody is listed for the slot")
		}
		return err
	})
}

// A slot that is on its way holds nobody up, for as long as it likes, and nobody is believed about it.
func TestSlotOnItsWay(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.store(t, document(1, 5))
	if got := m.listed(); len(got) != 1 {
		t.Fatalf("listed for the slot: %v", got)
	}
	m.do(m.from, "set", m.key, envelopeOf(document(1, 5), 1, 1).Append(nil)) // loaded long ago
	m.begin()
	m.mark(t, 1, 6) // the value is here still, the lease is not
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed for the slot: %v; want nobody", got)
	}
	m.trust()
	origin := newMemory()
	origin.set(1, 6)
	if a := get(t, openChain(t, origin, m.tier), 1, 6, schema.ReadOptions{}); a.Trace[schema.TierOrigin].Outcome != schema.Hit {
		t.Errorf("Redis was believed: %+v", a.Trace)
	}
	m.whole()
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed for the slot: %v; want nobody", got)
	}
	m.mark(t, 1, 7)
	m.carry(m.key)
	m.end(m.target)
	m.soon(8)
	if got := m.listed(); len(got) != 1 {
		t.Errorf("listed for the slot: %v; want its new master", got)
	}
}

// What comes along with a slot may lack what was marked before: it is taken out before its new master is believed.
func TestSlotThatHasMoved(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	const foreign = "somebody:{video:1}"
	l := grant(t, m.tier, 1) // for a load that has begun before version 6
	for key, value := range map[string]any{m.key: envelopeOf(document(1, 5), 1, 1).Append(nil), foreign: "his"} {
		m.do(m.from, "set", key, value)
	}
	before := m.listed()
	m.begin()
	m.carry(m.key, m.key+leaseSuffix, foreign)
	m.end(m.target)
	stacktest.WaitFor(t, 10*time.Second, func() error {
		_, from, ok, err := m.tier.get(t.Context(), "", 1)
		if err == nil && (!ok || from == "") {
			err = errors.New("the client does not know yet whose the slot is")
		}
		if _, vouched := m.tier.standing.Load().asOf(1, 1, from, &Freshness{}); err == nil && vouched {
			t.Errorf("%s is believed about a slot that it was not listed for", from)
		}
		return err
	})
	m.mark(t, 1, 6) // nobody is held up by a slot that nobody is listed for from now on
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed for the slot: %v; want nobody", got)
	}
	m.whole()
	m.soon(6)
	if got := m.listed(); len(got) != 1 || got[0] == before[0] {
		t.Errorf("listed for the slot: %v, before %v", got, before)
	}
	if m.found(m.to, m.key) || m.found(m.to, m.key+leaseSuffix) || !m.found(m.to, foreign) {
		t.Error("the new master is listed with what has come along, or without what is somebody else's")
	}
	if fill(t, m.tier, l, document(1, 5)) {
		t.Error("a load from before the change has filled")
	}
}

// beforeDeletion does something once, before anything is deleted.
type beforeDeletion struct {
	once sync.Once
	do   func()
}

func (b *beforeDeletion) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (b *beforeDeletion) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }

func (b *beforeDeletion) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if slices.ContainsFunc(cmds, func(c redis.Cmder) bool { return c.Name() == "del" }) {
			b.once.Do(b.do)
		}
		return next(ctx, cmds)
	}
}

// Whoever has got a lease before may fill until it is gone, also between the look at what is there and its end.
func TestFillWhileASlotIsVacated(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	l := grant(t, m.tier, 1)
	m.begin()
	m.carry(m.key + leaseSuffix)
	m.end(m.target)
	filled := false
	hook := &beforeDeletion{do: func() {
		stacktest.WaitFor(t, 10*time.Second, func() (err error) {
			filled, err = m.tier.fill(t.Context(), l, document(1, 5), time.Now().UnixMicro())
			return err
		})
	}}
	client, err := NewClient(ClientConfig{Addrs: m.Addrs()})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	client.OnNewNode(func(node *redis.Client) { node.AddHook(hook) })
	r, err := NewRedis(RedisConfig{Client: client, Namespace: m.tier.cfg.Namespace})
	if err != nil {
		t.Fatal(err)
	}
	before := m.shared.roster().text
	m.shared = NewShared(r)
	m.shared.recall(before)
	m.whole()
	if !filled {
		t.Error("the lease was not there any more")
	}
	if m.found(m.to, m.key) {
		t.Error("what was filled is there still, and its master listed")
	}
}

// A move that is given up leaves behind, on the other side, what has been carried there.
func TestMoveThatIsGivenUp(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.store(t, document(1, 5))
	m.begin()
	m.carry(m.key)
	m.giveUp()
	m.mark(t, 1, 6) // cold here
	m.begin()
	m.end(m.target)
	if !m.found(m.to, m.key) {
		t.Fatal("the old value was to be left on the other side")
	}
	m.soon(6)
	if m.found(m.to, m.key) {
		t.Error("the old value is there still, and its master listed")
	}
}

// A move that begins and is given up between two musters is known by what Redis has said to a mark.
func TestMoveThatNoMusterSaw(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.store(t, document(1, 5))
	m.begin()
	m.mark(t, 1, 6) // TRYAGAIN: the value stays what it was
	m.giveUp()
	if !m.found(m.from, m.key) {
		t.Fatal("the old value was to be left")
	}
	m.whole()
	if m.found(m.from, m.key) || len(m.listed()) != 1 {
		t.Errorf("the old value is there still, or nobody is listed: %v", m.listed())
	}
}

// A slot that has gone, which the client does not know yet, holds nobody up.
func TestSlotThatHasGone(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.moved()
	m.mark(t, 1, 6) // MOVED
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed for the slot: %v; want nobody", got)
	}
}

// An heir may not have received that something was taken out.
func TestHeirOfAVacatedMaster(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.moved()
	m.whole()
	to := m.listed()[0]
	is := m.shared.members[to]
	if _, _, ok := m.shared.inheritance("heir", member{former: to, succeeded: is.offset + 1}); ok {
		t.Error("it was believed with what its former master had before it took out what had come along")
	}
	if own, _, ok := m.shared.inheritance("heir", member{former: to, succeeded: 1 << 40}); !ok || !own.has(m.slot) {
		t.Error("it was not believed though it has received all")
	}
}

// Masters are not asked at one moment. Who of two has had a slot last is not known, so neither is listed for it.
func TestSlotOfTwoMasters(t *testing.T) {
	t.Parallel()
	var both []redis.ClusterSlot
	for i := range 2 { // servers without cluster support have every slot
		addr := stacktest.Start(t, stack.Config{RedisNodes: 1}).Redis.Addrs()[0]
		both = append(both, redis.ClusterSlot{Start: i, End: i, Nodes: []redis.ClusterNode{{Addr: addr}}})
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{
		ClusterSlots: func(context.Context) ([]redis.ClusterSlot, error) { return both, nil },
	})
	defer client.Close()
	r, err := NewRedis(RedisConfig{Client: client})
	if err != nil {
		t.Fatal(err)
	}
	s := NewShared(r)
	s.Raise("new")
	if stranger, err := s.Muster(t.Context(), nil); err != nil || stranger != "" {
		t.Fatalf("stranger %q, %v", stranger, err)
	}
	if len(s.members) != 2 || s.lists(0) || s.lists(1) {
		t.Errorf("%d members, roster %q", len(s.members), s.roster().text)
	}
}

// Whoever takes a slot in knows of the move when the one that gave it has failed over, and its heir does not.
func TestMoveThatOneSideKnowsOf(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.do(m.to, "cluster", "setslot", m.slot, "importing", m.source)
	m.whole()
	if got := m.listed(); len(got) != 0 {
		t.Errorf("listed for the slot: %v; want nobody", got)
	}
	m.store(t, document(1, 5))
	m.giveUp()
	m.whole()
	if got := m.listed(); len(got) != 1 || m.found(m.from, m.key) {
		t.Errorf("listed for the slot: %v, with what it held before", got)
	}
}

// A master that is new to a slot is emptied of documents, aliases and leases in all of its slots, and of nothing else.
func TestVacate(t *testing.T) {
	t.Parallel()
	s := startServers(t, 6)
	const foreign = "vm:other:thing"
	client, ns := s.tier.cfg.Client, s.tier.cfg.Namespace
	kept := []string{foreign, ns + ":{video:1}", ns + "2::{video:1}", "x" + s.tier.key("", 1), s.tier.feedKeys()[0]}
	for _, key := range kept {
		client.Set(t.Context(), key, "somebody's", 0)
	}
	var ours []string
	for id := schema.ID(1); id <= 1000; id++ {
		key := s.tier.key([]string{"", "other"}[id%2], id)
		ours = append(ours, key, key+leaseSuffix)
	}
	ours = append(ours, s.tier.aliasKey("4iCoOXsdza8"))
	pipe := client.Pipeline()
	for _, key := range ours {
		pipe.Set(t.Context(), key, "old", 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, m := range s.shared.members {
		*m.slots = slots{} // as if it had just got all of them
	}
	if again, stranger := s.muster(t); len(again) > 0 || stranger != "" {
		t.Fatalf("missed %v, stranger %q", again, stranger)
	}
	for _, key := range ours {
		if n := client.Exists(t.Context(), key).Val(); n != 0 {
			t.Errorf("%s is there still", key)
		}
	}
	for _, key := range kept {
		if n := client.Exists(t.Context(), key).Val(); n != 1 {
			t.Errorf("%s has been taken out", key)
		}
	}
	for _, m := range s.shared.members {
		if _, _, err := m.consult(t.Context(), "somebody else"); err == nil {
			t.Error("an answer of another reign was taken for its own")
		}
	}
}

// What has left with its slot is out; but of a slot that has left nobody is told that it is empty.
func TestTakeOutOfASlotThatLeaves(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	m.store(t, document(1, 5))
	who := m.listed()[0]
	is := m.shared.members[who]
	m.begin()
	m.carry(m.key)
	if err := takeOut(t.Context(), who, is, []string{m.key}); err != nil {
		t.Errorf("on its way: %v", err)
	}
	m.end(m.target)
	if err := takeOut(t.Context(), who, is, []string{m.key}); err == nil {
		t.Error("nobody was told that the slot has gone")
	}
}

// Taking out is for what can be taken out soon.
func TestVacateOfVeryMuch(t *testing.T) {
	t.Parallel()
	m := newMover(t)
	pipe := m.from.Pipeline()
	for i := range vacateMost + 1 {
		pipe.Set(t.Context(), "{video:1}"+strconv.Itoa(i), "somebody's", 0)
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.shared.unlist(slotOf(2))
	m.whole() // that slot has few
	m.shared.unlist(m.slot)
	if _, stranger := m.muster(t); stranger == "" {
		t.Error("it was listed, or its keys were taken out")
	}
	m.shared.Raise("next")
	m.whole()
	if got := m.listed(); len(got) != 1 {
		t.Errorf("listed for the slot: %v", got)
	}
}
