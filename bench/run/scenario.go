package run

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// scenario is a workload and who is put to it.
type scenario struct {
	name, title, about string
	arms               []string
	turn               turnFunc
	redisTTL           time.Duration // in place of the plan's, if it is not 0
	headline           bool          // a headline of the report is about it
	empty              bool          // every turn begins with an empty Redis
	fill               bool          // before the first turn, an arm that has a Redis fills it; see Plan.Empty for the others
}

var (
	peers      = []string{"rockscache", "jetcache-go", "gocache", "go-zero", "nginx", "varnish"}
	rivals     = append([]string{"mysql", "redis", "local", "vidmeta"}, peers...)
	mechanisms = []string{"vidmeta", "no-local", "no-coalescing", "no-batching", "no-sidecar", "no-jitter"}
)

// scenarios are all that the plan knows, in the order of the report.
func (p *Plan) scenarios() []scenario {
	zipf := fmt.Sprintf("Zipf %.2f over %s documents", p.Skew, comma(p.Videos))
	all := []scenario{
		{
			name: "handler", title: "A hit in memory, against handlers that return a constant",
			about: fmt.Sprintf("%d clients ask for one document that never changes. The constant handlers send as many bytes and "+
				"header fields; bare net/http and Echo.", p.Clients),
			arms: []string{"constant-echo", "constant-http", "vidmeta"},
			turn: p.oneDocument, headline: true,
		},
		{
			name: "zipf", title: fmt.Sprintf("%s, %.0f %% writes", zipf, 100*p.Writes),
			about: fmt.Sprintf("%d clients in a closed loop, then an open loop at half of that rate, while another program changes "+
				"documents of the same distribution with plain SQL. Arms that have nothing but a TTL keep documents for %v in the process "+
				"and %s in Redis, which the turns of an arm find filled by those before. %s", p.Clients, p.TTL, brief(p.RedisTTL), p.beginning()),
			arms: rivals,
			turn: p.zipf(p.Writes), fill: true, headline: true,
		},
		{
			name: "mechanisms", title: "The same, with one mechanism off at a time",
			about: "Nodes of vidmeta that do without one thing each: what it is worth.",
			arms:  mechanisms,
			turn:  p.zipf(p.Writes), fill: true,
		},
		{
			name: "batch", title: "A hundred documents in one request",
			about: "Documents a second, one by one and by POST /v1/videos/lookup with 100 ids, of documents in the local tier.",
			arms:  []string{"single", "batch"},
			turn:  p.batch, headline: true,
		},
		{
			name: "cold", title: fmt.Sprintf("A cold start over %s documents", comma(p.Cold)),
			about: fmt.Sprintf("Nothing is cached anywhere; %d clients ask for each document once, in random order.", p.Clients),
			arms:  []string{"mysql", "redis", "vidmeta"},
			turn:  p.cold, empty: true, headline: true,
		},
		{
			name: "expiry", title: "Everything in Redis expires",
			about: fmt.Sprintf("%d documents are loaded at once and live for %v in Redis, with and without jitter of a tenth; then %d "+
				"requests a second, and what of them reaches MySQL when they end. No local tier.", p.expiring(), shortRedisTTL, expiryRate),
			arms: []string{"no-local", "no-local+no-jitter"},
			turn: p.expiry, empty: true, redisTTL: shortRedisTTL,
		},
		{
			name: "ramp", title: "Rates that rise until they cannot be kept",
			about: "An open loop at each rate; latency counts from the time at which a request was to be sent.",
			arms:  []string{"mysql", "redis", "local", "vidmeta"},
			turn:  p.ramp, fill: true,
		},
		{
			name: "shifting", title: fmt.Sprintf("Zipf %.2f whose hot documents change every second", p.Skew),
			about: "What is hot moves on, so that whatever keeps only what is hot has to learn anew. " + p.beginning(),
			arms:  rivals,
			turn:  p.shifting, fill: true,
		},
		{
			name: "uniform", title: fmt.Sprintf("Each of %s documents as likely as any other", comma(p.Videos)),
			about: "The worst case for a cache that has no room for all. " + p.beginning(),
			arms:  []string{"mysql", "redis", "local", "vidmeta"},
			turn:  p.uniform, fill: true,
		},
		{
			name: "hot-key", title: "One document that everybody wants, changed ten times a second",
			about: "What a herd does when its document changes.",
			arms:  rivals,
			turn:  p.hotKey,
		},
		{
			name: "missing", title: "Documents that do not exist",
			about: fmt.Sprintf("%s numbers above those of all documents, each as likely as any other: 404 is the right answer. Nothing "+
				"keeps a program from asking for them, so that there is none should be remembered, too.", humanize.Comma(missingIDs)),
			arms: []string{"mysql", "redis", "local", "vidmeta"},
			turn: p.missing,
		},
		{
			name: "trace", title: "A recorded trace of a shop's product pages",
			about: "web12, replayed in order over all clients, around and around; its n-th distinct key is the video n.",
			arms:  []string{"mysql", "redis", "local", "vidmeta"},
			turn:  p.trace, fill: true,
		},
	}
	for _, share := range p.Mixes {
		all = append(all, scenario{
			name: fmt.Sprintf("zipf-%02.0f", 100*share), title: fmt.Sprintf("%s, %.0f %% writes", zipf, 100*share),
			about: "As zipf, with another share of writes.",
			arms:  []string{"mysql", "redis", "local", "vidmeta"},
			turn:  p.zipf(share), fill: true,
		})
	}
	return all
}

// beginning says what is in the process when a turn begins.
func (p *Plan) beginning() string {
	if p.Empty {
		return "In the process a turn begins with nothing; the load itself warms it."
	}
	return fmt.Sprintf("In the process a turn begins with nothing, and the load itself warms it, for long enough to be what it would "+
		"be after hours where documents end after %v. Where they end by being changed, as in vidmeta, that takes minutes: such an arm "+
		"is asked before for what that leaves it with, %s documents of the same distribution, a hundred at a time.", p.TTL, comma(steadyDraws*p.Videos))
}

func comma(n int) string { return humanize.Comma(int64(n)) }

// brief is a duration without what is 0 in it.
func brief(d time.Duration) string {
	return strings.Replace(strings.Replace(d.String(), "m0s", "m", 1), "h0m", "h", 1)
}

// repeats is how many turns of each arm are measured in a scenario.
func (p *Plan) repeats(s *scenario) int {
	if s.headline {
		return p.Repeats
	}
	return p.Others
}

// chosen are the scenarios of this run, with the arms that take part.
func (p *Plan) chosen() (some []scenario) {
	for _, s := range p.scenarios() {
		if len(p.Scenarios) > 0 && !slices.Contains(p.Scenarios, s.name) {
			continue
		}
		s.arms = slices.DeleteFunc(slices.Clone(s.arms), func(a string) bool { return !p.wants(a) })
		if len(s.arms) > 0 {
			some = append(some, s)
		}
	}
	return some
}

func names(all []scenario) (names []string) {
	for _, s := range all {
		names = append(names, s.name)
	}
	return names
}
