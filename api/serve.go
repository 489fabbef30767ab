package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// drain is how a server stops.
type drain struct {
	begin   func()        // called first: readiness fails from here on
	delay   time.Duration // goes on accepting for so long
	timeout time.Duration // then waits so long for the requests under way
	cut     bool          // cutting them off after that is no error
}

// serve runs srv on ln until ctx ends, then drains it. It owns the one goroutine it starts. It returns nil after a
// clean drain, and an error if srv fails or requests had to be cut off.
func serve(ctx context.Context, srv *http.Server, ln net.Listener, d drain) error {
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()

	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}

	if d.begin != nil {
		d.begin()
	}
	if d.delay > 0 {
		t := time.NewTimer(d.delay)
		defer t.Stop()
		select {
		case err := <-failed:
			return fmt.Errorf("serve %s: %w", ln.Addr(), err)
		case <-t.C:
		}
	}

	srv.SetKeepAlivesEnabled(false)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.timeout)
	defer cancel()
	if err := srv.Shutdown(ctx); err != nil {
		err = fmt.Errorf("drain %s: requests cut off after %v: %w", ln.Addr(), d.timeout, err)
		err = errors.Join(err, srv.Close())
		<-failed
		if d.cut {
			return nil
		}
		return err
	}
	<-failed // http.ErrServerClosed
	return nil
}
