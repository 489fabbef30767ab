package arm

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Settings are what an arm is told. The tags are those of kong, so that a command may embed them: its flags are the ones
// that a [Launcher] passes.
type Settings struct {
	Name        string        `arg:"" help:"The arm, such as redis."`
	Listen      string        `required:"" help:"Where to serve, host:port."`
	Admin       string        `required:"" help:"Where to serve counters and profiles, host:port."`
	MySQL       string        `name:"mysql" help:"DSN of MySQL or MariaDB."`
	Redis       []string      `name:"redis" help:"Addresses of Redis Cluster, or of one server without it."`
	TTL         time.Duration `name:"ttl" default:"2s" help:"How long documents are kept in the process, or by a proxy."`
	RedisTTL    time.Duration `name:"redis-ttl" default:"30s" help:"How long documents are kept in Redis."`
	LocalBytes  int64         `name:"local-bytes" default:"268435456" help:"Bytes for documents in the process, or in a proxy."`
	OriginWidth int           `name:"origin-width" default:"4" help:"Statements of vidmeta at once."`
}

// Several libraries count in seconds, and round down.
const (
	leastTTL      = time.Second
	leastRockTTL  = 3 * time.Second
	leastLocal    = 1 << 20 // what vidmeta accepts
	defaultOrigin = 4       // vidmeta's own
)

func (s *Settings) validate() error {
	if s.OriginWidth == 0 {
		s.OriginWidth = defaultOrigin
	}
	switch {
	case s.TTL < leastTTL || s.TTL%time.Second != 0:
		return fmt.Errorf("TTL: %v is not one or more whole seconds, which is all that some arms know", s.TTL)
	case s.RedisTTL < leastTTL || s.RedisTTL%time.Second != 0:
		return fmt.Errorf("RedisTTL: %v is not one or more whole seconds, which is all that some arms know", s.RedisTTL)
	case s.LocalBytes < leastLocal:
		return fmt.Errorf("LocalBytes: %d are too few, at least %d are needed", s.LocalBytes, leastLocal)
	case s.OriginWidth < 0:
		return fmt.Errorf("OriginWidth: %d is below 1", s.OriginWidth)
	}
	return nil
}

// args are the settings as flags.
func (s *Settings) args() []string {
	return []string{
		s.Name,
		"--listen=" + s.Listen,
		"--admin=" + s.Admin,
		"--mysql=" + s.MySQL,
		"--redis=" + strings.Join(s.Redis, ","),
		"--ttl=" + s.TTL.String(),
		"--redis-ttl=" + s.RedisTTL.String(),
		"--local-bytes=" + strconv.FormatInt(s.LocalBytes, 10),
		"--origin-width=" + strconv.Itoa(s.OriginWidth),
	}
}
