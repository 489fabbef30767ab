package cache

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"vidmeta/schema"
)

// errAhead ends what would make others believe in a time to come. Redis has the last word, as it is the clock that all
// share; a second is let pass.
var errAhead = errors.New("this program's clock is more than a second ahead of that of Redis")

// lease is the right to load one missing document and to fill the redis tier with it. It ends when it is used, when its
// time is over, or when the sidecar reports a change: what was loaded before that may be too old.
type lease struct {
	id    schema.ID
	token string
	keys  []string
}

type leaseState int

const (
	leaseGranted  leaseState = iota
	leaseBusy                // somebody else loads
	leaseNeedless            // a value that fits is there after all
)

// claim is what came of asking for a lease.
type claim struct {
	state leaseState
	lease *lease   // if it was granted, or that is not known
	held  Envelope // if it is needless
	from  reign    // that holds it
}

// acquire reads the value once more and, if it is older than minVersion or minLoadedAt, asks for the lease. With an error
// it returns the lease that was asked for: Redis may have granted it, or may yet.
func (r *Redis) acquire(ctx context.Context, epoch string, id schema.ID, minVersion schema.Version, minLoadedAt int64) (claim, error) {
	key := r.key(epoch, id)
	l := &lease{id: id, token: rand.Text(), keys: []string{key, key + leaseSuffix}}
	rep := r.do(ctx, &op{script: leaseScript, keys: l.keys, args: []any{
		l.token, r.cfg.LeaseTTL.Milliseconds(),
		appendDigits(nil, uint64(minVersion)), appendDigits(nil, uint64(max(minLoadedAt, 0))),
	}})
	if rep.err != nil {
		return claim{lease: l}, fmt.Errorf("redis lease %d: %w", id, rep.err)
	}
	switch rep.text[0] {
	case 'G':
		return claim{state: leaseGranted, lease: l}, nil
	case 'B':
		return claim{state: leaseBusy}, nil
	}
	e, err := ParseEnvelope(rep.text[1:])
	if err != nil {
		return claim{}, fmt.Errorf("redis lease %d: %w", id, err)
	}
	return claim{state: leaseNeedless, held: e, from: rep.from}, nil
}

// fill stores what the lease's holder has loaded, and ends the lease. stored is false if the lease was lost to a change
// meanwhile, or something newer is there.
func (r *Redis) fill(ctx context.Context, l *lease, d schema.Document, loadedAt int64) (stored bool, err error) {
	ttl := r.ttlOf(d)
	e := envelopeOf(d, loadedAt, time.Now().Add(ttl).UnixMicro())
	rep := r.do(ctx, &op{script: fillScript, keys: l.keys, args: []any{
		l.token, e.Append(make([]byte, 0, headerLen+len(d.Body))), ttl.Milliseconds(),
	}})
	if rep.err != nil {
		return false, fmt.Errorf("redis fill %d: %w", l.id, rep.err)
	}
	if rep.text[0] == 'T' {
		return false, fmt.Errorf("redis fill %d: %w", l.id, errAhead)
	}
	return rep.text[0] == 'S', nil
}

// release gives a lease back whose load has failed, so that the next reader need not wait for its end. It may fail.
func (r *Redis) release(ctx context.Context, l *lease) {
	_ = r.do(ctx, &op{script: releaseScript, keys: l.keys, args: []any{l.token}})
}
