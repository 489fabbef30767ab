package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vidmeta/cache"
)

// parsed returns the settings that args make, with a file's text and an environment.
func parsed(t *testing.T, file string, env map[string]string, args ...string) (*cli, error) {
	t.Helper()
	if file != "" {
		path := filepath.Join(t.TempDir(), "vidmeta.yaml")
		if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
		args = append(args, "--config", path)
	}
	for name, value := range env {
		t.Setenv(name, value)
	}
	var c cli
	_, err := c.parse(args, io.Discard, io.Discard)
	return &c, err
}

func TestDefaults(t *testing.T) {
	c, err := parsed(t, "", nil, "serve")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Serve
	if s.Listen != "127.0.0.1:8080" || s.AdminListen != "127.0.0.1:9090" || s.LocalBytes != 256<<20 || s.MaxAge != 2*time.Second ||
		s.StaleWhileRevalidate != 30*time.Second || s.StaleIfError != time.Hour || s.ClockSkew != 50*time.Millisecond ||
		s.Namespace != "vm" || s.RedisTTL != time.Hour {
		t.Errorf("serve: %+v", s)
	}
	if c.LogLevel != slog.LevelInfo || c.LogFormat != "text" {
		t.Errorf("log: %+v", c.logSettings)
	}
	if c, err = parsed(t, "", nil, "sidecar"); err != nil || c.Sidecar.AdminListen != "127.0.0.1:9091" {
		t.Errorf("sidecar: %+v, %v", c.Sidecar, err)
	}
}

// TestPrecedence sets one thing in ever more places, each of which wins over those before.
func TestPrecedence(t *testing.T) {
	const all = "max-age: 3s\n"
	const own = all + "serve:\n  max-age: 4s\n"
	env := map[string]string{"VIDMETA_MAX_AGE": "5s"}
	for _, c := range []struct {
		name, file string
		env        map[string]string
		args       []string
		want       time.Duration
	}{
		{"default", "", nil, nil, 2 * time.Second},
		{"file", all, nil, nil, 3 * time.Second},
		{"file, for the command", own, nil, nil, 4 * time.Second},
		{"environment", own, env, nil, 5 * time.Second},
		{"flag", own, env, []string{"--max-age", "6s"}, 6 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parsed(t, c.file, c.env, append([]string{"serve"}, c.args...)...)
			if err != nil {
				t.Fatal(err)
			}
			if got.Serve.MaxAge != c.want {
				t.Errorf("max-age is %v, want %v", got.Serve.MaxAge, c.want)
			}
		})
	}
}

func TestFileHoldsEverySortOfValue(t *testing.T) {
	c, err := parsed(t, "mysql: u:12345@tcp(db:3306)/films\nredis: [a:1, 'b:2']\nredis-password: 12345\nlocal-bytes: 1048576\n"+
		"log-level: debug\norigin-width: 7\nsidecar:\n  server-id: 9\ndev:\n  restart: false\n", nil, "serve")
	if err != nil {
		t.Fatal(err)
	}
	s := c.Serve
	if s.MySQL != "u:12345@tcp(db:3306)/films" || strings.Join(s.Redis, " ") != "a:1 b:2" || s.RedisPassword != "12345" ||
		s.LocalBytes != 1<<20 || s.OriginWidth != 7 || c.LogLevel != slog.LevelDebug {
		t.Errorf("%+v, level %v", s, c.LogLevel)
	}
}

func TestConfigFromTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vidmeta.yaml")
	if err := os.WriteFile(path, []byte("namespace: other"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := parsed(t, "", map[string]string{"VIDMETA_CONFIG": path}, "serve")
	if err != nil || c.Serve.Namespace != "other" {
		t.Errorf("namespace %q, %v", c.Serve.Namespace, err)
	}
}

func TestExampleFile(t *testing.T) {
	t.Setenv("VIDMETA_CONFIG", filepath.Join("..", "..", "deploy", "vidmeta.yaml"))
	for _, command := range []string{"serve", "sidecar", "migrate", "doctor"} {
		c, err := parsed(t, "", nil, command)
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		for _, v := range map[string][]interface{ validate() error }{
			"serve": {&c.Serve}, "sidecar": {&c.Sidecar}, "migrate": {&c.Migrate}, "doctor": {&c.Doctor.mysqlSettings, &c.Doctor.redisSettings},
		}[command] {
			if err := v.validate(); err != nil {
				t.Errorf("%s: %v", command, err)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]byteSize{"1MiB": 1 << 20, "1m": 1 << 20, "1.5GiB": 3 << 29, "4096": 4096} {
		var got byteSize
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v; want %d", text, got, err, want)
		}
	}
}

func TestWithout(t *testing.T) {
	for _, c := range []struct {
		args []string
		want cache.Mechanisms
	}{
		{nil, cache.Mechanisms{}},
		{[]string{"--without", "local,jitter"}, cache.Mechanisms{Local: true, Jitter: true}},
		{[]string{"--without", "coalescing", "--without", "batching"}, cache.Mechanisms{Coalescing: true, Batching: true}},
	} {
		got, err := parsed(t, "", nil, append([]string{"serve"}, c.args...)...)
		if err != nil {
			t.Fatal(err)
		}
		if m := got.Serve.without(); m != c.want {
			t.Errorf("%v switches off %+v, want %+v", c.args, m, c.want)
		}
	}
}

// TestMistakes makes one mistake at a time: the error names the flag, and no secret.
func TestMistakes(t *testing.T) {
	const dsn, redis = "root:hunter2@tcp(127.0.0.1:1)/films", "127.0.0.1:1"
	serve := func(more ...string) []string {
		return append([]string{"serve", "--mysql", dsn, "--redis", redis}, more...)
	}
	for _, c := range []struct {
		name, file string
		args       []string
		want       []string
	}{
		{"no command", "", nil, []string{"serve"}},
		{"no MySQL", "", []string{"serve", "--redis", redis}, []string{"--mysql", "VIDMETA_MYSQL", "not set"}},
		{"no database", "", []string{"migrate", "--mysql", "root:hunter2@tcp(127.0.0.1:1)/"}, []string{"--mysql", "names no database"}},
		{"no parentheses", "", []string{"migrate", "--mysql", "root:hunter2@127.0.0.1:3306/films"}, []string{"--mysql", "user:pass@tcp(host:port)/db"}},
		{"no user", "", []string{"migrate", "--mysql", "hunter2/films"}, []string{"--mysql", "user:pass@tcp(host:port)/db"}},
		{"no slash", "", []string{"migrate", "--mysql", "root:hunter2@tcp(127.0.0.1:1)"}, []string{"--mysql", "slash"}},
		{"no such TLS", "", []string{"migrate", "--mysql", dsn + "?tls=nonesuch"}, []string{"--mysql", "nonesuch"}},
		{"no Redis", "", []string{"serve", "--mysql", dsn}, []string{"--redis", "VIDMETA_REDIS", "not set"}},
		{"no port", "", []string{"serve", "--mysql", dsn, "--redis", "localhost"}, []string{"--redis", `"localhost"`}},
		{"braces", "", serve("--namespace", "{a}"), []string{"--namespace"}},
		{"no size", "", serve("--local-bytes", "many"), []string{"--local-bytes", "256MiB"}},
		{"too small", "", serve("--local-bytes", "1KiB"), []string{"--local-bytes", "1MiB"}},
		{"no age", "", serve("--max-age", "0s"), []string{"--max-age"}},
		{"negative", "", serve("--stale-if-error=-1s"), []string{"--stale-if-error"}},
		{"no width", "", serve("--origin-width", "0"), []string{"--origin-width"}},
		{"no such mechanism", "", serve("--without", "local,magic"), []string{"--without", "magic"}},
		{"no such level", "", serve("--log-level", "loud"), []string{"--log-level"}},
		{"no such format", "", serve("--log-format", "xml"), []string{"--log-format"}},
		{"not an address", "", serve("--listen", "8080"), []string{"--listen", `"8080"`}},
		{"not this host's", "", serve("--listen", "192.0.2.1:0"), []string{"--listen", "192.0.2.1"}},
		{"open to all", "", serve("--listen", "127.0.0.1:0", "--admin-listen", "0.0.0.0:0"), []string{"--admin-token"}},
		{"binlog by socket", "", []string{"sidecar", "--mysql", "root@unix(/tmp/no.sock)/films", "--redis", redis}, []string{"--mysql", "tcp"}},
		{"half encrypted", "", []string{"sidecar", "--mysql", dsn + "?tls=preferred", "--redis", redis}, []string{"--mysql", "preferred"}},
		{"slip in the file", "redsi: a:1\n", serve(), []string{"redsi", "vidmeta.yaml"}},
		{"slip in a part of the file", "serve:\n  mxa-age: 1s\n", serve(), []string{"serve-mxa-age"}},
		{"no YAML", "a: [", serve(), []string{"vidmeta.yaml"}},
		{"a map for a value", "max-age:\n  seconds: 1\n", serve(), []string{"max-age"}},
		{"too few videos", "", []string{"seed", "--mysql", dsn, "--videos=-1"}, []string{"--videos"}},
		{"odd cluster", "", []string{"dev", "--redis-nodes", "4"}, []string{"--redis-nodes"}},
		{"no mysqld", "", []string{"dev", "--flavor", "mysql", "--mysqld", ""}, []string{"--mysqld", "scripts/mysql.sh"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if c.file != "" {
				path := filepath.Join(t.TempDir(), "vidmeta.yaml")
				if err := os.WriteFile(path, []byte(c.file), 0o600); err != nil {
					t.Fatal(err)
				}
				args = append(args, "--config", path)
			}
			err := run(t.Context(), args, io.Discard, io.Discard)
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v: lacks %q", err, want)
				}
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v: tells the password", err)
			}
		})
	}
}

func TestHelp(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"serve", "--help"}, &out, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"--local-bytes", "VIDMETA_LOCAL_BYTES", "VIDMETA_REDIS_TTL", "VIDMETA_MYSQL"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("help lacks %s:\n%s", want, out.String())
		}
	}
}
