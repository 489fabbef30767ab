package e2e

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"vidmeta/cache"
	"vidmeta/internal/history"
	"vidmeta/schema"
)

const sampled = 40 // documents that are looked for in Redis

// sampler looks into one process of Redis, whichever runs at its address.
type sampler struct {
	*workload
	client *redis.Client
}

func (w *workload) newSampler(addr string) *sampler {
	return &sampler{workload: w, client: redisClient(addr)}
}

// redisClient returns a client of one node, which tries once.
func redisClient(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{Addr: addr, MaxRetries: -1, DialerRetries: 1, DisableIdentity: true, PoolSize: 1,
		DialTimeout: time.Second, ReadTimeout: time.Second, WriteTimeout: time.Second})
}

// look records what the process holds, if it is one and the same master before and after.
func (s *sampler) look(ctx context.Context) {
	epoch, _ := s.epoch.Load().(string)
	keys := make([]string, sampled)
	versions := make([]*redis.StringCmd, sampled)
	pipe := s.client.Pipeline()
	before := pipe.Info(ctx, "server", "replication")
	current := pipe.HGet(ctx, "{vm:feed}:state", "epoch")
	for i := range keys {
		keys[i] = fmt.Sprintf("vm:%s:{video:%d}", epoch, i+1)
		versions[i] = pipe.GetRange(ctx, keys[i], 2, 17)
	}
	after := pipe.Info(ctx, "server", "replication")
	begin := history.Now()
	_, _ = pipe.Exec(ctx) // most keys are other nodes'; each command has its own error
	end := history.Now()
	process := reign(before.Val())
	if process == "" || process != reign(after.Val()) {
		return
	}
	if text, err := current.Result(); err == nil {
		s.epoch.Store(text)
	}
	for i, held := range versions {
		text, err := held.Result()
		if err != nil {
			continue
		}
		version, _ := strconv.ParseUint(text, 10, 64) // 0 where there is nothing
		s.recorder.Sample(history.Sample{Key: keys[i], Version: version, Process: process, Begin: begin, End: end})
	}
}

// reign names the life of a process as a master, "" if it is none.
func reign(info string) string {
	if field(info, "role") != "master" {
		return ""
	}
	return field(info, "run_id") + "/" + field(info, "master_replid")
}

// field returns a field of the answer to INFO.
func field(info, name string) string {
	for line := range strings.Lines(info) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// redisAgrees returns an error unless what Redis holds equals the documents.
func (tr *trial) redisAgrees(ctx context.Context, docs []schema.Document) error {
	epoch, err := tr.redis.HGet(ctx, "{vm:feed}:state", "epoch").Result()
	if err != nil {
		return err
	}
	pipe := tr.redis.Pipeline()
	held := make([]*redis.StringCmd, len(docs))
	for i, d := range docs {
		held[i] = pipe.Get(ctx, fmt.Sprintf("vm:%s:{video:%d}", epoch, d.ID))
	}
	if _, err := pipe.Exec(ctx); err != nil && err != redis.Nil {
		return err
	}
	for i, d := range docs {
		text, err := held[i].Bytes()
		if err == redis.Nil {
			continue
		}
		if err != nil {
			return err
		}
		e, err := cache.ParseEnvelope(text)
		if err != nil {
			return err
		}
		if e.Version != d.Version || !slices.Equal(e.Body, d.Body) {
			return fmt.Errorf("video %d: Redis holds version %d, MySQL has %d", d.ID, e.Version, d.Version)
		}
	}
	return nil
}
