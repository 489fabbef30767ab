// Package gauge reads what a load costs others: statements in MySQL, messages to Redis, processor time; and what machine
// that was.
package gauge
