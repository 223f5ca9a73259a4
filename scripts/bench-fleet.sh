#!/usr/bin/env bash
# Measures the control plane with thousands of simulated nodes. Each scenario has a fresh control plane, prints a table
# of medians with their spread, each beside its aim and stock Kubernetes' figure, and writes JSON. Nothing here passes
# or fails by a figure. `make bench` runs this after the benchmark of one real node.
#
#   SCENARIOS   which, in this order (default: all of them):
#     round      apply, update at 10 % and at 100 %, nodes that join, delete; CPU, memory, times of writes
#     per-node   the same with one connection and one watch for each node
#     idle       nodes only renew their leases
#     restart    five DaemonSets; the server is stopped, and killed, and starts again; both kinds of watches
#     sets       a hundred DaemonSets, all updated at once; no budget may be exceeded at any time
#     hollow     what the simulated nodes need themselves, in a process of their own
#     hostile    10,000 silent connections, 1,000 slow bodies and every frame of HTTP/2 abused, beside
#                nodes that speak as nodes: their heartbeats, a health probe, the server's memory,
#                before, during and after
#     growth     apply, updates and joins at many sizes, both kinds of watches
#   SIZES             nodes of round and idle                   1000 5000
#   NODES             nodes of per-node, restart and hollow     5000
#   SETS SETS_NODES   of sets                                   100 1000
#   GROWTH            sizes, shared watch                       500 1000 2000 5000 10000 20000
#   GROWTH_PER_NODE   sizes, a watch for each node              500 1000 2000 5000 10000
#   ROUNDS            of each scenario                          3 (growth and sets: GROWTH_ROUNDS, SETS_ROUNDS: 2)
#   JOINS             nodes that join, per round                50 (growth: 20)
#   IDLE              seconds of idle                           30
#   HOSTILE HOSTILE_NODES   seconds of each part, and nodes     40 1000
#   OUT               where JSON, logs and tables.txt go        target/bench
#   EVERYNODE_BIN     the server                                a release build
#   PEER_KUBECONFIG   another cluster, whose nodes must have nothing to do with these: the same against it first, except
#                     restart; its figures then stand beside ours, with ratios. Its controllers must be patient
#                     with nodes that have no leases (--node-monitor-grace-period).
#   PEER_PIDS         "etcd=11 apiserver=12": its processes, whose memory and CPU are measured
#   CHARTS            where the JSON is copied to in the end, with SVG charts of it: a directory, or 0: nowhere
#                                                               docs/bench
set -euo pipefail
me=bench-fleet
. "$(dirname "$0")/lib.sh"
scenarios=${SCENARIOS:-round per-node idle restart sets hollow hostile growth}
nodes=${NODES:-5000}
rounds=${ROUNDS:-3}
joins=${JOINS:-50}
out=${OUT:-$top/target/bench}

# One connection per node needs as many open files.
ulimit -n "$(ulimit -Hn)"

build() {
    need_cargo
    if [ -z "${EVERYNODE_BIN:-}" ]; then
        with_progress "building everynode (release)" /tmp/everynode-bench-build.log \
            cargo build --release --manifest-path "$top/Cargo.toml" -p everynode || exit 1
        EVERYNODE_BIN=$top/target/release/everynode
    fi
    with_progress "building the measuring client (release)" /tmp/everynode-bench-build.log \
        cargo build --release --manifest-path "$top/Cargo.toml" -p everynode-hollow --example fleet || exit 1
    fleet=$top/target/release/examples/fleet
}

# measure NAME ARGS...: the measuring client; its table goes to tables.txt too.
measure() {
    local name=$1
    shift
    say "$name" | tee -a "$out/tables.txt"
    "$fleet" --json "$out/$name.json" "$@" 2>"$out/$name.log" | tee -a "$out/tables.txt" ||
        { tail -n 5 "$out/$name.log" >&2; die "$name failed; all of it: $out/$name.log"; }
}

# ours NAME ARGS...: against a fresh control plane of ours, which the client starts and ends.
ours() {
    local name=$1 port
    shift
    dir=$(mktemp -d /tmp/everynode-fleet.XXXX)
    trap clean_up EXIT
    port=$(free_port 16443)
    # Without leases (all but idle) nodes are silent; they must not count as lost when a run takes long.
    measure "$name" --kubeconfig "$dir/data/admin.kubeconfig" --server-log "$out/$name.server.log" "$@" -- \
        "$EVERYNODE_BIN" up --no-agent --data-dir "$dir/data" --listen "127.0.0.1:$port" --node-monitor-grace "${grace:-24h}"
    clean_up
}
clean_up() {
    [ -z "${dir:-}" ] || rm -rf --one-file-system "$dir"
    dir=''
}

peers() {
    local name=$1 pair pids=()
    shift
    for pair in ${PEER_PIDS:-}; do pids+=(--pid "$pair"); done
    measure "peer-$name" --kubeconfig "$PEER_KUBECONFIG" --clean-up "${pids[@]}" "$@"
}

# both NAME ARGS...: the peer's, then ours beside it.
both() {
    if [ -z "${PEER_KUBECONFIG:-}" ]; then
        ours "$@"
        return
    fi
    peers "$@"
    ours "$@" --beside "$out/peer-$1.json"
}

scenario() {
    local size
    case $1 in
    round) for size in ${SIZES:-1000 5000}; do
        both "fleet-$size" --nodes "$size" --rounds "$rounds" --joins "$joins"
    done ;;
    per-node) both "per-node-$nodes" --nodes "$nodes" --rounds "$rounds" --joins "$joins" --watch-per-node ;;
    idle) for size in ${SIZES:-1000 5000}; do
        both "idle-$size" --nodes "$size" --scenario idle --seconds "${IDLE:-30}"
    done ;;
    restart)
        ours "restart-$nodes" --nodes "$nodes" --rounds "$rounds" --scenario restart
        ours "restart-per-node-$nodes" --nodes "$nodes" --rounds "$rounds" --scenario restart --watch-per-node
        ;;
    sets) both "sets-${SETS_NODES:-1000}" --nodes "${SETS_NODES:-1000}" --rounds "${SETS_ROUNDS:-2}" \
        --scenario sets --sets "${SETS:-100}" ;;
    hollow) both "hollow-$nodes" --nodes "$nodes" --rounds "$rounds" --joins 0 --hollow "$EVERYNODE_BIN" ;;
    # Leases are what is measured: nodes must count as lost when they are.
    hostile) grace=40s ours "hostile-${HOSTILE_NODES:-1000}" --nodes "${HOSTILE_NODES:-1000}" --scenario hostile \
        --seconds "${HOSTILE:-40}" ;;
    growth)
        set -- --rounds "${GROWTH_ROUNDS:-2}" --joins "${JOINS:-20}" --hollow "$EVERYNODE_BIN"
        for size in ${GROWTH:-500 1000 2000 5000 10000 20000}; do both "growth-$size" --nodes "$size" "$@"; done
        for size in ${GROWTH_PER_NODE:-500 1000 2000 5000 10000}; do
            both "growth-per-node-$size" --nodes "$size" "$@" --watch-per-node
        done
        ;;
    *) die "there is no scenario $1; there are: round per-node idle restart sets hollow hostile growth" ;;
    esac
}

mkdir -p "$out"
: >"$out/tables.txt"
build
for name in $scenarios; do scenario "$name"; done
say "all tables: $out/tables.txt; JSON beside it"
[ "${CHARTS:-}" = 0 ] || (cd "$top" && cargo run -q -p xtask --features charts --bin charts -- "$out" "${CHARTS:-docs/bench}")
