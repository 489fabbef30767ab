# vidmeta: one command to run it, one to test it.

.DEFAULT_GOAL := help
.PHONY: help run test soak build

help: ## show this
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "%-6s %s\n", $$1, $$2 }' Makefile

run: build ## run everything on this machine: servers, sidecar, API (make run ARGS="--videos 1000")
	@scripts/install.sh
	@exec bin/vidmeta dev $(ARGS)

test: ## every check and test, against real servers (about 12 minutes)
	@scripts/install.sh
	@scripts/check.sh

SOAK ?= 10m
soak: ## all faults in random order, as long as there is time (make soak SOAK=1h)
	@scripts/install.sh
	@scripts/soak.sh $(SOAK)

build: ## build bin/vidmeta
	@go build -o bin/vidmeta ./cmd/vidmeta
