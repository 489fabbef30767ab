// Package result is the vocabulary of the benches: what was measured, as it is written to JSON and read by reports.
package result

import "time"

// Report is all that one call of vidmeta-bench has measured.
type Report struct {
	Title     string            `json:"title"`
	Started   time.Time         `json:"started"`
	Took      Seconds           `json:"took_s"`
	Cut       string            `json:"cut,omitempty"` // why it ended before all was measured
	Commit    string            `json:"commit"`        // of the working tree, "+" behind it if that was changed
	Machine   Machine           `json:"machine"`
	Settings  map[string]string `json:"settings"` // what the arms and the load were told, by name
	Scenarios []Scenario        `json:"scenarios"`
	Traces    []Trace           `json:"traces,omitempty"`
}

// Machine is where it ran.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryMB int64  `json:"memory_mb"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	MySQL    string `json:"mysql"` // as the server says it
	Redis    string `json:"redis"`
}

// Seconds, Millis and Micros are durations in the unit of their name, for people who read the JSON.
type (
	Seconds float64
	Millis  float64
	Micros  float64
)

// Scenario is one workload, put to several arms in turn.
type Scenario struct {
	Name  string `json:"name"`  // a word, for files and anchors
	Title string `json:"title"` // a line
	About string `json:"about"` // a paragraph: keys, writes, clients, what is looked for
	Arms  []Arm  `json:"arms"`  // in the order of the tables
}

// Arm is what one way of serving did in a scenario.
type Arm struct {
	Name  string `json:"name"`  // as on the command line
	About string `json:"about"` // a line: what it is made of
	Runs  []Run  `json:"runs"`  // one for each repeat; those of all arms were interleaved
	Note  string `json:"note,omitempty"`
}

// Run is one turn of one arm.
type Run struct {
	Repeat   int    `json:"repeat"`             // from 1
	Warm     *Load  `json:"warm,omitempty"`     // what filled the caches, when that is of interest
	Capacity *Load  `json:"capacity,omitempty"` // closed loop: as much as it can do
	Paced    *Load  `json:"paced,omitempty"`    // open loop, at half of what it can do
	Steps    []Load `json:"steps,omitempty"`    // open loop, at rates that rise
}

// Load is what happened while requests were sent for a while.
type Load struct {
	Offered   float64  `json:"offered_per_s,omitempty"` // requests a second of the schedule; 0 is a closed loop
	Clients   int      `json:"clients"`
	Took      Seconds  `json:"took_s"`
	Requests  int64    `json:"requests"`  // that were answered as expected
	Documents int64    `json:"documents"` // in those answers
	Errors    int64    `json:"errors"`    // other answers, and none
	Error     string   `json:"error,omitempty"`
	Rate      float64  `json:"rate_per_s"` // Requests in a second
	Latency   Spread   `json:"latency_ms"` // from when the request was to be sent, in a closed loop from when it was
	Timeline  []Moment `json:"timeline,omitempty"`

	Tiers     map[string]int64  `json:"tiers,omitempty"`              // reads that each tier answered: "local", "redis", "origin", "proxy"
	MySQL     int64             `json:"mysql_statements"`             // of the arm; the writers' own are taken off
	Redis     int64             `json:"redis_messages"`               // that its masters were sent; several commands at once are one
	CPU       map[string]Micros `json:"cpu_us_per_request,omitempty"` // by whom: "arm", "mysql", "redis", "sidecar"
	Busy      float64           `json:"load_busy,omitempty"`          // share of its processors that the load itself used; 0 if it has none
	Stolen    float64           `json:"stolen,omitempty"`             // share of all processors that the host gave to other guests
	Writes    int64             `json:"writes"`                       // transactions that ended meanwhile
	Staleness Staleness         `json:"staleness,omitzero"`
}

// Moment is one slice of a load.
type Moment struct {
	At   Seconds `json:"at_s"` // the end of the slice, since the load began
	Rate float64 `json:"rate_per_s"`
	P99  Millis  `json:"p99_ms"`
	// Origin is statements in MySQL a second.
	Origin float64 `json:"origin_per_s"`
}

// Spread is a distribution of milliseconds.
type Spread struct {
	Count int64      `json:"count"`
	Mean  Millis     `json:"mean"`
	P50   Millis     `json:"p50"`
	P90   Millis     `json:"p90"`
	P99   Millis     `json:"p99"`
	P999  Millis     `json:"p99_9"`
	Max   Millis     `json:"max"`
	Curve []Quantile `json:"curve,omitempty"` // for a chart: from the median to the largest, by the nines
}

// Quantile says that a share of all was at most so long.
type Quantile struct {
	Share float64 `json:"share"`
	At    Millis  `json:"at"`
}

// Staleness is how many answers lacked a change whose commit had ended before they were asked for.
type Staleness struct {
	Checked int64 `json:"checked"` // answers with a version, of documents that are written to
	Stale   int64 `json:"stale"`
	// Late is how long before the question the oldest change that the answer lacks had been committed, of stale answers.
	Late Spread `json:"late_ms,omitzero"`
}

// Trace is how a tier's policy does on a recorded trace of requests.
type Trace struct {
	Name     string   `json:"name"`
	Source   string   `json:"source"` // who recorded it, and its licence
	Requests int64    `json:"requests"`
	Keys     int64    `json:"keys"`
	Policies []Policy `json:"policies"`
}

// Policy is the share of requests that one policy answers with room for a share of the keys.
type Policy struct {
	Name string  `json:"name"` // "local tier", "lru", "ristretto", ...
	Room float64 `json:"room"` // share of the keys
	Hits float64 `json:"hits"` // share of the requests
}
