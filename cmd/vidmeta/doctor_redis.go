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
	text   string
	fields map[string]string // the same by name
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
	{"saving", lookSaving},
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
		if strings.HasPrefix(addr, ":") { // how the library writes a node of this host that the only address led to
			addr = "127.0.0.1" + addr
		}
		if err != nil {
			return fmt.Errorf("%s: %w", addr, err)
		}
		mu.Lock()
		defer mu.Unlock()
		p.infos = append(p.infos, nodeInfo{addr: addr, text: text, fields: infoFields(text)})
		return nil
	})
	slices.SortFunc(p.infos, func(a, b nodeInfo) int { return cmp.Compare(a.addr, b.addr) })
	var found []finding
	switch {
	case err != nil && strings.Contains(err.Error(), "NOPERM"):
		found = append(found, fail(p.allow("+info"), "a node does not say who it is, and what it holds is not trusted: %v", err))
	case err != nil:
		found = append(found, warn("start it; until then its keys are served by its replica or by nobody", "a node does not answer: %v", err))
	}
	versions := make(map[string]bool)
	for _, n := range p.infos {
		version := n.fields["redis_version"]
		versions[version] = true
		if major, _, _ := strings.Cut(version, "."); atoi(major) < 7 {
			found = append(found, fail("upgrade to Redis 7.0 or newer, or to Valkey", "%s is Redis %s, too old", n.addr, version))
		}
		if n.fields["master_replid"] == "" {
			found = append(found, fail("put the addresses of the nodes themselves into --redis (VIDMETA_REDIS)",
				"%s does not say who it is (master_replid), and what it holds is not trusted; is it a proxy?", n.addr))
		}
	}
	if len(found) == 0 {
		found = append(found, fine("%d answer, of version %s", len(p.infos), strings.Join(slices.Sorted(maps.Keys(versions)), ", ")))
	}
	return found
}

// allow is the command by which the user gets a right.
func (p *redisPatient) allow(right string) string {
	user := p.settings.RedisUsername
	if user == "" {
		user = "default"
	}
	return "redis-cli ACL SETUSER " + user + " " + right + "  # on every node, and in its ACL file"
}

// config is the command that sets something on a node.
func (n nodeInfo) config(name, value string) string {
	return fmt.Sprintf("redis-cli -u redis://%s CONFIG SET %s %s  # and in its configuration", n.addr, name, value)
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
		return append(p.moves(ctx), warn("for a service that must survive a node of Redis, run a cluster with replicas",
			"a single server without cluster support: it works, but with the server all that it holds is away"))
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
		if n.fields["role"] != "master" {
			continue
		}
		if !n.replicated() {
			found = append(found, warn("redis-cli --cluster add-node HOST:PORT "+n.addr+" --cluster-slave",
				"the master %s has no replica: when it dies its keys are served by nobody", n.addr))
		}
		if lag := n.lag(); lag > replicaLag {
			found = append(found, warn("look at the load of the replica, and at the network in between",
				"a replica of %s is %v behind: a failover now would lose what it lacks, and the sidecar has to bring it again", n.addr, lag))
		}
	}
	found = append(found, p.moves(ctx)...)
	found = append(found, p.failover(ctx)...)
	if found == nil {
		found = append(found, fine("state ok, all slots served, every master has a replica"))
	}
	return found
}

// replicaLag is what a replica may be behind: they report every second.
const replicaLag = 3 * time.Second

// lag is how long a replica of the node has said nothing, of the one that has been silent longest.
func (n nodeInfo) lag() (longest time.Duration) {
	for name, value := range n.fields {
		if !strings.HasPrefix(name, "slave") {
			continue
		}
		for pair := range strings.SplitSeq(value, ",") {
			if seconds, ok := strings.CutPrefix(pair, "lag="); ok {
				longest = max(longest, time.Duration(atoi(seconds))*time.Second)
			}
		}
	}
	return longest
}

// moves asks each master which slots are on their way, and whether the sidecar may ask what it has to ask for that.
func (p *redisPatient) moves(ctx context.Context) (found []finding) {
	for _, n := range p.infos {
		if n.fields["role"] != "master" {
			continue
		}
		c := p.seed(n.addr)
		text, err := c.ClusterNodes(ctx).Result()
		right := "+cluster"
		switch {
		case err == nil:
			err = cmp.Or(c.ClusterCountKeysInSlot(ctx, 0).Err(), c.ClusterGetKeysInSlot(ctx, 0, 0).Err())
		case strings.Contains(err.Error(), "cluster support disabled"):
			right, err = "+scan", c.Scan(ctx, 0, "", 1).Err()
		}
		if size := c.DBSize(ctx).Err(); err == nil && size != nil {
			right, err = "+dbsize", size
		}
		_ = c.Close()
		switch {
		case err != nil && strings.Contains(err.Error(), "NOPERM"):
			return append(found, fail(p.allow(right), "the sidecar cannot ask which slots and keys %s has, and so cannot trust it: %v", n.addr, err))
		case err != nil:
			found = append(found, warn("", "%s does not say which slots it has: %v", n.addr, err))
		case strings.Contains(text, "->-") || strings.Contains(text, "-<-"):
			found = append(found, warn("wait for the move to end; if nobody is moving them: redis-cli --cluster fix "+n.addr,
				"slots of %s are on their way: until they stand still, what is in them is not trusted, and MySQL is asked", n.addr))
		}
	}
	return found
}

