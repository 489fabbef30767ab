package cache

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"vidmeta/internal/model"
	"vidmeta/schema"
)

// The tests of this file tie internal/model, where every order of events is tried, to what really decides: each script
// and each decision is asked in every small state, and must answer as the model does.

const modelTime = 1_000_000 // what stands for the model's time 0, as nothing may be loaded in the future

func modelEnvelope(v model.Value) []byte {
	switch {
	case v.Other:
		return []byte("2 of another format")
	case v.None():
		return nil
	}
	e := Envelope{Kind: Live, Version: schema.Version(v.Version), LoadedAt: modelTime + int64(v.LoadedAt), Body: []byte("{}")}
	return e.Append(nil)
}

func modelCells() (cells []model.Cell) {
	values := []model.Value{{}, {Other: true}}
	values = append(values, modelValues()...)
	for _, v := range values {
		for lease := range uint8(3) {
			cells = append(cells, model.Cell{Value: v, Lease: lease})
		}
	}
	return cells
}

func modelValues() (values []model.Value) {
	for version := uint8(1); version <= 3; version++ {
		for at := uint8(1); at <= 2; at++ {
			values = append(values, model.Value{Version: version, LoadedAt: at})
		}
	}
	return values
}

// modelOp is one call of a script, and what the model says of it.
type modelOp struct {
	name   string
	script *script
	keys   int
	args   []any
	says   func(model.Cell) (after model.Cell, reply byte) // reply 0: ""
}

func modelOps() (ops []modelOp) {
	const token, ttl = 1, 60_000
	for version := range uint8(5) {
		for at := range uint8(4) {
			ops = append(ops, modelOp{fmt.Sprintf("lease v%d at %d", version, at), leaseScript, 2,
				[]any{token, ttl, appendDigits(nil, uint64(version)), appendDigits(nil, modelTime+uint64(at))},
				func(c model.Cell) (model.Cell, byte) { return c.AskLease(token, version, at) }})
		}
	}
	for _, v := range modelValues() {
		ops = append(ops,
			modelOp{fmt.Sprintf("fill %v", v), fillScript, 2, []any{token, modelEnvelope(v), ttl},
				func(c model.Cell) (model.Cell, byte) { return c.Fill(token, v) }},
			modelOp{fmt.Sprintf("put %v", v), putScript, 1, []any{modelEnvelope(v), ttl},
				func(c model.Cell) (model.Cell, byte) { return c.Put(v) }})
	}
	for version := uint8(1); version <= 3; version++ {
		ops = append(ops, modelOp{fmt.Sprintf("mark v%d", version), markScript, 2, []any{appendDigits(nil, uint64(version))},
			func(c model.Cell) (model.Cell, byte) { return c.Mark(version) }})
	}
	return append(ops,
		modelOp{"release", releaseScript, 2, []any{token}, func(c model.Cell) (model.Cell, byte) { return c.Release(token), 0 }},
		modelOp{"drop", dropScript, 2, nil, func(c model.Cell) (model.Cell, byte) { return c.Drop(), 0 }})
}

func TestScriptsDoWhatTheModelSays(t *testing.T) {
	r := openRedis(t)
	client, ctx := r.cfg.Client, t.Context()
	for _, o := range modelOps() {
		for i, before := range modelCells() {
			key := r.key("model", schema.ID(i))
			keys := []string{key, key + ":lease"}
			if err := client.Del(ctx, keys...).Err(); err != nil {
				t.Fatal(err)
			}
			if b := modelEnvelope(before.Value); b != nil {
				client.Set(ctx, key, b, time.Minute)
			}
			if before.Lease != 0 {
				client.Set(ctx, keys[1], before.Lease, time.Minute)
			}
			want, reply := o.says(before)
			text, err := runScript(ctx, client, o.script, keys[:o.keys], o.args...).Text()
			if err != nil {
				t.Fatalf("%s of %+v: %v", o.name, before, err)
			}
			wantText := ""
			if reply != 0 {
				wantText = string(rune(reply))
			}
			if reply == model.Hit {
				wantText += string(modelEnvelope(before.Value))
			}
			if text != wantText {
				t.Errorf("%s of %+v replies %q, the model %q", o.name, before, text, wantText)
			}
			value, _ := client.Get(ctx, key).Result() // "" if there is none
			lease, _ := client.Get(ctx, keys[1]).Result()
			wantLease := ""
			if want.Lease != 0 {
				wantLease = strconv.Itoa(int(want.Lease))
			}
			if value != string(modelEnvelope(want.Value)) || lease != wantLease {
				t.Errorf("%s of %+v leaves %q and lease %q, the model %+v", o.name, before, value, lease, want)
			}
		}
	}
}

