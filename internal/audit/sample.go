package audit

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"vidmeta/cache"
	"vidmeta/schema"
)

// rangeAge is how long the smallest and the largest id are taken to be what they were.
const rangeAge = 5 * time.Minute

// picker picks documents to look at.
type picker struct {
	db   *sql.DB
	feed *cache.Redis

	low, high uint64 // of all ids; 0 if there are none
	ranged    time.Time
	end       string // of the feed, when it was last read
}

// random picks n documents that exist or have existed. Each is the first from a random place of the range of ids on, so
// it costs one step down an index however large the table is. One that follows a gap is likelier to be picked.
func (p *picker) random(ctx context.Context, n int) ([]schema.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if time.Since(p.ranged) > rangeAge {
		var low, high sql.Null[uint64]
		err := p.db.QueryRowContext(ctx, "SELECT MIN(video_id), MAX(video_id) FROM "+schema.VersionTable).Scan(&low, &high)
		if err != nil {
			return nil, fmt.Errorf("range of ids: %w", err)
		}
		p.low, p.high, p.ranged = low.V, high.V, time.Now()
	}
	if p.high == 0 {
		return nil, nil
	}
	places := make([]any, n)
	for i := range places {
		places[i] = p.low + rand.Uint64N(p.high-p.low+1)
	}
	const one = "(SELECT video_id FROM " + schema.VersionTable + " WHERE video_id >= ? ORDER BY video_id LIMIT 1)"
	rows, err := p.db.QueryContext(ctx, one+strings.Repeat(" UNION ALL "+one, n-1), places...)
	if err != nil {
		return nil, fmt.Errorf("pick %d documents: %w", n, err)
	}
	defer rows.Close()
	ids := make([]schema.ID, 0, n)
	for rows.Next() {
		var id uint64
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("pick %d documents: %w", n, err)
		}
		ids = append(ids, schema.ID(id))
	}
	return ids, rows.Err()
}

// changed picks the n newest of the documents that the feed has told of since the last call.
func (p *picker) changed(ctx context.Context, n int) ([]schema.ID, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	changes, end, err := p.feed.LastChanges(ctx, p.end, n)
	p.end = end
	ids := make([]schema.ID, len(changes))
	for i, c := range changes {
		ids[i] = c.ID
	}
	return ids, err
}

// Picked is how many documents were picked from where.
type Picked struct {
	Random int `json:"random"` // out of all
	Held   int `json:"held"`   // out of what tiers held
	Recent int `json:"recent"` // out of what had changed of late
}

// queue is what is still to be looked at, each document once. The random ones are picked when they are wanted.
type queue struct {
	auditor *Auditor
	ledger  *ledger

	random         int // how many to pick
	recent         int // how many to take at most, of changes yet to come too
	changed, found []schema.ID
	taken          map[schema.ID]bool
	picked         Picked
	done, total    int
}

// newQueue asks Redis and nodes for documents that they hold: a third of the samples each, as far as they have them.
func (a *Auditor) newQueue(ctx context.Context, l *ledger, samples, recent int, nodes []*node) *queue {
	q := &queue{auditor: a, ledger: l, recent: recent, taken: make(map[schema.ID]bool)}
	find := func(party string, sample func(context.Context, int) ([]schema.ID, error), n int) {
		if n = min(n, largestSample); n > 0 {
			ctx, cancel := context.WithTimeout(ctx, askTimeout)
			defer cancel()
			ids, err := sample(ctx, n)
			l.account(party, err)
			q.found = append(q.found, ids...)
		}
	}
	find(partyRedis, a.cfg.Redis.Sample, samples/3)
	for i, n := range nodes {
		find(n.url, n.sample, (samples/3+i)/len(nodes))
	}
	q.random = samples - len(q.found)
	q.hear(ctx)
	q.total = q.left()
	return q
}

// hear learns what has changed since it was last asked.
func (q *queue) hear(ctx context.Context) {
	if q.recent == 0 {
		return
	}
	newer, err := q.auditor.picker.changed(ctx, q.recent)
	q.ledger.account(partyRedis, err)
	q.changed = append(newer, q.changed...)
}

// left returns how many documents there may still be to look at.
func (q *queue) left() int { return q.random + len(q.found) + min(q.recent, len(q.changed)) }

// take returns the next n documents or fewer, some from each source.
func (q *queue) take(ctx context.Context, n int) (ids []schema.ID) {
	q.hear(ctx)
	left := q.left()
	if left == 0 {
		return nil
	}
	room := min(n, left)
	share := func(of int) int { // of the room, rounded up
		s := min((n*of+left-1)/left, of, room)
		room -= s
		return s
	}
	recent, found, random := share(min(q.recent, len(q.changed))), share(len(q.found)), share(q.random)
	add := func(from []schema.ID, count *int) {
		for _, id := range from {
			if !q.taken[id] && !q.ledger.follows(id) {
				q.taken[id] = true
				*count++
				ids = append(ids, id)
			}
		}
	}
	add(q.changed[:recent], &q.picked.Recent)
	add(q.found[:found], &q.picked.Held)
	q.changed, q.recent = q.changed[recent:], q.recent-recent
	q.found = q.found[found:]
	if random > 0 {
		some, err := q.auditor.picker.random(ctx, random)
		q.ledger.account(partyMySQL, err)
		add(some, &q.picked.Random)
		q.random -= random
	}
	q.done += recent + found + random
	return ids
}
