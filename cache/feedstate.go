package cache

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// FeedState is how the feed stands, for people who look after it.
type FeedState struct {
	Term       string // of the leader; "" if there never was one
	Epoch      string
	Checkpoint string // as the sidecar has written it, "" if there is none
	Seq        uint64 // of the newest entry
	// Last is when the newest entry was written, by the clock of Redis. Zero: there is none.
	Last time.Time
	// Watermark is the newest that was told, by the clock of the sidecar. Zero: none among the newest entries.
	Watermark time.Time

	roster *roster
}

// Trusts reports whether nodes trust, about any slot, a master of Redis that describes itself, by INFO replication, as in
// text. The feed tells them which hold everything that it has told; nothing that another one says is served.
func (f *FeedState) Trusts(text string) bool {
	if f.roster == nil {
		return false
	}
	of := f.roster.of[info(text).reign()]
	return of != nil && *of != slots{}
}

// stateEntries is among how many entries a watermark is looked for: with heartbeats alone, five seconds.
const stateEntries = 50

// FeedState reads how the feed stands. Nothing is written.
func (r *Redis) FeedState(ctx context.Context) (f FeedState, err error) {
	keys := r.feedKeys()
	state, err := r.cfg.Client.HMGet(ctx, keys[1], "term", "epoch", "checkpoint").Result()
	if err != nil {
		return f, fmt.Errorf("state of the feed: %w", err)
	}
	for i, to := range []*string{&f.Term, &f.Epoch, &f.Checkpoint} {
		*to, _ = state[i].(string)
	}
	entries, err := r.cfg.Client.XRevRangeN(ctx, keys[0], "+", "-", stateEntries).Result()
	if err != nil {
		return f, fmt.Errorf("end of the feed: %w", err)
	}
	for i, values := range entries {
		e, err := parseFeedEntry(values.Values, nil)
		if err != nil {
			return f, fmt.Errorf("entry %s of the feed: %w", values.ID, err)
		}
		if i == 0 {
			ms, _, _ := strings.Cut(values.ID, "-")
			at, err := strconv.ParseInt(ms, 10, 64)
			if err != nil {
				return f, fmt.Errorf("entry %s of the feed: %w", values.ID, err)
			}
			f.Last, f.Seq, f.roster = time.UnixMilli(at), e.seq, parseRoster(e.roster, nil)
		}
		if e.watermark != 0 {
			f.Watermark = time.UnixMicro(e.watermark)
			break
		}
	}
	return f, nil
}
