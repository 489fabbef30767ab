package audit

import (
	"context"
	"fmt"
	"sync"
	"time"

	"vidmeta/cache"
	"vidmeta/schema"
)

// Parties that are asked, besides nodes, which go by their URLs.
const (
	partyMySQL = "mysql"
	partyRedis = "redis"
)

// look is what was seen of some documents, at once.
type look struct {
	docs  []schema.Document // what MySQL has, read before the tiers were asked; nil if it did not answer
	known time.Time         // when MySQL had answered
	asked time.Time         // when the tiers were asked
	ended time.Time         // when they had answered
	after map[schema.ID]schema.Document
	views []view
	asks  []ask
}

// view is what one tier holds, as one node sees it, of each document in order; nil if it did not answer.
type view struct {
	tier schema.Tier
	node string // "" where it is one tier for all
	held []cache.Held
}

// ask is a question that was put to a party, and why it was not answered.
type ask struct {
	party string
	err   error
}

// look asks MySQL, then Redis and all nodes at once, then MySQL once more for documents that a tier has newer.
func (a *Auditor) look(ctx context.Context, ids []schema.ID) *look {
	seen := &look{}
	docs, err := a.load(ctx, ids)
	seen.asks = append(seen.asks, ask{partyMySQL, err})
	seen.known = time.Now()
	if err != nil {
		return seen
	}
	seen.docs, seen.asked = docs, time.Now()

	seen.views = make([]view, 1+len(a.nodes))
	asks := make([]ask, len(seen.views))
	var wg sync.WaitGroup
	wg.Go(func() {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		held := a.cfg.Chain.InspectRedis(ctx, ids)
		seen.views[0] = view{tier: schema.TierRedis, held: held}
		asks[0] = ask{partyRedis, failure(held)}
	})
	for i, n := range a.nodes {
		wg.Go(func() {
			held, err := n.inspect(ctx, ids)
			seen.views[1+i] = view{tier: schema.TierLocal, node: n.url, held: held}
			asks[1+i] = ask{n.url, err}
		})
	}
	wg.Wait()
	seen.ended = time.Now()
	seen.asks = append(seen.asks, asks...)

	if overtaken := seen.overtaken(); len(overtaken) > 0 {
		again, err := a.load(ctx, overtaken)
		seen.asks = append(seen.asks, ask{partyMySQL, err})
		seen.after = make(map[schema.ID]schema.Document, len(again))
		for _, d := range again {
			seen.after[d.ID] = d
		}
	}
	return seen
}

func (a *Auditor) load(ctx context.Context, ids []schema.ID) ([]schema.Document, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return a.cfg.Origin.Load(ctx, ids)
}

// failure returns an error if a tier could say nothing of some documents.
func failure(held []cache.Held) error {
	failed, why := 0, ""
	for _, h := range held {
		if h.State == cache.StateFailed {
			failed++
			why = h.Why
		}
	}
	if failed == 0 {
		return nil
	}
	return fmt.Errorf("%d of %d documents: %s", failed, len(held), why)
}

// overtaken returns the documents that a tier has in a newer version than MySQL had before.
func (s *look) overtaken() (ids []schema.ID) {
	for i, d := range s.docs {
		for _, v := range s.views {
			if v.held != nil && v.held[i].Why == "" && v.held[i].Version > d.Version {
				ids = append(ids, d.ID)
				break
			}
		}
	}
	return ids
}

// side is what one tier of one node holds of a document, and how that compares.
type side struct {
	node    string
	verdict verdict
	held    cache.Held
	missed  schema.Version // what MySQL had before the tier was asked
	known   time.Time      // when that was known
	mysql   schema.Version // what MySQL had last
}

// sides returns what the nodes hold of the document at index i in a tier.
func (s *look) sides(i int, tier schema.Tier) (all []side) {
	d := s.docs[i]
	one := side{missed: d.Version, known: s.known, mysql: d.Version}
	var after *schema.Document
	if again, ok := s.after[d.ID]; ok {
		after, one.mysql = &again, again.Version
	}
	for _, v := range s.views {
		if v.tier != tier {
			continue
		}
		one.node, one.held, one.verdict = v.node, cache.Held{}, unanswered
		if v.held != nil {
			one.held = v.held[i]
			one.verdict = judge(one.held, d, after)
		}
		all = append(all, one)
	}
	return all
}
