package audit

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"vidmeta/cache"
	"vidmeta/schema"
)

var begun = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// scene makes looks at one document, on a clock of its own.
type scene struct {
	t       *testing.T
	ledger  *ledger
	noticed []Finding
}

func newScene(t *testing.T, room int) *scene {
	s := &scene{t: t}
	s.ledger = (&Auditor{ages: ages, metrics: newMetrics(nil, ages)}).newLedger(room)
	s.ledger.noticed = func(f Finding) { s.noticed = append(s.noticed, f) }
	return s
}

// see makes a look of what MySQL has and what the local tiers of nodes a, b, ... hold, nil for one that does not answer.
func see(at time.Duration, mysql schema.Document, local ...*cache.Held) *look {
	l := &look{docs: []schema.Document{mysql}, known: begun.Add(at), asked: begun.Add(at), ended: begun.Add(at)}
	for i, h := range local {
		v := view{tier: schema.TierLocal, node: string(rune('a' + i))}
		if h != nil {
			v.held = []cache.Held{*h}
		}
		l.views = append(l.views, v)
	}
	return l
}

func held(v schema.Version, asOf time.Duration) *cache.Held {
	h := holds(v, fmt.Sprint(v))
	at := begun.Add(asOf)
	h.AsOf = &at
	return &h
}

func at(v schema.Version) schema.Document { return document(v, fmt.Sprint(v)) }

// outlived returns how many local documents disagreed, by age.
func (s *scene) outlived() []int { return s.ledger.tallies[schema.TierLocal].disagreed }

func (s *scene) want(what string, want ...int) {
	s.t.Helper()
	if got := s.outlived(); !slices.Equal(got, want) {
		s.t.Errorf("%s: disagreements by age %v, want %v", what, got, want)
	}
}

func TestLastingDisagreement(t *testing.T) {
	s := newScene(t, 10)
	s.ledger.first(see(0, at(9), held(5, -time.Second), held(9, 0)))
	s.want("at first", 1, 0, 0, 0)
	var looks []time.Duration
	for {
		due, open := s.ledger.next()
		if !open {
			break
		}
		age := due.Sub(begun)
		looks = append(looks, age)
		if ids := s.ledger.due(due.Add(-time.Nanosecond), 10); len(ids) > 0 {
			t.Fatalf("due before its time: %v", ids)
		}
		if ids := s.ledger.due(due, 10); len(ids) != 1 {
			t.Fatalf("not due after %v", age)
		}
		s.ledger.again(see(age, at(9+schema.Version(len(looks))), held(5, age), held(9, 0)))
	}
	s.want("in the end", 1, 1, 1, 1)
	want := []time.Duration{1, 2, 4, 8, 10, 20, 40, 60}
	if !slices.EqualFunc(looks, want, func(a, b time.Duration) bool { return a == b*time.Second }) {
		t.Errorf("looked again after %v", looks)
	}
	r := s.ledger.report(begun, Picked{})
	if len(r.Lasting) != 1 {
		t.Fatalf("findings: %+v", r.Lasting)
	}
	if f := r.Lasting[0]; f.Node != "a" || f.Tier != "local" || f.Kind != "older" || f.Version != 5 || f.MySQL != 17 || f.Outlived != "60s" || f.Lasted != 60 || !f.Untrue {
		t.Errorf("%+v", f)
	}
	if local := r.Tiers[0]; local.Compared != 1 || local.Untrue != 1 || local.After[3].Disagreed != 1 || local.After[3].Outlived != "60s" {
		t.Errorf("%+v", local)
	}
	if len(s.noticed) != 2 || s.noticed[0].Outlived != "10s" || s.noticed[1].Outlived != "60s" {
		t.Errorf("noticed: %+v", s.noticed)
	}
}

