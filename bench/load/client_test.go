package load

import (
	"bufio"
	"net"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// constant is a server that answers every request with the same bytes, and allocates nothing for it.
func constant(t testing.TB, answer string) (addr string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		requests, bytes := bufio.NewReader(conn), []byte(answer)
		for {
			line, err := requests.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) > 2 {
				continue // not the end of a request yet
			}
			if _, err := conn.Write(bytes); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-ended
	})
	return listener.Addr().String()
}

const constantAnswer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nVidmeta-Version: 1795369483000000\r\n" +
	"Content-Length: 2\r\n\r\n{}"

// one is a client of its own, not in any loop.
func one(t testing.TB, addr string) *client {
	t.Helper()
	shared := &fasthttp.HostClient{Addr: addr, MaxConns: 1, MaxIdemponentCallAttempts: 1}
	t.Cleanup(shared.CloseIdleConnections)
	s := &Settings{Keys: Zipf(1000, 0.9), Duration: time.Minute, Ledger: NewLedger(1000)}
	c := newClient(s, addr, shared, 0, time.Now())
	t.Cleanup(c.close)
	return c
}

func TestAClientAllocatesNothingPerRequest(t *testing.T) {
	c := one(t, constant(t, constantAnswer))
	for id := range uint64(500) {
		c.ledger.Committed(id, 1, time.Now())
	}
	allocations := testing.AllocsPerRun(500, func() {
		c.next()
		c.ask(time.Time{})
	})
	if allocations > allocated || c.tally.errors > 0 || c.tally.requests < 500 || c.tally.checked == 0 {
		t.Errorf("%v allocations a request; %d requests, %d checked, errors: %v",
			allocations, c.tally.requests, c.tally.checked, c.tally.err)
	}
}

// BenchmarkClient is what a request costs the generator, and a server that does nothing.
func BenchmarkClient(b *testing.B) {
	c := one(b, constant(b, constantAnswer))
	b.ReportAllocs()
	for b.Loop() {
		c.next()
		c.ask(time.Time{})
	}
	if c.tally.errors > 0 {
		b.Error(c.tally.err)
	}
}
