package arm

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/proc"
	"github.com/zeromicro/go-zero/core/stores/cache"
	"github.com/zeromicro/go-zero/core/stores/redis"
	"github.com/zeromicro/go-zero/core/syncx"

	"vidmeta/schema"
)

// cachedVideo is a document as go-zero keeps it, which is as JSON.
type cachedVideo struct {
	Version uint64
	Body    []byte
}

// fromGoZero is TakeCtx of zeromicro/go-zero's cache over Redis, with a cluster of Redis as one node of the cache, which is
// how its configuration knows one. What it does by itself:
//   - It keeps JSON, and makes and reads it on every read, also of what others have just read.
//   - It keeps a value for up to a twentieth longer or shorter, at random, in whole seconds rounded up.
//   - Where a document does not exist, it keeps a star in its place, without a version.
//   - A breaker before Redis, and statistics every minute, which are not logged here.
func fromGoZero(p *parts) (lookup, error) {
	load, err := p.origin()
	if err != nil {
		return nil, err
	}
	conf := cache.NodeConf{Weight: 100, RedisConf: redis.RedisConf{
		Host: strings.Join(p.Redis, ","), Type: redis.ClusterType, PingTimeout: time.Second,
	}}
	if len(p.Redis) == 1 {
		conf.Type = redis.NodeType
	}
	c := cache.New(cache.ClusterConf{conf}, syncx.NewSingleFlight(), cache.NewStat("videos"), errMissing,
		cache.WithExpiry(p.RedisTTL), cache.WithNotFoundExpiry(p.RedisTTL))
	return func(ctx context.Context, id schema.ID) (schema.Document, error) {
		var loaded atomic.Bool
		var v cachedVideo
		err := c.TakeCtx(ctx, &v, p.key(id), func(v any) error {
			loaded.Store(true)
			d, err := load(ctx, id)
			if err != nil {
				return err
			}
			if !d.Exists() {
				return errMissing
			}
			*v.(*cachedVideo) = cachedVideo{Version: uint64(d.Version), Body: d.Body}
			return nil
		})
		missing := errors.Is(err, errMissing)
		if err != nil && !missing {
			return schema.Document{}, err
		}
		if !loaded.Load() { // it does not tell whose load a read has joined
			p.tally.redis.Add(1)
		}
		if missing {
			return schema.Document{ID: id}, nil
		}
		return schema.Document{ID: id, Version: schema.Version(v.Version), Body: v.Body}, nil
	}, nil
}

// quiet keeps go-zero, which every program has that links it, from what it does unasked: it logs usage and signals to
// standard output, and kills the process 5.5 s after a signal to stop. (What stays is a look at /proc/stat four times a
// second.)
func quiet() {
	logx.SetLevel(logx.ErrorLevel)
	logx.DisableStat()
	proc.SetTimeToForceQuit(forceQuit)
}

// forceQuit is longer than any arm or run of benches takes to stop.
const forceQuit = time.Hour
