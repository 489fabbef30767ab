package cache

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"strings"

	"github.com/redis/go-redis/v9"
)

//go:embed lua/lease.lua
var leaseLua string

//go:embed lua/fill.lua
var fillLua string

//go:embed lua/release.lua
var releaseLua string

//go:embed lua/mark.lua
var markLua string

//go:embed lua/put.lua
var putLua string

//go:embed lua/drop.lua
var dropLua string

//go:embed lua/lead.lua
var leadLua string

//go:embed lua/publish.lua
var publishLua string

var (
	leaseScript   = newScript(leaseLua)
	fillScript    = newScript(fillLua)
	releaseScript = newScript(releaseLua)
	markScript    = newScript(markLua)
	putScript     = newScript(putLua)
	dropScript    = newScript(dropLua)
	leadScript    = newScript(leadLua)
	publishScript = newScript(publishLua)
)

// script is a Lua script whose keys are all in one slot.
type script struct{ source, sha string }

func newScript(source string) *script {
	sum := sha1.Sum([]byte(source)) // Redis names scripts by it
	return &script{source: source, sha: hex.EncodeToString(sum[:])}
}

// command returns the command that calls the script: by its hash or, where the server does not know it yet, by its source.
func (s *script) command(bySource bool, keys []string, args []any) []any {
	name, body := "evalsha", s.sha
	if bySource {
		name, body = "eval", s.source
	}
	all := make([]any, 0, 3+len(keys)+len(args))
	all = append(all, name, body, len(keys))
	for _, k := range keys {
		all = append(all, k)
	}
	return append(all, args...)
}

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

// op is one question to Redis that is answered with a string: a script with its arguments, or a whole command.
type op struct {
	script *script  // nil: args are the whole command
	keys   []string // all in one slot
	args   []any
}

func getOp(key string) *op { return &op{keys: []string{key}, args: []any{"get", key}} }

func (o *op) command(ctx context.Context, bySource bool) *redis.StringCmd {
	if o.script == nil {
		return redis.NewStringCmd(ctx, o.args...)
	}
	return redis.NewStringCmd(ctx, o.script.command(bySource, o.keys, o.args)...)
}

// reply answers an op. A missing key is redis.Nil.
type reply struct {
	text []byte
	err  error
}

// pipeline sends ops together, one round trip per node, and once more those whose script a node did not know.
func pipeline(ctx context.Context, c redis.UniversalClient, ops []*op) []reply {
	replies := make([]reply, len(ops))
	send := func(which []int, bySource bool) (unknown []int) {
		cmds := make([]*redis.StringCmd, len(which))
		pipe := c.Pipeline()
		for i, n := range which {
			cmds[i] = ops[n].command(ctx, bySource)
			_ = pipe.Process(ctx, cmds[i]) // only queues
		}
		_, _ = pipe.Exec(ctx) // the first command's error; each is looked at below
		for i, n := range which {
			text, err := cmds[i].Bytes()
			replies[n] = reply{text: text, err: err}
			if isNoScript(err) {
				unknown = append(unknown, n)
			}
		}
		return unknown
	}
	all := make([]int, len(ops))
	for i := range all {
		all[i] = i
	}
	if unknown := send(all, false); len(unknown) > 0 {
		send(unknown, true)
	}
	return replies
}
