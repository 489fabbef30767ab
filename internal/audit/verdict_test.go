package audit

import (
	"testing"

	"vidmeta/cache"
	"vidmeta/schema"
)

func document(v schema.Version, body string) schema.Document {
	d := schema.Document{ID: 1, Version: v}
	if body != "" {
		d.Body = []byte(body)
	}
	return d
}

// holds is what a tier would serve of a document.
func holds(v schema.Version, body string) cache.Held {
	d := document(v, body)
	h := cache.Held{State: cache.StateAbsent, Version: v, Digest: cache.Digest(d.Body)}
	if d.Exists() {
		h.State = cache.StateLive
	}
	return h
}

func TestJudge(t *testing.T) {
	because := holds(4, "a")
	because.Why = "its time is over"
	now := document(5, "a")
	later := func(v schema.Version, body string) *schema.Document {
		d := document(v, body)
		return &d
	}
	for name, c := range map[string]struct {
		held   cache.Held
		before schema.Document
		after  *schema.Document
		want   verdict
	}{
		"the same":                         {holds(5, "a"), now, nil, agrees},
		"older":                            {holds(4, "a"), now, nil, older},
		"absent, and older":                {holds(4, ""), now, nil, older},
		"older, and would not be served":   {because, now, nil, unserved},
		"nothing":                          {cache.Held{State: cache.StateNothing}, now, nil, nothing},
		"cannot say":                       {cache.Held{State: cache.StateFailed, Why: "cut off"}, now, nil, unanswered},
		"another body":                     {holds(5, "b"), now, nil, differs},
		"absent at the same version":       {holds(5, ""), now, nil, differs},
		"live where it was deleted":        {holds(5, "a"), document(5, ""), nil, differs},
		"deleted":                          {holds(5, ""), document(5, ""), nil, agrees},
		"never existed":                    {holds(0, ""), document(0, ""), nil, agrees},
		"was overtaken":                    {holds(6, "b"), now, later(7, "c"), agrees},
		"was overtaken just so":            {holds(6, "b"), now, later(6, "b"), agrees},
		"just so, with another body":       {holds(6, "b"), now, later(6, "c"), differs},
		"newer":                            {holds(6, "b"), now, later(5, "a"), newer},
		"live where there never was one":   {holds(6, "b"), document(0, ""), later(0, ""), newer},
		"newer, and MySQL does not answer": {holds(6, "b"), now, nil, unanswered},
	} {
		if got := judge(c.held, c.before, c.after); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
