package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/schema"
)

// feedLength is about how many entries the stream keeps: with heartbeats alone, ten minutes. A node that falls further
// behind drops its local tier. With the largest entries, of feedBatch changes, the stream takes some
// 200 MB; a roster in which slots are dealt out in many ranges, some 7 bytes for each in every entry, comes on top.
const (
	feedLength = 6000
	feedBatch  = 1000
)

// Feed is the way of the leading sidecar to all nodes: one stream, and beside it, in the same slot, the state that the
// next leader starts from. It belongs to one goroutine.
type Feed struct {
	redis  *Redis
	shared *Shared
	name   string // of this leader
	term   string // of this leadership; a random name, so that no failover can hand out the same twice
	after  string // the term before, until the first entry has said so
	seq    uint64
	known  bool // seq is in the state
}

// NewFeed returns the feed of the tier's namespace, which tells nodes of the masters that s has mustered.
func NewFeed(s *Shared) *Feed {
	return &Feed{redis: s.redis, shared: s, name: rand.Text()}
}

func (r *Redis) feedKeys() []string {
	key := "{" + r.cfg.Namespace + ":feed}"
	return []string{key, key + ":state"}
}

// Lead begins a new term: whatever an earlier leader tries to publish from now on is refused. It returns what the one
// before has left, "" where there is nothing.
func (f *Feed) Lead(ctx context.Context) (epoch, checkpoint string, err error) {
	term := rand.Text()
	keys := f.redis.feedKeys()[1:]
	state, err := runScript(ctx, f.redis.cfg.Client, leadScript, keys, term, time.Now().UnixMicro()).StringSlice()
	if isAhead(err) {
		err = fmt.Errorf("%w: %w", errAhead, err)
	}
	if err != nil {
		return "", "", fmt.Errorf("lead the feed: %w", err)
	}
	// What is known of Redis goes on from where this leader left it, unless somebody else has published since, or a
	// failover has brought back an epoch that was left. The term does not tell: it may be one whose answer was lost.
	if state[5] != f.name || state[2] != f.shared.epoch {
		f.shared.recall(state[4])
	}
	f.term, f.after, f.seq, f.known = term, state[0], 0, state[1] != ""
	if f.known {
		if f.seq, err = strconv.ParseUint(state[1], 10, 64); err != nil {
			return "", "", fmt.Errorf("lead the feed: %w", err)
		}
	}
	return state[2], state[3], nil
}

// Publish tells all nodes of changes that Redis already reflects, and moves the checkpoint with it, unless it is empty.
// Every commit before the watermark must have been published; the zero time is no news. Many changes become several entries, of which the
// last moves checkpoint and watermark. schema.ErrDeposed means that somebody else leads, or that the feed has lost what
// this leader had written; anything else may be tried again after a new Lead.
func (f *Feed) Publish(ctx context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	for len(changes) > feedBatch {
		if err := f.append(ctx, epoch, "", time.Time{}, changes[:feedBatch]); err != nil {
			return err
		}
		changes = changes[feedBatch:]
	}
	return f.append(ctx, epoch, checkpoint, watermark, changes)
}

func (f *Feed) append(ctx context.Context, epoch, checkpoint string, watermark time.Time, changes []schema.Change) error {
	last := ""
	if f.known {
		last = strconv.FormatUint(f.seq, 10)
	}
	next := strconv.FormatUint(f.seq+1, 10)
	err := runScript(ctx, f.redis.cfg.Client, publishScript, f.redis.feedKeys(),
		f.term, last, next, f.after, epoch, checkpoint, formatWatermark(watermark), formatChanges(changes), feedLength,
		f.shared.roster().text, f.name).Err()
	switch {
	case err == nil:
		f.seq, f.known, f.after = f.seq+1, true, ""
		return nil
	case strings.HasPrefix(err.Error(), "DEPOSED"):
		return fmt.Errorf("publish entry %s: %w: %w", next, schema.ErrDeposed, err)
	case isAhead(err):
		return fmt.Errorf("publish entry %s: %w: %w", next, errAhead, err)
	}
	return fmt.Errorf("publish entry %s: %w", next, err)
}

func isAhead(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "AHEAD") }

// runScript runs a script that is not worth gathering with others.
func runScript(ctx context.Context, c *redis.ClusterClient, s *script, keys []string, args ...any) *redis.Cmd {
	cmd := redis.NewCmd(ctx, s.command(false, keys, args)...)
	if err := c.Process(ctx, cmd); isNoScript(err) {
		cmd = redis.NewCmd(ctx, s.command(true, keys, args)...)
		_ = c.Process(ctx, cmd) // the command carries the error
	}
	return cmd
}

// feedEntry is one entry of the feed as nodes read it.
type feedEntry struct {
	term, after, epoch string
	seq                uint64
	watermark          int64 // 0: no news
	roster             string
	changes            []schema.Change
}

// parseFeedEntry decodes an entry. Changes are appended to buf.
func parseFeedEntry(values map[string]any, buf []schema.Change) (e feedEntry, err error) {
	text := func(field string) string {
		s, ok := values[field].(string)
		if !ok && err == nil {
			err = fmt.Errorf("feed entry: no field %q", field)
		}
		return s
	}
	e.term, e.after, e.epoch = text("term"), text("after"), text("epoch")
	e.roster = text("roster")
	seq, watermark, changes := text("seq"), text("watermark"), text("changes")
	if err != nil {
		return e, err
	}
	if e.seq, err = strconv.ParseUint(seq, 10, 64); err != nil {
		return e, fmt.Errorf("feed entry: seq: %w", err)
	}
	if watermark != "" {
		if e.watermark, err = strconv.ParseInt(watermark, 10, 64); err != nil {
			return e, fmt.Errorf("feed entry: watermark: %w", err)
		}
	}
	e.changes, err = parseChanges(changes, buf)
	return e, err
}

func formatWatermark(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return strconv.FormatInt(t.UnixMicro(), 10)
}

// formatChanges writes changes as "id:version id:version", which anybody can read with redis-cli.
func formatChanges(changes []schema.Change) []byte {
	b := make([]byte, 0, 28*len(changes))
	for i, c := range changes {
		if i > 0 {
			b = append(b, ' ')
		}
		b = strconv.AppendUint(b, uint64(c.ID), 10)
		b = append(b, ':')
		b = strconv.AppendUint(b, uint64(c.Version), 10)
	}
	return b
}

var errChanges = errors.New("feed entry: changes are not of the form id:version id:version")

func parseChanges(s string, buf []schema.Change) ([]schema.Change, error) {
	for len(s) > 0 {
		var one string
		one, s, _ = strings.Cut(s, " ")
		id, version, ok := strings.Cut(one, ":")
		if !ok {
			return nil, errChanges
		}
		i, err1 := strconv.ParseUint(id, 10, 64)
		v, err2 := strconv.ParseUint(version, 10, 64)
		if err1 != nil || err2 != nil {
			return nil, errChanges
		}
		buf = append(buf, schema.Change{ID: schema.ID(i), Version: schema.Version(v)})
	}
	return buf, nil
}
