#!/usr/bin/env bash
# Builds vidmeta and vidmeta-bench, and measures. The benches are a module of their own, so that what they need does not
# weigh on the service.
set -euo pipefail
cd "$(dirname "$0")/.."
go build -o bin/vidmeta ./cmd/vidmeta
(cd bench && go build -buildvcs=true -o ../bin/vidmeta-bench ./cmd/vidmeta-bench) # the report names the commit
exec bin/vidmeta-bench "$@"
