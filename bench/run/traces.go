package run

import (
	"context"

	"vidmeta/bench/result"
	"vidmeta/bench/trace"
	"vidmeta/cache"
)

// compare replays the plan's traces through the local tier and others of its size.
func (p *Plan) compare(ctx context.Context) (all []result.Trace, err error) {
	for _, name := range p.Traces {
		recorded, err := trace.Open(name)
		if err != nil {
			return all, err
		}
		compared, err := trace.Compare(ctx, recorded, p.Rooms, func(entries int) (trace.Tier, error) { return cache.NewReplay(entries) })
		if err != nil {
			return all, err
		}
		all = append(all, compared)
	}
	return all, nil
}
