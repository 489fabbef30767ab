package load

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Timeout is how long a client waits for an answer, and how late a request of an open loop may be sent.
const Timeout = 5 * time.Second

// maxBatch is the most that POST /v1/videos/lookup takes.
const maxBatch = 1000

// Target is what is asked, and how.
type Target struct {
	// URL is where the server is: http://host:port, without a path. Required.
	URL string
	// Batch is how many ids one request asks for, by POST /v1/videos/lookup. 0 asks for one by GET /v1/videos/{id}.
	Batch int
	// Missing says that the ids do not exist, so that 404 is the answer to expect rather than 200.
	Missing bool
}

// addr returns the host and port of URL.
func (t Target) addr() (string, error) {
	u, err := url.Parse(t.URL)
	if err != nil {
		return "", fmt.Errorf("settings: Target.URL: %w", err)
	}
	if u.Scheme != "http" || u.Port() == "" || u.Path != "" && u.Path != "/" {
		return "", fmt.Errorf("settings: Target.URL: %q is not of the form http://host:port", t.URL)
	}
	if t.Batch < 0 || t.Batch > maxBatch {
		return "", fmt.Errorf("settings: Target.Batch: %d is not from 0 to %d", t.Batch, maxBatch)
	}
	return net.JoinHostPort(u.Hostname(), u.Port()), nil
}

// status is what each id is expected to be answered with.
func (t Target) status() int {
	if t.Missing {
		return http.StatusNotFound
	}
	return http.StatusOK
}
