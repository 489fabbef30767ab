package cache

import (
	"context"
	"fmt"

	"vidmeta/schema"
)

// tailPage is how many entries of the feed are read at once when looking back: two megabytes at most.
const tailPage = 64

// LastChanges returns the newest changes that the feed has told, at most n, the newest first, each document once. after
// is the end of an earlier call, to get only what came later, or "" for all that the feed still holds; end is where the
// feed ends now. It blocks for a round trip per 64 entries.
func (r *Redis) LastChanges(ctx context.Context, after string, n int) (changes []schema.Change, end string, err error) {
	first, last := "-", "+"
	if after != "" {
		first = "(" + after
	}
	end = after
	seen := make(map[schema.ID]bool)
	for {
		entries, err := r.cfg.Client.XRevRangeN(ctx, r.feedKeys()[0], last, first, tailPage).Result()
		if err != nil {
			return nil, after, fmt.Errorf("end of the feed: %w", err)
		}
		if len(entries) > 0 && last == "+" {
			end = entries[0].ID
		}
		for _, entry := range entries {
			told, err := parseFeedEntry(entry.Values, nil)
			if err != nil {
				return nil, after, err
			}
			for _, change := range told.changes {
				if len(changes) < n && !seen[change.ID] {
					seen[change.ID] = true
					changes = append(changes, change)
				}
			}
		}
		if len(entries) < tailPage || len(changes) >= n {
			return changes, end, nil
		}
		last = "(" + entries[len(entries)-1].ID
	}
}
