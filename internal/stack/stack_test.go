package stack_test

import (
	"context"
	"testing"
	"time"

	"vidmeta/internal/stack"
	"vidmeta/internal/stack/stacktest"
)

func TestMain(m *testing.M) { stacktest.Main(m) }

func TestTimes(t *testing.T) {
	for _, c := range []stack.Config{{Flavor: stack.MariaDB}, stacktest.Config(stack.MySQL), {RedisNodes: 1}, {RedisNodes: 6}} {
		began := time.Now()
		s, err := stack.Start(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%+v: %s", c, time.Since(began))
		began = time.Now()
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		t.Logf("close %s", time.Since(began))
	}
}
