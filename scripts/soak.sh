#!/usr/bin/env bash
# Has faults befall a whole fleet, in random order and for a given time, half of it on MariaDB and half on MySQL, under
# constant writes and reads, and checks every answer. It ends at the first promise that is broken, with the history of
# what was seen and the seed of the order; VIDMETA_SOAK_SEED=N repeats one.
#
# VIDMETA_MYSQLD names the MySQL server to test with; when it is not set, scripts/mysql.sh fetches one.
set -euo pipefail
cd "$(dirname "$0")/.."
VIDMETA_MYSQLD=${VIDMETA_MYSQLD:-$(scripts/mysql.sh)}
export VIDMETA_MYSQLD
VIDMETA_SOAK=${1:-10m} exec go test ./internal/e2e -run '^TestFaults$' -count 1 -timeout 0 -v
