package cache

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/hex"
	"errors"
	"slices"
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

// op is one question to Redis that is answered with a string: a script with its arguments, or a whole command.
type op struct {
	script *script  // nil: args are the whole command
	keys   []string // all in one slot
	args   []any
	hung   uint64 // of its node, when it began to wait
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
	from reign // that answered, "" if that is not known
}

// envelope returns the document that a reply holds, ok false if it holds none, or one of another format: to be replaced.
func (r reply) envelope() (e Envelope, ok bool, err error) {
	if errors.Is(r.err, redis.Nil) {
		return Envelope{}, false, nil
	}
	if r.err != nil {
		return Envelope{}, false, r.err
	}
	e, err = ParseEnvelope(r.text)
	return e, err == nil, nil
}

// askNode sends ops to one node in one round trip, and in another those whose script it did not know.
func askNode(ctx context.Context, node *redis.Client, ops []*op) []reply {
	replies := make([]reply, len(ops))
	again := all(len(ops))
	for _, bySource := range []bool{false, true} {
		pipe := node.Pipeline()
		// In front, on the same connection: who answers here may change from one moment to the next.
		who := pipe.Do(ctx, "info", "replication")
		exec(ctx, pipe, ops, again, bySource, replies)
		text, _ := who.Text() // without it nobody is known, which is what follows from an empty text
		from := info(text).reign()
		for _, n := range again {
			replies[n].from = from
		}
		if again = which(replies, isNoScript); len(again) == 0 {
			break
		}
	}
	return replies
}

// redirect sends once more, by way of the client's redirections, what a node has answered with one, or not at all. Who
// answers then is not known. A request for a lease is not sent twice: the first could arrive late and, after a change has
// ended the lease, grant it again to who holds it no more.
func redirect(ctx context.Context, c *redis.ClusterClient, ops []*op, replies []reply) {
	again := slices.DeleteFunc(which(replies, isLost), func(i int) bool { return ops[i].script == leaseScript })
	for _, bySource := range []bool{false, true} {
		if len(again) == 0 {
			return
		}
		exec(ctx, c.Pipeline(), ops, again, bySource, replies)
		again = which(replies, isNoScript)
	}
}

// exec sends some of the ops and notes what is answered.
func exec(ctx context.Context, pipe redis.Pipeliner, ops []*op, some []int, bySource bool, replies []reply) {
	cmds := make([]*redis.StringCmd, len(some))
	for i, n := range some {
		cmds[i] = ops[n].command(ctx, bySource)
		_ = pipe.Process(ctx, cmds[i]) // only queues
	}
	_, first := pipe.Exec(ctx) // the first command's error; each is looked at below
	// A server that refuses the connection itself, as it does to a user that is disabled, leaves the commands without one.
	refused := first != nil && !slices.ContainsFunc(cmds, func(c *redis.StringCmd) bool { return c.Err() != nil || c.Val() != "" })
	for i, n := range some {
		text, err := cmds[i].Bytes()
		if refused {
			err = first
		}
		replies[n] = reply{text: text, err: err}
	}
}

func all(n int) []int {
	some := make([]int, n)
	for i := range some {
		some[i] = i
	}
	return some
}

func which(replies []reply, is func(error) bool) (some []int) {
	for i, rep := range replies {
		if rep.err != nil && is(rep.err) {
			some = append(some, i)
		}
	}
	return some
}

func isNoScript(err error) bool { return err != nil && strings.HasPrefix(err.Error(), "NOSCRIPT") }

// isLost reports whether an error speaks of the node or of the way to it rather than of the op.
func isLost(err error) bool {
	var answered redis.Error
	if !errors.As(err, &answered) {
		return true
	}
	for _, prefix := range []string{"MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY", "MASTERDOWN"} {
		if strings.HasPrefix(err.Error(), prefix) {
			return true
		}
	}
	return false
}
