package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are taken from below the range that the kernel gives to outgoing connections (from 32768 on): nobody is given
// one by chance while its server is down, so a Restart finds it free. A Redis node also listens on its port + 10000.
const (
	firstPort    = 12000
	lastPort     = 22000
	busDistance  = 10000
	portAttempts = 200
)

// ports hands out free loopback ports and keeps other stacks, in this process and in others, from being given the same.
type ports struct {
	mu   sync.Mutex
	held []net.Listener
}

// take returns a port p such that p + each offset is free.
func (ps *ports) take(offsets ...int) (int, error) {
	for range portAttempts {
		port := firstPort + rand.IntN(lastPort-firstPort)
		claims, err := claim(port, offsets)
		if err != nil {
			continue
		}
		ps.mu.Lock()
		ps.held = append(ps.held, claims...)
		ps.mu.Unlock()
		return port, nil
	}
	return 0, fmt.Errorf("no free loopback port found in %d tries between %d and %d", portAttempts, firstPort, lastPort)
}

// release gives all ports back.
func (ps *ports) release() {
	ps.mu.Lock()
	defer ps.mu.Unlock()
	for _, l := range ps.held {
		_ = l.Close() // nothing listens there but a name
	}
	ps.held = nil
}

// claim takes the names of port + each offset, if all of them are free. A name is an abstract Unix socket: the kernel
// gives it to one process at a time and frees it when that process ends, and it leaves no file.
func claim(port int, offsets []int) (claims []net.Listener, err error) {
	defer func() {
		if err != nil {
			for _, l := range claims {
				_ = l.Close()
			}
		}
	}()
	for _, offset := range append([]int{0}, offsets...) {
		l, err := net.Listen("unix", fmt.Sprintf("@vidmeta-port-%d", port+offset))
		if err != nil {
			return claims, err
		}
		claims = append(claims, l)
		probe, err := net.Listen("tcp", loopback(port+offset))
		if err != nil {
			return claims, err
		}
		if err := probe.Close(); err != nil {
			return claims, err
		}
	}
	return claims, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