// slowFailover is the default of Redis.
const slowFailover = 15 * time.Second

// failover asks how soon a dead master is noticed, and what becomes of the others' keys meanwhile. A user who may not read
// the configuration is told nothing.
func (p *redisPatient) failover(ctx context.Context) (found []finding) {
	for _, n := range p.infos {
		c := p.seed(n.addr)
		settings, err := c.ConfigGet(ctx, "cluster-*").Result()
		_ = c.Close()
		if err != nil {
			continue
		}
		if timeout := time.Duration(atoi(settings["cluster-node-timeout"])) * time.Millisecond; timeout >= slowFailover {
			found = append(found, warn(n.config("cluster-node-timeout", "5000"),
				"a dead master is noticed after %v only (cluster-node-timeout of %s): so long its keys are served by nobody", timeout, n.addr))
		}
		if settings["cluster-require-full-coverage"] == "yes" {
			found = append(found, warn(n.config("cluster-require-full-coverage", "no"),
				"%s stops serving its own slots as soon as those of others are lost (cluster-require-full-coverage)", n.addr))
		}
	}
	return found
}

// lookMemory asks what happens to the feed when memory is full: it has no expiry, and must not be evicted.
func lookMemory(_ context.Context, p *redisPatient) []finding {
	var found []finding
	for _, n := range p.infos {
		policy := n.fields["maxmemory_policy"]
		mend := n.config("maxmemory-policy", "volatile-lfu")
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

// lookSaving asks whether a node that is to save what it holds can do so: if not, it takes no more writes. None has to.
func lookSaving(_ context.Context, p *redisPatient) []finding {
	var found []finding
	for _, n := range p.infos {
		if n.fields["loading"] == "1" {
			found = append(found, warn("wait until it has", "%s is loading what it had saved", n.addr))
		}
		for field, mend := range map[string]string{
			"rdb_last_bgsave_status": n.config("save", "''") + "; or make room where it saves",
			"aof_last_write_status":  n.config("appendonly", "no") + "; or make room where it saves",
		} {
			if status := n.fields[field]; status != "" && status != "ok" {
				found = append(found, fail(mend, "%s could not save (%s: %s), and may refuse writes for it", n.addr, field, status))
			}
		}
	}
	if found == nil {
		found = append(found, fine("no node has failed to save, if any is to"))
	}
	return found
}

// lookWriting writes a key that expires by itself.
func lookWriting(ctx context.Context, p *redisPatient) []finding {
	key := p.settings.Namespace + ":doctor"
	if err := p.client.Set(ctx, key, "1", time.Second).Err(); err != nil {
		return []finding{fail(p.allow("~"+p.settings.Namespace+":* ~{"+p.settings.Namespace+":feed}* +@read +@write"), "a key cannot be written: %v", err)}
	}
	err := p.client.Eval(ctx, "return redis.call('PEXPIRE', KEYS[1], 1000)", []string{key}).Err()
	if err != nil && !errors.Is(err, redis.Nil) {
		return []finding{fail(p.allow("+@scripting"), "a script cannot be run: %v", err)}
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
		found = append(found, redisClockFinding(n.addr, at, before, after, p.skew))
	}
	return worst(found)
}

// redisClockFinding judges the clock of a node of Redis, which refuses what comes from a second ahead of it or more.
func redisClockFinding(addr string, at, before, after time.Time, skew time.Duration) finding {
	f := clockFinding(addr, at, before, after, skew)
	if before.Sub(at) > time.Second {
		f.Level = levelFail
		f.What += "; this host is more than a second ahead: a node here stores nothing in Redis, and a sidecar here cannot lead"
	}
	return f
}

// worst leaves out what is well, unless all is: then one finding speaks for all.
func worst(found []finding) []finding {
	bad := slices.DeleteFunc(slices.Clone(found), func(f finding) bool { return f.Level == levelOK })
	if len(bad) == 0 && len(found) > 0 {
		return []finding{fine("%s; %d more likewise", found[0].What, len(found)-1)}
	}
	return bad
}
