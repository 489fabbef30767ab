package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// musterPeriod is how often the masters are looked at. What a promoted one holds is of little use until then, but its
// promotion took longer.
const musterPeriod = 250 * time.Millisecond

// member is what is known of a master's reign.
type member struct {
	addr      string
	node      *redis.Client
	alone     bool   // no server of a cluster
	slots     *slots // that it has for certain
	moving    *slots // from or to it
	keys      int64  // that it holds, whoever's
	run       string // names the process
	offset    int64  // its replication has come so far
	former    reign  // whose replica it was, or whose dump it has loaded
	succeeded int64  // it has what its former master had sent up to, and without, this offset
	newborn   bool   // it began with nothing
}

// Ready returns nil if all masters answer and none of them is about to load its data.
func (s *Shared) Ready(ctx context.Context) error {
	if _, err := s.rollCall(ctx); err != nil {
		return fmt.Errorf("the masters of Redis: %w", err)
	}
	return nil
}

// Muster makes sure, at most every 250 ms, that all masters hold what the feed has told, so that Mark and Put may go to
// them and nodes may trust them. Replication is asynchronous: a promoted replica may lack the latest changes. These it
// hands to again, which has to Mark them and Put what is stale. Of slots that have come to a master from another one it
// takes out what has come along. If nobody can tell what a newcomer holds, or that is too much to be taken out, it returns
// who that is: then everything must be dropped (Raise), before another Muster. An error leaves things as they were.
func (s *Shared) Muster(ctx context.Context, again func(context.Context, []schema.Change) error) (stranger string, err error) {
	if !s.blank && time.Since(s.mustered) < musterPeriod {
		return "", nil
	}
	found, err := s.rollCall(ctx)
	if err != nil {
		return "", fmt.Errorf("muster the masters of Redis: %w", err)
	}
	for who, m := range found {
		s.rename(who, m)
	}
	s.recent.settle(found)
	var lacking []schema.Change
	gained := map[reign]*slots{}
	for who, m := range found {
		if s.blank {
			break // nobody holds anything in this epoch
		}
		inherited, missed, ok := s.inheritance(who, m)
		if !ok {
			return m.addr, nil
		}
		lacking = append(lacking, missed...)
		if some := m.slots.without(inherited); *some != (slots{}) {
			gained[who] = some
		}
	}
	vacated := map[reign]int64{}
	for who, some := range gained {
		vacated[who], err = s.vacate(ctx, who, found[who], some)
		if errors.Is(err, errCrowded) {
			return found[who].addr, nil
		}
		if err != nil {
			return "", fmt.Errorf("take out what has come to the master of Redis at %s: %w", found[who].addr, err)
		}
	}
	before := s.members
	s.members, s.listed = found, nil
	if len(lacking) > 0 {
		if err := again(ctx, newest(lacking)); err != nil {
			s.members, s.listed = before, nil
			return "", err
		}
	}
	for who, m := range found {
		if s.blank {
			m.offset = -1 // nothing has been marked in this epoch yet
		}
		s.recent.begin(who, m.offset)
	}
	for who, offset := range vacated {
		s.recent.forgo(who, offset)
	}
	s.recent.end(found)
	s.blank, s.mustered, s.called = false, time.Now(), time.Now()
	return "", nil
}

// renameWithin is how long ago a member must have been seen at most to be taken for the same under another name. Redis
// gives a master that goes on another replication id, and forgets the last one, when its first replica comes, and when
// its last one has been gone for repl-backlog-ttl, an hour; nobody can have been a replica in between in this time.
const renameWithin = 10 * time.Second

// rename lets a member go on under another name.
func (s *Shared) rename(who reign, m member) {
	if _, known := s.members[who]; known || m.former != "" || m.run == "" || time.Since(s.called) > renameWithin {
		return
	}
	for old, is := range s.members {
		if is.run == m.run {
			delete(s.members, old)
			m.slots = is.slots // those it has been listed with
			s.members[who], s.listed = m, nil
			s.recent.rename(old, who)
			return
		}
	}
}

// newest returns the newest change of each document.
func newest(changes []schema.Change) []schema.Change {
	at := make(map[schema.ID]int, len(changes))
	some := make([]schema.Change, 0, len(changes))
	for _, c := range changes {
		if i, ok := at[c.ID]; ok {
			some[i].Version = max(some[i].Version, c.Version)
			continue
		}
		at[c.ID] = len(some)
		some = append(some, c)
	}
	return some
}

