package main

import (
	"fmt"
	"net"
	"strconv"
)

// plan says where nodes and sidecars listen. Port 0 stands for one that is yet to be found.
type plan struct {
	nodes         []string
	nodeAdmins    []string
	sidecarAdmins []string
}

// newPlan lays the addresses out, and makes sure that they are free before anything is started.
func newPlan(d *devCommand) (*plan, error) {
	nodes, err := consecutive("--listen", d.Listen, d.Nodes)
	if err != nil {
		return nil, err
	}
	admins, err := consecutive("--admin-listen", d.AdminListen, d.Nodes+d.Sidecars)
	if err != nil {
		return nil, err
	}
	return &plan{nodes: nodes, nodeAdmins: admins[:d.Nodes], sidecarAdmins: admins[d.Nodes:]}, nil
}

// consecutive returns n addresses on ports from the one of first on.
func consecutive(flag, first string, n int) ([]string, error) {
	host, text, err := net.SplitHostPort(first)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", flag, err)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("%s: port %q is not a number up to 65535", flag, text)
	}
	addrs := make([]string, n)
	for i := range addrs {
		if port == 0 {
			addrs[i] = first
			continue
		}
		addrs[i] = net.JoinHostPort(host, strconv.Itoa(int(port)+i))
		probe, err := net.Listen("tcp", addrs[i])
		if err != nil {
			return nil, fmt.Errorf("%s: %s cannot be had, choose other ports with this flag: %w", flag, addrs[i], err)
		}
		if err := probe.Close(); err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
	}
	return addrs, nil
}

// settle finds ports for the addresses that have none. free returns an unused host:port.
func (p *plan) settle(free func() (string, error)) error {
	for _, addrs := range [][]string{p.nodes, p.nodeAdmins, p.sidecarAdmins} {
		for i, addr := range addrs {
			host, port, err := net.SplitHostPort(addr)
			if err != nil || port != "0" {
				continue
			}
			found, err := free()
			if err != nil {
				return err
			}
			_, port, err = net.SplitHostPort(found)
			if err != nil {
				return err
			}
			addrs[i] = net.JoinHostPort(host, port)
		}
	}
	return nil
}

// callable is an address by which this machine reaches a listener: one on all interfaces is called by loopback.
func callable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}
