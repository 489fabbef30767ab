package stack

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"
)

// masters is the least that a Redis Cluster can fail over with: a majority of them elects.
const masters = 3

const nodeTimeout = 2 * time.Second // after which the others call a node dead

// Redis is a single server or a cluster of three masters, each with the same number of replicas. Nothing is written to
// disk: a node that is killed and restarted comes back empty, and then copies its master if it is a replica.
type Redis struct {
	nodes []*Process
}

// Nodes returns the nodes in the order of Addrs. At the start the first three are the masters.
func (r *Redis) Nodes() []*Process { return append([]*Process(nil), r.nodes...) }

// Addrs returns the host:port of every node, to be used as seeds.
func (r *Redis) Addrs() []string {
	addrs := make([]string, len(r.nodes))
	for i, n := range r.nodes {
		addrs[i] = n.Addr()
	}
	return addrs
}

// MasterOf returns the node that serves key now, as the nodes that answer see it. It also works while others are dead.
func (r *Redis) MasterOf(ctx context.Context, key string) (*Process, error) {
	if len(r.nodes) == 1 {
		return r.nodes[0], nil
	}
	var errs []error
	for _, n := range r.nodes {
		addr, err := askMasterOf(ctx, n.Addr(), key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range r.nodes {
			if m.Addr() == addr {
				return m, nil
			}
		}
		errs = append(errs, fmt.Errorf("%s names %s, which is not of this cluster", n.Name(), addr))
	}
	return nil, fmt.Errorf("find the master of %q: %w", key, errors.Join(errs...))
}

func askMasterOf(ctx context.Context, addr, key string) (string, error) {
	c, err := dial(ctx, addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	slot, err := c.ClusterKeySlot(ctx, key).Result()
	if err != nil {
		return "", err
	}
	shards, err := c.ClusterShards(ctx).Result()
	if err != nil {
		return "", err
	}
	for _, shard := range shards {
		owns := func(r redis.SlotRange) bool { return r.Start <= slot && slot <= r.End }
		if !slices.ContainsFunc(shard.Slots, owns) {
			continue
		}
		for _, n := range shard.Nodes {
			if n.Role == "master" {
				return loopback(int(n.Port)), nil
			}
		}
	}
	return "", fmt.Errorf("%s knows no master of slot %d", addr, slot)
}

// WaitHealthy waits until every node runs and says that the cluster is whole, and every replica has copied its master.
func (r *Redis) WaitHealthy(ctx context.Context) error {
	for {
		err := r.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(readyPause):
		case <-ctx.Done():
			return fmt.Errorf("wait for redis: %w; last seen: %w", context.Cause(ctx), err)
		}
	}
}

func (r *Redis) healthy(ctx context.Context) error {
	for _, n := range r.nodes {
		if err := nodeHealthy(ctx, n.Addr(), len(r.nodes)); err != nil {
			return fmt.Errorf("%s (%s): %w", n.Name(), n.Addr(), err)
		}
	}
	return nil
}

func nodeHealthy(ctx context.Context, addr string, nodes int) error {
	c, err := dial(ctx, addr)
	if err != nil {
		return err
	}
	defer c.Close()
	replication, err := c.Info(ctx, "replication").Result()
	if err != nil {
		return err
	}
	if strings.Contains(replication, "role:slave") && !strings.Contains(replication, "master_link_status:up") {
		return errors.New("it has no copy of its master yet")
	}
	if nodes == 1 {
		return nil
	}
	if replicas := nodes/masters - 1; strings.Contains(replication, "role:master") {
		if got := strings.Count(replication, "state=online"); got != replicas {
			return fmt.Errorf("it feeds %d of %d replicas", got, replicas)
		}
	}
	info, err := c.ClusterInfo(ctx).Result()
	if err != nil {
		return err
	}
	for _, want := range []string{"cluster_state:ok", "cluster_slots_ok:16384", fmt.Sprintf("cluster_known_nodes:%d", nodes)} {
		if !strings.Contains(info, want+"\r\n") {
			return fmt.Errorf("it does not say %s", want)
		}
	}
	return nil
}

// dial returns a client with one connection, which it makes itself: the library would print that a node is not up yet.
// The client tries once and does not wait long.
func dial(ctx context.Context, addr string) (*redis.Client, error) {
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	made := make(chan net.Conn, 1)
	made <- conn
	return redis.NewClient(&redis.Options{
		Dialer: func(ctx context.Context, network, addr string) (net.Conn, error) {
			select {
			case conn := <-made:
				return conn, nil
			default:
				return nil, errors.New("the connection was lost")
			}
		},
		Addr: addr, Protocol: 2, DisableIdentity: true, MaxRetries: -1, DialerRetries: 1, PoolSize: 1,
		ReadTimeout: time.Second, WriteTimeout: time.Second,
	}), nil
}

// startRedis starts n nodes in folders below dir, from nothing, with args added to their options. On failure none is left.
func startRedis(ctx context.Context, dir string, n int, args []string, ps *ports) (*Redis, error) {
	program, err := findProgram("redis-server")
	if err != nil {
		return nil, fmt.Errorf("start redis: %w", err)
	}
	ports := make([]int, n)
	for i := range ports {
		var offsets []int
		if n > 1 {
			offsets = []int{busDistance}
		}
		if ports[i], err = ps.take(offsets...); err != nil {
			return nil, fmt.Errorf("start redis: %w", err)
		}
	}
	ids := nodeIDs(n)
	r := &Redis{nodes: make([]*Process, n)}
	var g errgroup.Group
	for i, port := range ports {
		g.Go(func() error {
			home := filepath.Join(dir, fmt.Sprintf("redis-%d", i+1))
			command, err := prepareNode(program, home, ports, ids, i)
			if err != nil {
				return fmt.Errorf("prepare redis on port %d: %w", port, err)
			}
			command.Args = append(command.Args, args...)
			r.nodes[i], err = Launch(ctx, command)
			return err
		})
	}
	err = g.Wait()
	if err == nil {
		ctx, cancel := context.WithTimeout(ctx, readyTimeout)
		defer cancel()
		err = r.WaitHealthy(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, r.kill())
	}
	return r, nil
}

// prepareNode makes the folder of node i and returns how to run it.
func prepareNode(program, home string, ports []int, ids []string, i int) (Command, error) {
	if err := os.RemoveAll(home); err != nil {
		return Command{}, err
	}
	if err := os.MkdirAll(home, 0o755); err != nil {
		return Command{}, err
	}
	addr := loopback(ports[i])
	args := []string{
		"--port", strconv.Itoa(ports[i]), "--bind", "127.0.0.1", "--dir", home, "--daemonize", "no",
		"--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0",
	}
	if len(ports) > 1 {
		args = append(args,
			"--cluster-enabled", "yes",
			"--cluster-config-file", "nodes.conf",
			"--cluster-node-timeout", strconv.FormatInt(nodeTimeout.Milliseconds(), 10),
			// A cache has use for the slots that are left.
			"--cluster-require-full-coverage", "no",
		)
		if err := os.WriteFile(filepath.Join(home, "nodes.conf"), nodesConf(ports, ids, i), 0o644); err != nil {
			return Command{}, err
		}
	}
	return Command{
		Name: filepath.Base(home), Path: program, Args: args, Addr: addr,
		Log: home + ".log",
		Ready: func(ctx context.Context) error {
			c, err := dial(ctx, addr)
			if err != nil {
				return err
			}
			defer c.Close()
			return c.Ping(ctx).Err()
		},
	}, nil
}

// nodesConf is the file in which a node remembers its cluster. Written before the first start it saves the introductions.
func nodesConf(ports []int, ids []string, myself int) []byte {
	const slots = 16384
	var b strings.Builder
	for i, port := range ports {
		flags, master, owned := "master", "-", ""
		if i < masters {
			owned = fmt.Sprintf(" %d-%d", i*slots/masters, (i+1)*slots/masters-1)
		} else {
			flags, master = "slave", ids[i%masters]
		}
		if i == myself {
			flags = "myself," + flags
		}
		fmt.Fprintf(&b, "%s %s@%d %s %s 0 0 %d connected%s\n",
			ids[i], loopback(port), port+busDistance, flags, master, i%masters+1, owned)
	}
	fmt.Fprintf(&b, "vars currentEpoch %d lastVoteEpoch 0\n", masters)
	return []byte(b.String())
}

// nodeIDs are random, so that a node of another stack which once had the same port is a stranger.
func nodeIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("%016x%016x%08x", rand.Uint64(), rand.Uint64(), i)
	}
	return ids
}

// kill ends all nodes at once.
func (r *Redis) kill() error {
	var errs []error
	for _, n := range r.nodes {
		if n != nil {
			errs = append(errs, n.Kill())
		}
	}
	return errors.Join(errs...)
}