// inheritance returns the slots of which a master holds everything that was marked in them before it was known, but for the
// changes that it may have missed. An heir has what its former master had sent it; one that began with nothing has
// inherited nothing. It is not ok if nobody can tell.
func (s *Shared) inheritance(who reign, m member) (inherited *slots, missed []schema.Change, ok bool) {
	if is, known := s.members[who]; known {
		return is.slots, nil, true
	}
	if m.newborn {
		return new(slots), nil, true
	}
	// At the last offset that it has, its former master may have gone on: a mark of a document that it does not hold writes
	// nothing, and so does not move the offset.
	if missed, ok = s.recent.beyond(m.former, m.succeeded-1); !ok {
		return nil, nil, false
	}
	return s.members[m.former].slots, missed, true
}

// roster returns who has been mustered, for the feed.
func (s *Shared) roster() *roster {
	if s.listed == nil {
		s.listed = newRoster(s.members)
	}
	return s.listed
}

// lists reports whether anybody is listed for a slot. If nobody is, nobody is believed about it, and it will be empty before
// somebody is: nothing has to be marked in it.
func (s *Shared) lists(slot int) bool {
	for _, m := range s.members {
		if m.slots.has(slot) {
			return true
		}
	}
	return false
}

// unlist has nobody be believed about a slot.
func (s *Shared) unlist(slot int) {
	for _, m := range s.members {
		m.slots.remove(slot)
	}
	s.listed = nil
}

// recall takes over what an earlier leader had mustered.
func (s *Shared) recall(text string) {
	s.members, s.listed, s.recent, s.blank = map[reign]member{}, nil, newRecent(), false
	for who, own := range parseRoster(text, nil).of {
		s.members[who] = member{slots: own}
	}
}

// rollCall asks all masters who they are. A slot that one of them says is on its way is nobody's, as nobody knows where its
// keys are; the others need not know of it. Nor is one that two of them have: they answer at different moments.
func (s *Shared) rollCall(ctx context.Context) (map[reign]member, error) {
	found := map[reign]member{}
	var mu sync.Mutex
	err := s.redis.cfg.Client.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
		who, m, err := introduce(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.Options().Addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		found[who] = m
		return nil
	})
	if err == nil && len(found) == 0 {
		err = errors.New("there is none")
	}
	seen, doubtful := new(slots), new(slots)
	for _, m := range found {
		for i := range doubtful {
			doubtful[i] |= m.moving[i] | seen[i]&m.slots[i]
			seen[i] |= m.slots[i]
		}
	}
	for who, m := range found {
		m.slots = m.slots.without(doubtful)
		found[who] = m
	}
	return found, err
}

func introduce(ctx context.Context, c *redis.Client) (reign, member, error) {
	pipe := c.Pipeline()
	replication, persistence, server := pipe.Info(ctx, "replication"), pipe.Info(ctx, "persistence"), pipe.Info(ctx, "server")
	nodes := pipe.ClusterNodes(ctx)
	size := pipe.DBSize(ctx)
	_, first := pipe.Exec(ctx) // of the errors that the answers have
	m := member{addr: c.Options().Addr, node: c, alone: isAlone(nodes.Err()), moving: new(slots), keys: size.Val()}
	if err := cmp.Or(replication.Err(), persistence.Err(), server.Err()); err != nil {
		return "", m, err
	}
	if replication.Val() == "" { // the connection was refused, of which the answers know nothing
		return "", m, cmp.Or(first, errors.New("no answer"))
	}
	is, kept := info(replication.Val()), info(persistence.Val())
	if kept.field("loading") != "0" {
		return "", m, errors.New("loading its data") // until then it does not say whose they are
	}
	m.run = info(server.Val()).field("run_id")
	var err error
	switch err = nodes.Err(); {
	case m.alone:
		m.slots, err = parseSlots(everySlot)
	case err == nil:
		m.slots, m.moving, err = ownSlots(nodes.Val())
	}
	if err = cmp.Or(err, size.Err()); err != nil {
		return "", m, fmt.Errorf("CLUSTER NODES, DBSIZE: %w", err)
	}
	who := is.reign()
	if who == "" {
		return "", m, errors.New("not a master")
	}
	if m.offset, err = is.offset(); err != nil {
		return "", m, err
	}
	if m.succeeded, err = strconv.ParseInt(is.field("second_repl_offset"), 10, 64); err != nil {
		return "", m, fmt.Errorf("INFO: %w", err)
	}
	if former := is.field("master_replid2"); len(former) >= reignLen && m.succeeded >= 0 {
		m.former = reign(former[:reignLen])
	}
	// What it has loaded is told since Redis 7.0. An append-only file is loaded without being counted.
	m.newborn = m.former == "" && kept.field("rdb_last_load_keys_loaded") == "0" &&
		kept.field("aof_enabled") == "0"
	return who, m, nil
}
