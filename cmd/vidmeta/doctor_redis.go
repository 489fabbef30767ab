package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// redisPatient is the cluster that is looked at.
type redisPatient struct {
	settings redisSettings
	client   *redis.ClusterClient
	skew     time.Duration
	infos    []nodeInfo // of all nodes, known after the second check
}

// nodeInfo is what one node says of itself.
type nodeInfo struct {
	addr   string
	fields map[string]string
}

// replicated reports whether a master has a replica that follows it.
func (n nodeInfo) replicated() bool {
	for name, value := range n.fields {
		if strings.HasPrefix(name, "slave") && strings.Contains(value, "state=online") {
			return true
		}
	}
	return false
}

func newRedisPatient(s redisSettings, skew time.Duration) (*redisPatient, error) {
	client, err := s.client(2*time.Second, 2)
	if err != nil {
		return nil, err
	}
	return &redisPatient{settings: s, client: client, skew: skew}, nil
}

func (p *redisPatient) close() { _ = p.client.Close() }

// redisChecks are what is looked at, the first being whether there is anybody.
var redisChecks = []check[*redisPatient]{
	{"redis", lookRedis},
	{"nodes", lookNodes},
	{"cluster", lookCluster},
	{"memory", lookMemory},
	{"writing", lookWriting},
	{"clock", lookRedisClocks},
}