func TestFeedScriptsDoWhatTheModelSays(t *testing.T) {
	r := openRedis(t)
	client, ctx, keys := r.cfg.Client, t.Context(), r.feedKeys()
	text := func(n uint8) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(int(n))
	}
	set := func(s model.FeedState) {
		t.Helper()
		if err := client.HDel(ctx, keys[1], "leader").Err(); err != nil {
			t.Fatal(err)
		}
		if err := client.HSet(ctx, keys[1], "term", text(s.Term), "seq", text(s.Seq), "epoch", text(s.Epoch),
			"checkpoint", text(s.Checkpoint), "roster", text(uint8(s.Roster))).Err(); err != nil {
			t.Fatal(err)
		}
	}
	agree := func(want model.FeedState, what string, args ...any) {
		t.Helper()
		h, err := client.HGetAll(ctx, keys[1]).Result()
		if err != nil {
			t.Fatal(err)
		}
		if h["term"] != text(want.Term) || h["seq"] != text(want.Seq) || h["epoch"] != text(want.Epoch) ||
			h["checkpoint"] != text(want.Checkpoint) || h["roster"] != text(uint8(want.Roster)) {
			t.Errorf("%s leaves %v, the model %+v", fmt.Sprintf(what, args...), h, want)
		}
	}
	for i := range uint8(16) {
		before := model.FeedState{Term: 1 + i&1, Seq: 1 + i>>1&1, Epoch: 1, Checkpoint: 1 + i>>2&1, Roster: model.Roster(1 + i>>3&1)}
		set(before)
		left, err := runScript(ctx, client, leadScript, keys[1:], "3", 0).StringSlice()
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprint([]string{text(before.Term), text(before.Seq), text(before.Epoch), text(before.Checkpoint), text(uint8(before.Roster)), ""}); fmt.Sprint(left) != want {
			t.Errorf("lead after %+v returns %v, want %v", before, left, want)
		}
		agree(before.Lead(3), "lead after %+v", before)
		for j := range uint8(8) {
			term, last, checkpoint := 1+j&1, 1+j>>1&1, j>>2&1*3
			set(before)
			want, ok := before.Publish(term, last, 7, 2, checkpoint, 3)
			err := runScript(ctx, client, publishScript, keys, text(term), text(last), "7", "", "2", text(checkpoint), "", "", 100, "3", "").Err()
			if (err == nil) != ok {
				t.Errorf("publish of term %d after %d to %+v: %v, the model %v", term, last, before, err, ok)
			}
			agree(want, "publish of term %d after %d to %+v", term, last, before)
		}
	}
}

func TestSubscriberHearsAsTheModelSays(t *testing.T) {
	const id = 1
	c := openChain(t, newMemory(), openRedis(t))
	text := func(prefix string, n uint8) string {
		if n == 0 {
			return ""
		}
		return prefix + strconv.Itoa(int(n))
	}
	each := func(sizes ...uint8) (all [][]uint8) {
		all = [][]uint8{nil}
		for _, n := range sizes {
			var longer [][]uint8
			for _, a := range all {
				for v := range n {
					longer = append(longer, append(a[:len(a):len(a)], v))
				}
			}
			all = longer
		}
		return all
	}
	standingOf := func(n model.Node) *standing {
		return &standing{text("e", n.Epoch), int64(n.Watermark), parseRoster(text("r", uint8(n.Roster)), nil)}
	}
	wrong := 0
	for _, n := range each(2, 3, 2, 3, 2) { // epoch, watermark, roster, term, seq
		for _, m := range each(2, 3, 2, 2, 3, 3, 2) { // epoch, watermark, roster, term, seq, after, changed
			node := model.Node{Epoch: 1 + n[0], Watermark: n[1], Roster: model.Roster(1 + n[2]), Term: n[3], Seq: n[4]}
			entry := model.Entry{
				Epoch: 1 + m[0], Watermark: m[1], Roster: model.Roster(1 + m[2]), Term: 1 + m[3], Seq: m[4], After: m[5], Changed: m[6] == 1,
			}
			want, fences := node.Hear(entry)

			s := NewSubscriber(c, nil)
			s.term, s.seq = text("t", node.Term), uint64(node.Seq)
			c.redis.standing.Store(standingOf(node))
			e := feedEntry{
				term: text("t", entry.Term), after: text("t", entry.After), epoch: text("e", entry.Epoch), seq: uint64(entry.Seq),
				watermark: int64(entry.Watermark), roster: text("r", uint8(entry.Roster)),
			}
			if entry.Changed {
				e.changes = []schema.Change{{ID: id, Version: 1}}
			}
			stamp := c.fence.Stamp(id)
			s.apply(e)
			got, wants := c.redis.standing.Load().String(), standingOf(want).String()
			if got != wants || (c.fence.Stamp(id) != stamp) != fences || s.term != text("t", want.Term) || s.seq != uint64(want.Seq) {
				wrong++
				t.Errorf("%+v hears %+v: stands at %s, fence raised %v; the model %s, %v", node, entry, got, c.fence.Stamp(id) != stamp, wants, fences)
			}
			if wrong > 5 {
				t.Fatal("and more")
			}
		}
	}
}

func TestRecentTellsWhatTheModelSays(t *testing.T) {
	for reach := int64(1); reach <= 4; reach++ {
		for at := int64(1); at <= 4; at++ {
			for has := int64(1); has <= 4; has++ {
				s := Shared{members: map[reign]member{"a": {slots: new(slots)}}, recent: newRecent()}
				s.recent.begin("a", reach)
				s.recent.add(schema.Change{ID: 1, Version: 1}, "a")
				s.recent.settle(map[reign]member{"a": {offset: at}})
				lacks, known := model.Lacks(uint8(reach), uint8(at), uint8(has))
				_, changes, ok := s.inheritance("b", member{former: "a", succeeded: has + 1})
				if ok != known || ok && (len(changes) > 0) != lacks {
					t.Errorf("reach %d, marked at %d, heir has %d: %d changes, %v; the model %v, %v", reach, at, has, len(changes), ok, lacks, known)
				}
			}
		}
	}
}