// Of a document that goes on changing a tier may lack the latest version each time that it is looked at.
func TestFollowingIsNoDisagreement(t *testing.T) {
	s := newScene(t, 10)
	s.ledger.first(see(0, at(9), held(8, -time.Second)))
	s.ledger.again(see(time.Second, at(109), held(108, time.Second-time.Millisecond)))
	s.want("a tier that follows", 1, 0, 0, 0)
	if _, open := s.ledger.next(); open {
		t.Error("it is looked at again")
	}
	s.ledger.first(see(0, at(9), held(7, -time.Second)))
	s.ledger.again(see(time.Second, at(109), held(8, -time.Second)))
	s.want("one that follows a second behind", 2, 1, 0, 0)
	s.ledger.again(see(2*time.Second, at(209), held(108, time.Second-time.Millisecond)))
	if r := s.ledger.report(begun, Picked{}); len(r.Lasting) != 1 || r.Lasting[0].Outlived != "1s" || r.Tiers[0].Untrue != 0 {
		t.Errorf("%+v", r)
	}
}

func TestDisagreementsThatGo(t *testing.T) {
	for name, then := range map[string]*cache.Held{
		"agrees":   held(9, time.Second),
		"nothing":  {State: cache.StateNothing},
		"unserved": {State: cache.StateLive, Version: 5, Why: "its time is over"},
	} {
		s := newScene(t, 10)
		s.ledger.first(see(0, at(9), held(5, 0)))
		s.ledger.again(see(time.Second, at(9), then))
		s.want(name, 1, 0, 0, 0)
		if _, open := s.ledger.next(); open || len(s.ledger.report(begun, Picked{}).Lasting) > 0 {
			t.Errorf("%s: still open", name)
		}
	}
}

// One that cannot be asked again neither has gone nor has lasted.
func TestUnanswered(t *testing.T) {
	s := newScene(t, 10)
	s.ledger.first(see(0, at(9), held(5, 0)))
	s.ledger.again(see(time.Second, at(9), nil))
	s.want("no answer", 1, 0, 0, 0)
	due, _ := s.ledger.next()
	if ids := s.ledger.due(due, 10); len(ids) != 1 {
		t.Errorf("due are %v", ids)
	}
	s.ledger.again(&look{asks: []ask{{partyMySQL, errors.New("cut off")}}})
	s.want("no answer of MySQL", 1, 0, 0, 0)
	if next, open := s.ledger.next(); !open || next.Before(due.Add(time.Second)) {
		t.Errorf("asked again without a pause, at %v after %v", next, due)
	}
	s.ledger.again(see(11*time.Second, at(9), held(5, 0)))
	s.want("an answer", 1, 1, 1, 0)
	if ids := s.ledger.due(begun.Add(121*time.Second), 10); len(ids) != 0 {
		t.Errorf("asked for ever: %v", ids)
	}
	r := s.ledger.report(begun, Picked{})
	if after := r.Tiers[0].After; after[2].Compared != 1 || after[3].Compared != 0 || after[3].AtLeast != 0 {
		t.Errorf("%+v", after)
	}
	if len(r.Asked) != 1 || r.Asked[0] != (PartyReport{Name: "mysql", Asked: 1, Unanswered: 1, Error: "cut off"}) {
		t.Errorf("%+v", r.Asked)
	}
	if len(r.Lasting) != 1 || r.Lasting[0].Outlived != "10s" {
		t.Errorf("%+v", r.Lasting)
	}
}

func TestRoom(t *testing.T) {
	s := newScene(t, 2)
	for id := range schema.ID(5) {
		l := see(0, at(9), held(5, 0))
		l.docs[0].ID = id + 1
		s.ledger.first(l)
	}
	if len(s.ledger.open) != 2 {
		t.Errorf("%d are followed, want 2", len(s.ledger.open))
	}
	s.want("five", 5, 0, 0, 0)
	if r := s.ledger.report(begun, Picked{}); r.Tiers[0].After[0].Compared != 5 || r.Tiers[0].After[1].Compared != 0 {
		t.Errorf("%+v", r.Tiers[0])
	}
}

// A newer version is a claim that stands for as long as MySQL does not show it.
func TestPhantom(t *testing.T) {
	s := newScene(t, 10)
	phantom := see(0, at(9), held(12, 0))
	phantom.after = map[schema.ID]schema.Document{1: at(9)}
	s.ledger.first(phantom)
	s.want("newer", 1, 0, 0, 0)
	s.ledger.again(see(time.Second, at(13), held(12, 0))) // and is older now, but no less wrong
	s.want("older", 1, 1, 0, 0)
	s.ledger.again(see(2*time.Second, at(13), held(13, 0)))
	if _, open := s.ledger.next(); open {
		t.Error("still open")
	}
}
