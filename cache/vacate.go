package cache

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"
)

// vacateBatch is how many slots are asked about in one round trip, and how many keys are taken out in one.
const vacateBatch = 256

// vacateMost is how many keys a master may have in the slots in question, for which it takes Redis half a second or so.
// With more everything is dropped instead, which takes no time.
const vacateMost = 50_000

var errCrowded = errors.New("too many keys to be taken out")

// leaseSuffix ends the key of a lease, which is otherwise that of its value.
const leaseSuffix = ":lease"

// vacate takes out of a master all that it holds of documents in slots which it has not inherited: it came from who knows
// where, and may lack changes that were marked in others. It returns how far the master's replication has come after
// that. Nobody else's keys are touched.
//
// It looks twice. First all leases go: whoever fills after that has loaded after that. Then goes what is there, which those
// may have filled who had a lease before.
func (s *Shared) vacate(ctx context.Context, who reign, m member, gained *slots) (offset int64, err error) {
	if err := m.crowded(ctx, who, gained); err != nil {
		return 0, err
	}
	used := new(slots)
	err = s.visit(ctx, who, m, gained, func(keys []string) error {
		for _, k := range keys {
			used.add(keySlot(k))
		}
		return takeOut(ctx, who, m, slices.DeleteFunc(keys, func(k string) bool { return !strings.HasSuffix(k, leaseSuffix) }))
	})
	if err != nil {
		return 0, err
	}
	if err := s.visit(ctx, who, m, used, func(keys []string) error { return takeOut(ctx, who, m, keys) }); err != nil {
		return 0, err
	}
	is, _, err := m.consult(ctx, who)
	if err != nil {
		return 0, err
	}
	return is.offset()
}

// crowded returns errCrowded if a master has more keys in slots than are to be looked at. Where it has few at all, none is
// counted.
func (m member) crowded(ctx context.Context, who reign, in *slots) error {
	n := m.keys
	if n > vacateMost && !m.alone {
		n = 0
		for batch := range slices.Chunk(slices.Collect(in.all), vacateBatch) {
			commands := make([][]any, len(batch))
			for i, slot := range batch {
				commands[i] = []any{"cluster", "countkeysinslot", slot}
			}
			_, answers, err := m.consult(ctx, who, commands...)
			if err != nil {
				return err
			}
			for _, a := range answers {
				some, err := a.Int64()
				if err != nil {
					return fmt.Errorf("CLUSTER COUNTKEYSINSLOT: %w", err)
				}
				n += some
			}
		}
	}
	if n > vacateMost {
		return errCrowded
	}
	return nil
}

// visit hands do the keys of documents and aliases, and of leases, that a master has in slots, of whatever epoch.
func (s *Shared) visit(ctx context.Context, who reign, m member, in *slots, do func(keys []string) error) error {
	foreign := func(key string) bool { return !s.redis.owns(key) }
	if m.alone {
		for cursor := uint64(0); ; {
			keys, next, err := m.node.Scan(ctx, cursor, "", vacateBatch).Result()
			if err != nil {
				return err
			}
			keys = slices.DeleteFunc(keys, func(k string) bool { return foreign(k) || !in.has(keySlot(k)) })
			if err := do(keys); err != nil || next == 0 {
				return err
			}
			cursor = next
		}
	}
	for batch := range slices.Chunk(slices.Collect(in.all), vacateBatch) {
		commands := make([][]any, len(batch))
		for i, slot := range batch {
			commands[i] = []any{"cluster", "getkeysinslot", slot, 2 * vacateMost} // some may have come meanwhile
		}
		_, answers, err := m.consult(ctx, who, commands...)
		if err != nil {
			return err
		}
		var keys []string
		for _, a := range answers {
			some, err := a.StringSlice()
			if err != nil {
				return fmt.Errorf("CLUSTER GETKEYSINSLOT: %w", err)
			}
			keys = append(keys, slices.DeleteFunc(some, foreign)...)
		}
		if err := do(keys); err != nil {
			return err
		}
	}
	return nil
}

// owns reports whether a key is a document's or an alias', or the lease of one.
func (r *Redis) owns(key string) bool {
	rest, ok := strings.CutPrefix(key, r.cfg.Namespace+":")
	_, tag, named := strings.Cut(rest, ":") // after the epoch, which has none
	return ok && named && (strings.HasPrefix(tag, "{video:") || strings.HasPrefix(tag, "{alias:"))
}

// takeOut deletes keys from a master, one by one, as some of a slot that is leaving may have left.
func takeOut(ctx context.Context, who reign, m member, keys []string) error {
	for some := range slices.Chunk(keys, vacateBatch) {
		commands := make([][]any, len(some))
		for i, k := range some {
			commands[i] = []any{"del", k}
		}
		_, answers, err := m.consult(ctx, who, commands...)
		if err != nil {
			return err
		}
		for _, a := range answers {
			if err := a.Err(); err != nil && !isMoving(err) {
				return fmt.Errorf("DEL: %w", err)
			}
		}
	}
	return nil
}

// consult has a master do commands, whose answers have their errors themselves. It fails if another reign has answered.
func (m member) consult(ctx context.Context, who reign, commands ...[]any) (is info, answers []*redis.Cmd, err error) {
	is, answers, err = consult(ctx, m.node, commands...)
	if err == nil && is.reign() != who {
		err = fmt.Errorf("%s has become somebody else", m.addr)
	}
	return is, answers, err
}

// consult has a node do commands and say in front who it is, on the same connection.
func consult(ctx context.Context, node *redis.Client, commands ...[]any) (is info, answers []*redis.Cmd, err error) {
	pipe := node.Pipeline()
	who := pipe.Do(ctx, "info", "replication")
	for _, c := range commands {
		answers = append(answers, pipe.Do(ctx, c...))
	}
	_, first := pipe.Exec(ctx) // of the errors that the answers have
	text, err := who.Text()
	if text == "" {
		err = cmp.Or(err, first) // the connection was refused, of which the answers know nothing
	}
	if err != nil {
		return "", nil, fmt.Errorf("INFO: %w", err)
	}
	return info(text), answers, nil
}

// offset returns how far replication has come.
func (i info) offset() (int64, error) {
	n, err := strconv.ParseInt(i.field("master_repl_offset"), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("INFO: %w", err)
	}
	return n, nil
}
