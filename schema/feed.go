package schema

import "errors"

// ErrDeposed means that another sidecar leads now, or that the feed has lost what this leader had written. Either way
// this leadership is over.
var ErrDeposed = errors.New("no longer the leader")
