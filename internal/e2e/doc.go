// Package e2e tests the service from outside: real processes of the real program on real servers, written to in plain
// SQL and read over HTTP.
package e2e
