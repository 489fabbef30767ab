package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

// onEveryNode sends a command to each node.
func onEveryNode(t *testing.T, addrs []string, args ...any) {
	t.Helper()
	for _, addr := range addrs {
		c := redis.NewClient(&redis.Options{Addr: addr, DisableIdentity: true, MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
		err := c.Do(t.Context(), args...).Err()
		if err := errors.Join(err, c.Close()); err != nil {
			t.Fatalf("%v on %s: %v", args, addr, err)
		}
	}
}

// TestDoctorFindsRedis breaks one thing after the other.
func TestDoctorFindsRedis(t *testing.T) {
	type command []any
	addrs := stacktest.Redis(t)
	if found := examineRedis(t, "", "", addrs...); bad(found) != "" {
		t.Fatalf("before anything is broken:\n%s", bad(found))
	}
	for _, tt := range []struct {
		name       string
		ruin, mend []command
		user       bool // look as the user "limited"
		level      level
		check      string
		says, cure string
	}{
		{"a full node", []command{{"CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "noeviction"}},
			[]command{{"CONFIG", "SET", "maxmemory", "0"}}, false, levelFail, "memory", "evicts nothing", "CONFIG SET maxmemory-policy volatile-lfu"},
		{"a node that evicts anything", []command{{"CONFIG", "SET", "maxmemory", "1gb", "maxmemory-policy", "allkeys-lru"}},
			[]command{{"CONFIG", "SET", "maxmemory", "0", "maxmemory-policy", "noeviction"}}, false, levelWarn, "memory", "may evict any key", "CONFIG SET maxmemory-policy volatile-lfu"},
		{"a slow failover", []command{{"CONFIG", "SET", "cluster-node-timeout", "60000"}},
			[]command{{"CONFIG", "SET", "cluster-node-timeout", "2000"}}, false, levelWarn, "cluster", "noticed after 1m0s", "CONFIG SET cluster-node-timeout 5000"},
		{"all or nothing", []command{{"CONFIG", "SET", "cluster-require-full-coverage", "yes"}},
			[]command{{"CONFIG", "SET", "cluster-require-full-coverage", "no"}}, false, levelWarn, "cluster", "stops serving its own slots", "CONFIG SET cluster-require-full-coverage no"},
		{"a user without INFO", []command{{"ACL", "SETUSER", "limited", "on", ">secret", "~*", "&*", "+@all", "-info"}},
			[]command{{"ACL", "SETUSER", "limited", "+info"}}, true, levelFail, "nodes", "does not say who it is", "ACL SETUSER limited +info"},
		{"a user who may not look into slots", []command{{"ACL", "SETUSER", "limited", "-cluster|getkeysinslot"}},
			[]command{{"ACL", "SETUSER", "limited", "+cluster"}}, true, levelFail, "cluster", "cannot ask which slots and keys", "ACL SETUSER limited +cluster"},
		{"a user without scripts", []command{{"ACL", "SETUSER", "limited", "-@scripting"}},
			[]command{{"ACL", "SETUSER", "limited", "+@scripting"}}, true, levelFail, "writing", "a script cannot be run", "ACL SETUSER limited +@scripting"},
		{"a user without keys", []command{{"ACL", "SETUSER", "limited", "resetkeys"}},
			[]command{{"ACL", "SETUSER", "limited", "~doctor:*", "~{doctor:feed}*", "+@read", "+@write"}}, true, levelFail, "writing", "a key cannot be written",
			"ACL SETUSER limited ~doctor:* ~{doctor:feed}* +@read +@write"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			user, password := "", ""
			if tt.user {
				user, password = "limited", "secret"
			}
			for _, c := range tt.ruin {
				onEveryNode(t, addrs, c...)
			}
			if f, err := hasFinding(examineRedis(t, user, password, addrs...), tt.level, tt.check, tt.says); err != nil || !strings.Contains(f.Mend, tt.cure) {
				t.Errorf("mend %q, %v", f.Mend, err)
			}
			for _, c := range tt.mend {
				onEveryNode(t, addrs, c...)
			}
			if found := examineRedis(t, user, password, addrs...); bad(found) != "" {
				t.Errorf("after the mend:\n%s", bad(found))
			}
		})
	}
	onEveryNode(t, addrs, "ACL", "DELUSER", "limited")
	if _, err := hasFinding(examineRedis(t, "limited", "secret", addrs...), levelFail, "redis", "WRONGPASS"); err != nil {
		t.Error(err)
	}
}

// TestDoctorFindsSaving takes the folder away that a server saves to.
func TestDoctorFindsSaving(t *testing.T) {
	s := stacktest.Start(t, stack.Config{RedisNodes: 1})
	if err := os.RemoveAll(filepath.Join(s.Dir(), "redis-1")); err != nil {
		t.Fatal(err)
	}
	onEveryNode(t, s.Redis.Addrs(), "BGSAVE")
	stacktest.WaitFor(t, patience, func() error {
		_, err := hasFinding(examineRedis(t, "", "", s.Redis.Addrs()...), levelFail, "saving", "could not save (rdb_last_bgsave_status: err)")
		return err
	})
}

// TestDoctorFindsDeadNodes takes a cluster apart.
func TestDoctorFindsDeadNodes(t *testing.T) {
	s := stacktest.Start(t, stack.Config{RedisNodes: 6})
	nodes, addrs := s.Redis.Nodes(), s.Redis.Addrs()
	until := func(l level, check, says string) {
		t.Helper()
		stacktest.WaitFor(t, patience, func() error {
			_, err := hasFinding(examineRedis(t, "", "", addrs...), l, check, says)
			return err
		})
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	move := func(args ...any) {
		t.Helper()
		onEveryNode(t, addrs[:1], append([]any{"CLUSTER", "SETSLOT", 0}, args...)...)
	}
	other := redis.NewClient(&redis.Options{Addr: addrs[1]})
	defer other.Close()
	id, err := other.Do(t.Context(), "CLUSTER", "MYID").Text()
	must(err)
	move("MIGRATING", id)
	until(levelWarn, "cluster", "slots of "+addrs[0]+" are on their way")
	move("STABLE")
	must(nodes[3].Pause())
	until(levelWarn, "cluster", "a replica of "+addrs[0]+" is")
	must(nodes[3].Resume())
	must(nodes[4].Kill())
	until(levelWarn, "cluster", "the master "+addrs[1]+" has no replica")
	must(nodes[1].Kill())
	until(levelFail, "cluster", "of 16384 slots are served")
}
