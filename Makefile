# vidmeta: one command to run it, one to test it.

.DEFAULT_GOAL := help
.PHONY: help run test soak bench bench-full build

help: ## show this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-10s %s\n", $$1, $$2 }' Makefile

run: build ## run everything on this machine: servers, sidecar, API (make run ARGS="--videos 1000")
	@scripts/install.sh
	@exec bin/vidmeta dev $(ARGS)

test: ## every check and test, against real servers (about 20 minutes)
	@scripts/install.sh bench
	@scripts/check.sh

SOAK ?= 10m
soak: ## all faults in random order, as long as there is time (make soak SOAK=1h)
	@scripts/install.sh
	@scripts/soak.sh $(SOAK)

bench: ## what the tiers are worth on this machine: a report in .bench, in under 8 minutes (make bench ARGS="--scenario handler")
	@scripts/install.sh bench
	@scripts/bench.sh $(ARGS)

bench-full: ## the same with every scenario, longer loads and profiles (45 minutes)
	@scripts/install.sh bench
	@scripts/bench.sh --full $(ARGS)

build: ## build bin/vidmeta
	@go build -o bin/vidmeta ./cmd/vidmeta
