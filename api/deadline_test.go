package api

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestLazyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(context.WithValue(t.Context(), testKey{}, "v"))
		defer cancel()
		begin := time.Now()
		c := withLazyDeadline(parent, begin.Add(time.Second))
		if d, ok := c.Deadline(); !ok || !d.Equal(begin.Add(time.Second)) || c.Err() != nil || c.armed.Load() != nil {
			t.Fatal("not lazy")
		}
		if c.Value(testKey{}) != "v" {
			t.Error("value lost before")
		}
		child, stop := context.WithTimeout(c, time.Minute)
		defer stop()
		<-child.Done()
		if time.Since(begin) != time.Second || !errors.Is(child.Err(), context.DeadlineExceeded) || !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Errorf("after %v: %v", time.Since(begin), child.Err())
		}
		if c.Value(testKey{}) != "v" {
			t.Error("value lost after")
		}
	})
}

func TestLazyDeadlineSeenByErrAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := withLazyDeadline(t.Context(), time.Now().Add(time.Second))
		time.AfterFunc(time.Second, func() {
			if !errors.Is(c.Err(), context.DeadlineExceeded) {
				t.Error(c.Err())
			}
		})
		synctest.Wait()
		<-time.After(2 * time.Second)
	})
}

func TestLazyDeadlineFollowsItsParent(t *testing.T) {
	gone := errors.New("gone")
	parent, cancel := context.WithCancelCause(t.Context())
	c := withLazyDeadline(parent, time.Now().Add(time.Hour))
	detached := context.WithoutCancel(c)
	done := c.Done()
	cancel(gone)
	<-done
	if !errors.Is(c.Err(), context.Canceled) || context.Cause(c) != gone || detached.Err() != nil {
		t.Errorf("%v %v %v", c.Err(), context.Cause(c), detached.Err())
	}
	c.release()
	late := withLazyDeadline(parent, time.Now().Add(time.Hour))
	if !errors.Is(late.Err(), context.Canceled) || late.armed.Load() != nil {
		t.Error(late.Err())
	}
	late.release()
}

type testKey struct{}

// The request's time is bounded, whatever the reader does with it.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fake.block(5)
		begin := time.Now()
		res := w.get("/v1/videos/5")
		if problem, _ := decodeProblem(t, res); problem != "timeout" || time.Since(begin) != DefaultTimeout {
			t.Errorf("%s after %v", problem, time.Since(begin))
		}
	})
}
