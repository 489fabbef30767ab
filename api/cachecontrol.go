package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"vidmeta/schema"
)

// readOptions translates the request's header fields. It allocates nothing for a request that has none of them.
func (s *Server) readOptions(r *http.Request, start time.Time) (schema.ReadOptions, error) {
	o := schema.ReadOptions{Now: start}
	if values := r.Header["Cache-Control"]; len(values) > 0 {
		var cc cacheControl
		for _, v := range values {
			cc.parse(v)
		}
		cc.apply(&o, s.cfg.MaxAge)
	}
	if values := r.Header["Vidmeta-Min-Version"]; len(values) > 0 {
		v, err := parseMinVersion(values)
		if err != nil {
			return o, err
		}
		o.MinVersion = v
	}
	return o, nil
}

func parseMinVersion(values []string) (schema.Version, error) {
	if len(values) > 1 {
		return 0, reject(problemInvalidMinVersion, "Vidmeta-Min-Version was sent %d times.", len(values))
	}
	n, err := strconv.ParseUint(values[0], 10, 64) // no sign, no spaces
	if err != nil || n > uint64(schema.MaxVersion) {
		return 0, reject(problemInvalidMinVersion, "%q is not a version: %s", clip(values[0], 64), problemInvalidMinVersion.detail)
	}
	return schema.Version(n), nil
}

// cacheControl is what a request's Cache-Control may ask of this service. Other directives are ignored, as RFC 9111
// has it; so are arguments that are no numbers.
type cacheControl struct {
	noCache      bool
	onlyIfCached bool
	hasMaxAge    bool
	hasMaxStale  bool
	maxAge       time.Duration // the smallest, if there are several
	maxStale     time.Duration // likewise; without a number it is longer than anything
}

// apply turns the directives into options. The service's own bound is the loosest that counts as fresh: a larger max-age
// means no more than that the client names a bound, and does not want what is stale.
func (c *cacheControl) apply(o *schema.ReadOptions, standard time.Duration) {
	o.OnlyIfCached = c.onlyIfCached
	o.NoCache = c.noCache || c.hasMaxAge && c.maxAge == 0 && c.maxStale == 0
	if o.NoCache || !c.hasMaxAge && !c.hasMaxStale {
		return
	}
	o.MaxAge, o.MaxStale = standard, c.maxStale
	if c.hasMaxAge {
		o.MaxAge = min(standard, max(c.maxAge, time.Microsecond)) // zero would say nothing
	}
}

// parse adds the directives of one field value.
func (c *cacheControl) parse(v string) {
	for v != "" {
		var name, arg string
		var hasArg bool
		name, arg, hasArg, v = nextDirective(v)
		switch {
		case strings.EqualFold(name, "no-cache"):
			c.noCache = true
		case strings.EqualFold(name, "only-if-cached"):
			c.onlyIfCached = true
		case hasArg && strings.EqualFold(name, "max-age"):
			lessen(&c.maxAge, &c.hasMaxAge, arg)
		case hasArg && strings.EqualFold(name, "max-stale"):
			lessen(&c.maxStale, &c.hasMaxStale, arg)
		case strings.EqualFold(name, "max-stale") && !c.hasMaxStale:
			c.maxStale, c.hasMaxStale = maxDeltaSeconds*time.Second, true
		}
	}
}

// lessen makes a bound the number of arg, unless that is none or the bound is below it already.
func lessen(bound *time.Duration, has *bool, arg string) {
	if d, ok := parseDeltaSeconds(arg); ok && (!*has || d < *bound) {
		*bound, *has = d, true
	}
}

// nextDirective cuts the first directive off v. A comma inside a quoted string does not end it. The argument comes
// without its quotes; one that holds escapes is returned as it stands, no directive known here can have any.
func nextDirective(v string) (name, arg string, hasArg bool, rest string) {
	end, quoted := len(v), false
scan:
	for i := 0; i < len(v); i++ {
		switch c := v[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			end = i
			break scan
		}
	}
	directive := v[:end]
	if end < len(v) {
		rest = v[end+1:]
	}
	name, arg, hasArg = strings.Cut(directive, "=")
	name, arg = trimOWS(name), trimOWS(arg)
	if len(arg) >= 2 && arg[0] == '"' && arg[len(arg)-1] == '"' {
		arg = arg[1 : len(arg)-1]
	}
	return name, arg, hasArg, rest
}

// maxDeltaSeconds is what RFC 9111 has larger numbers count as.
const maxDeltaSeconds = 1 << 31

// parseDeltaSeconds reads digits and nothing else; more than fit mean very long.
func parseDeltaSeconds(s string) (time.Duration, bool) {
	if s == "" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		c := s[i]
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(n*10+int64(c-'0'), maxDeltaSeconds)
	}
	return time.Duration(n) * time.Second, true
}

// trimOWS cuts the optional whitespace of RFC 9110.
func trimOWS(s string) string { return strings.Trim(s, " \t") }

// freshness returns the response's Cache-Control. Since Age is sent too, a cache downstream keeps an answer fresh
// for max-age less Age. Age is in whole seconds and rounded down, so its clients see our bound and up to a second more.
func freshness(cfg Config) string {
	b := append([]byte(nil), "public, max-age="...)
	b = appendSeconds(b, cfg.MaxAge)
	if cfg.StaleWhileRevalidate > 0 {
		b = appendSeconds(append(b, ", stale-while-revalidate="...), cfg.StaleWhileRevalidate)
	}
	if cfg.StaleIfError > 0 {
		b = appendSeconds(append(b, ", stale-if-error="...), cfg.StaleIfError)
	}
	return string(b)
}

// appendSeconds appends d in whole seconds, rounded down and never below zero.
func appendSeconds(b []byte, d time.Duration) []byte {
	return strconv.AppendInt(b, max(0, int64(d/time.Second)), 10)
}
