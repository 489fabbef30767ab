// Package stack runs real servers as child processes: MariaDB or MySQL and Redis (one server or a cluster), on free
// loopback ports, in a folder of their own. The dev command, the tests and the benches use it.
//
// Every child ends with this process, even when this process is killed with SIGKILL (see [Launch]). A child is a
// [Process], so that a test can kill, pause and restart it.
package stack
