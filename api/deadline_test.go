package api

import (
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"strings"
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

// What a client needs for its upload is not taken from the reader's time.
func TestTimeoutAfterUpload(t *testing.T) {
	const upload = 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.fake.block(5)
		begin := time.Now()
		body := io.MultiReader(strings.NewReader(`{"ids":`), after(upload), strings.NewReader(`[5]}`))
		r := httptest.NewRequest("POST", "/v1/videos/lookup", body)
		r.Header.Set("Content-Type", "application/json")
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, r)
		if took := time.Since(begin); rec.Code != 200 || took != upload+DefaultTimeout {
			t.Errorf("%d after %v", rec.Code, took)
		}
	})
}

// after is a part of a body that has nothing in it, and takes its time.
type after time.Duration

func (d after) Read([]byte) (int, error) {
	<-time.After(time.Duration(d))
	return 0, io.EOF
}