// seed returns a client for one address and nothing else.
func (p *redisPatient) seed(addr string) *redis.Client {
	return redis.NewClient(&redis.Options{
		Addr: addr, Username: p.settings.RedisUsername, Password: p.settings.RedisPassword,
		DialTimeout: time.Second, DialerRetries: 1, MaxRetries: -1, PoolSize: 1, ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
}

// lookRedis asks each address by itself.
func lookRedis(ctx context.Context, p *redisPatient) []finding {
	var silent []finding
	answering := 0
	for _, addr := range p.settings.Redis {
		c := p.seed(addr)
		err := c.Ping(ctx).Err()
		_ = c.Close()
		switch {
		case err == nil:
			answering++
		case strings.HasPrefix(err.Error(), "NOAUTH"), strings.HasPrefix(err.Error(), "WRONGPASS"):
			return []finding{fail("put the right user and password into --redis-username and --redis-password (VIDMETA_REDIS_PASSWORD)", "%s: %v", addr, err)}
		default:
			silent = append(silent, warn("start it, or take it out of --redis (VIDMETA_REDIS)", "%s does not answer: %v", addr, err))
		}
	}
	if answering == 0 {
		for i := range silent {
			silent[i].Level = levelFail
		}
		return silent
	}
	return append(silent, fine("%d of %d addresses answer", answering, len(p.settings.Redis)))
}

// lookNodes asks every node of the cluster what it is.
func lookNodes(ctx context.Context, p *redisPatient) []finding {
	var mu sync.Mutex
	err := p.client.ForEachShard(ctx, func(ctx context.Context, node *redis.Client) error {
		text, err := node.Info(ctx).Result()
		addr := node.Options().Addr
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		p.infos = append(p.infos, nodeInfo{addr: addr, fields: infoFields(text)})
		return nil
	})
	slices.SortFunc(p.infos, func(a, b nodeInfo) int { return cmp.Compare(a.addr, b.addr) })
	var found []finding
	if err != nil {
		found = append(found, warn("start it; until then its keys are served by its replica or by nobody", "a node does not answer: %v", err))
	}
	versions := make(map[string]bool)
	for _, n := range p.infos {
		version := n.fields["redis_version"]
		versions[version] = true
		if major, _, _ := strings.Cut(version, "."); atoi(major) < 7 {
			found = append(found, fail("upgrade to Redis 7.0 or newer, or to Valkey", "%s is Redis %s, too old", n.addr, version))
		}
	}
	if len(found) == 0 {
		found = append(found, fine("%d answer, of version %s", len(p.infos), strings.Join(slices.Sorted(maps.Keys(versions)), ", ")))
	}
	return found
}

// infoFields parses what INFO and CLUSTER INFO say.
func infoFields(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.SplitSeq(text, "\r\n") {
		if name, value, ok := strings.Cut(line, ":"); ok {
			fields[name] = value
		}
	}
	return fields
}

// atoi is 0 for what is no number.
func atoi(s string) int {
	n, _ := strconv.Atoi(s)
	return n
}

// lookCluster asks whether every slot is served, and by a master that somebody can stand in for.
func lookCluster(ctx context.Context, p *redisPatient) []finding {
	if !slices.ContainsFunc(p.infos, func(n nodeInfo) bool { return n.fields["cluster_enabled"] == "1" }) {
		return []finding{warn("for a service that must survive a node of Redis, run a cluster with replicas",
			"a single server without cluster support: it works, but with the server all that it holds is away")}
	}
	text, err := p.client.ClusterInfo(ctx).Result()
	if err != nil {
		return []finding{fail("", "the cluster does not say how it is: %v", err)}
	}
	var found []finding
	info := infoFields(text)
	if info["cluster_state"] != "ok" {
		found = append(found, fail("redis-cli --cluster check "+p.settings.Redis[0], "cluster_state is %s", info["cluster_state"]))
	}
	if n := atoi(info["cluster_slots_ok"]); n < 16384 {
		found = append(found, fail("redis-cli --cluster fix "+p.settings.Redis[0], "%d of 16384 slots are served", n))
	}
	for _, n := range p.infos {
		if n.fields["role"] == "master" && !n.replicated() {
			found = append(found, warn("redis-cli --cluster add-node HOST:PORT "+n.addr+" --cluster-slave",
				"the master %s has no replica: when it dies its keys are served by nobody", n.addr))
		}
	}
	if found == nil {
		found = append(found, fine("state ok, all slots served, every master has a replica"))
	}
	return found
}

// lookMemory asks what happens to the feed when memory is full: it has no expiry, and must not be evicted.
func lookMemory(_ context.Context, p *redisPatient) []finding {
	var found []finding
	for _, n := range p.infos {
		policy := n.fields["maxmemory_policy"]
		host, port, _ := strings.Cut(n.addr, ":")
		mend := fmt.Sprintf("redis-cli -h %s -p %s config set maxmemory-policy volatile-lfu, and the same in its configuration", host, port)
		switch {
		case n.fields["maxmemory"] == "0":
			continue
		case strings.HasPrefix(policy, "volatile-"):
			continue
		case policy == "noeviction":
			found = append(found, fail(mend, "%s has a limit of %s bytes and evicts nothing: once full it takes no more writes, and the feed stands still", n.addr, n.fields["maxmemory"]))
		default:
			found = append(found, warn(mend, "%s may evict any key (%s), the feed's too; all nodes then drop their local tiers", n.addr, policy))
		}
	}
	if found == nil {
		found = append(found, fine("nothing without an expiry is evicted"))
	}
	return found
}

// lookWriting writes a key that expires by itself.
func lookWriting(ctx context.Context, p *redisPatient) []finding {
	key := p.settings.Namespace + ":doctor"
	if err := p.client.Set(ctx, key, "1", time.Second).Err(); err != nil {
		return []finding{fail("let the user write the keys "+p.settings.Namespace+":* and {"+p.settings.Namespace+":feed}*", "a key cannot be written: %v", err)}
	}
	err := p.client.Eval(ctx, "return redis.call('PEXPIRE', KEYS[1], 1000)", []string{key}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return []finding{fail("let the user run scripts: +@scripting", "a script cannot be run: %v", err)}
	}
	return []finding{fine("keys can be written and scripts run")}
}

func lookRedisClocks(ctx context.Context, p *redisPatient) []finding {
	var found []finding
	for _, n := range p.infos {
		c := p.seed(n.addr)
		if err := c.Ping(ctx).Err(); err != nil { // dials, so that the next round trip is nothing else
			_ = c.Close()
			continue // has been found before
		}
		before := time.Now()
		at, err := c.Time(ctx).Result()
		after := time.Now()
		_ = c.Close()
		if err != nil {
			found = append(found, warn("", "the clock of %s cannot be read: %v", n.addr, err))
			continue
		}
		found = append(found, clockFinding(n.addr, at, before, after, p.skew))
	}
	return worst(found)
}

// worst leaves out what is well, unless all is: then one finding speaks for all.
func worst(found []finding) []finding {
	bad := slices.DeleteFunc(slices.Clone(found), func(f finding) bool { return f.Level == levelOK })
	if len(bad) == 0 && len(found) > 0 {
		return []finding{fine("%s; %d more likewise", found[0].What, len(found)-1)}
	}
	return bad
}
