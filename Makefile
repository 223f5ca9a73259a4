# everynode: one pod on every node. `make` alone says what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help build demo demo-stop test sim fuzz bench bench-fleet charts lint mission-images

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## the optimised binary, target/release/everynode
	cargo build --release -p everynode

demo: ## from nothing to a real node service on a one-node cluster (root; Debian)
	@scripts/demo.sh

demo-stop: ## stop the demo and remove everything it made
	@scripts/demo-stop.sh

test: ## every check and every test, real containers included (root; Debian)
	@scripts/test.sh

SEEDS ?= 1000
FIRST ?= 0
sim: ## simulate whole clusters, one per seed: make sim SEEDS=5000 FIRST=0
	@cargo run -q $(if $(wildcard target/release),--release) -p everynode-sim -- $(SEEDS) $(FIRST)

HOURS ?= 1
fuzz: ## coverage-guided fuzzing, HOURS for all targets together or TARGET=route alone (a C++ compiler)
	@scripts/fuzz.sh $(HOURS) $(TARGET)

bench: ## measure all goals: one real node, then the fleet, with tables, JSON and charts (root; Debian; half an hour)
	@scripts/bench-all.sh

bench-fleet: ## the fleet alone: SCENARIOS="round idle …" SIZES NODES ROUNDS PEER_KUBECONFIG, see scripts/bench-fleet.sh
	@scripts/bench-fleet.sh

charts: ## draw docs/bench/*.svg from the results of the last bench
	@cargo run -q -p xtask --features charts --bin charts -- target/bench docs/bench

lint: ## formatting and clippy only
	@scripts/test.sh lint

mission-images: ## stand-in images under the names of common manifests, into the demo's containerd
	@scripts/mission-images.sh
