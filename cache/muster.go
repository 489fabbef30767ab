package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
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
	run       string    // names the process
	offset    int64     // its replication has come so far
	former    reign     // whose replica it was, or whose dump it has loaded
	succeeded int64     // it has what its former master had sent up to, and without, this offset
	newborn   bool      // it began with nothing, at born
	born      time.Time // or a little before
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
// hands to again, which has to Mark them and Put what is stale. If nobody can tell what a newcomer holds, it returns who
// that is: then everything must be dropped (Raise), before another Muster. An error leaves things as they were.
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
	for who, m := range found {
		if _, known := s.members[who]; known || s.blank {
			continue
		}
		missed, ok := s.missed(m)
		if !ok {
			return m.addr, nil
		}
		lacking = append(lacking, missed...)
	}
	lacking = append(lacking, s.left(found)...)
	before := s.members
	s.members = found
	if len(lacking) > 0 {
		if err := again(ctx, newest(lacking)); err != nil {
			s.members = before
			return "", err
		}
	}
	for who, m := range found {
		if s.blank {
			m.offset = -1 // nothing has been marked in this epoch yet
		}
		s.recent.begin(who, m.offset)
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
			s.members[who] = m
			s.recent.rename(old, who)
			return
		}
	}
}

// left returns what was marked in members that are masters no more and have no heir: their slots have gone to others, and
// if they had been succeeded before by somebody whom nobody has seen, without the latest changes.
func (s *Shared) left(found map[reign]member) (changes []schema.Change) {
	for old := range s.members {
		_, here := found[old]
		heir := slices.ContainsFunc(slices.Collect(maps.Values(found)), func(m member) bool { return m.former == old })
		if !here && !heir {
			changes = append(changes, s.recent.all(old)...)
		}
	}
	return changes
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

// missed returns the changes that a newcomer may lack. An heir has what its former master had sent it. One that began
// with nothing can hold only what was loaded since, and with that all changes before its birth; later ones have been
// marked elsewhere if it was at work before anybody knew. It is not ok if the changes in question are not all remembered.
func (s *Shared) missed(m member) (changes []schema.Change, ok bool) {
	if m.newborn {
		return s.recent.after(m.born)
	}
	// At the last offset that it has, its former master may have gone on: a mark of a document that it does not hold writes
	// nothing, and so does not move the offset.
	return s.recent.beyond(m.former, m.succeeded-1)
}

// roster returns who has been mustered, for the feed.
func (s *Shared) roster() roster {
	names := slices.Sorted(maps.Keys(s.members))
	var b strings.Builder
	for i, n := range names {
		if i > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(n))
	}
	return roster(b.String())
}

// recall takes over what an earlier leader had mustered.
func (s *Shared) recall(r roster) {
	s.members, s.recent, s.blank = map[reign]member{}, newRecent(), false
	for _, who := range strings.Fields(string(r)) {
		s.members[reign(who)] = member{}
	}
}

// rollCall asks all masters who they are.
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
	return found, err
}

func introduce(ctx context.Context, c *redis.Client) (reign, member, error) {
	pipe := c.Pipeline()
	replication, persistence, server := pipe.Info(ctx, "replication"), pipe.Info(ctx, "persistence"), pipe.Info(ctx, "server")
	asked := time.Now()
	if _, err := pipe.Exec(ctx); err != nil {
		return "", member{}, err
	}
	m := member{addr: c.Options().Addr}
	is, kept := info(replication.Val()), info(persistence.Val())
	if kept.field("loading") != "0" {
		return "", m, errors.New("loading its data") // until then it does not say whose they are
	}
	m.run = info(server.Val()).field("run_id")
	who := is.reign()
	if who == "" {
		return "", m, errors.New("not a master")
	}
	var err1, err2 error
	m.offset, err1 = strconv.ParseInt(is.field("master_repl_offset"), 10, 64)
	m.succeeded, err2 = strconv.ParseInt(is.field("second_repl_offset"), 10, 64)
	uptime, err3 := strconv.ParseInt(info(server.Val()).field("uptime_in_seconds"), 10, 64)
	if err := errors.Join(err1, err2, err3); err != nil {
		return "", m, fmt.Errorf("INFO: %w", err)
	}
	m.born = asked.Add(-time.Duration(uptime+2) * time.Second) // it counts whole seconds
	if former := is.field("master_replid2"); len(former) >= reignLen && m.succeeded >= 0 {
		m.former = reign(former[:reignLen])
	}
	// What it has loaded is told since Redis 7.0. An append-only file is loaded without being counted.
	m.newborn = m.former == "" && kept.field("rdb_last_load_keys_loaded") == "0" &&
		kept.field("aof_enabled") == "0"
	return who, m, nil
}
