#!/usr/bin/env bash
# Measures the control plane with thousands of simulated nodes: apply, updates, joins, delete, memory, CPU, idling
# with leases; beside each median stand the aim and stock Kubernetes' figure. Nothing here passes or fails.
#
#   SIZES="1000 5000"  ROUNDS=3  OUT=target/bench  IDLE=30 (seconds; 0: not)  PER_NODE=1 (also one watch for each node)
#   EVERYNODE_BIN=FILE (default: a release build)   PEER_KUBECONFIG=FILE (the same against that cluster, whose nodes
#   must have nothing to do with these)   PEER_PIDS="etcd=11 apiserver=12"
set -euo pipefail
me=bench-fleet
. "$(dirname "$0")/lib.sh"
sizes=${SIZES:-1000 5000}
rounds=${ROUNDS:-3}
out=${OUT:-$top/target/bench}
idle=${IDLE:-30}

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

start_server() {
    dir=$(mktemp -d /tmp/everynode-fleet.XXXX)
    port=$(free_port 16443)
    "$EVERYNODE_BIN" up --no-agent --data-dir "$dir/data" --listen "127.0.0.1:$port" >"$dir/log" 2>&1 &
    server=$!
    trap stop_server EXIT
    for _ in $(seq 200); do
        grep -q '^  API' "$dir/log" && return
        kill -0 "$server" 2>/dev/null || { cat "$dir/log" >&2; die "everynode ended"; }
        sleep 0.05
    done
    die "everynode did not start"
}
stop_server() {
    [ -z "${server:-}" ] || { kill -TERM "$server" 2>/dev/null && wait "$server" || true; }
    [ -z "${dir:-}" ] || rm -rf --one-file-system "$dir"
    server='' dir=''
}

# run NAME ARGS...: one fresh control plane, one table, one JSON file
run() {
    local name=$1
    shift
    start_server
    say "$name"
    "$fleet" --kubeconfig "$dir/data/admin.kubeconfig" --pid "server=$server" --json "$out/$name.json" "$@" 2>"$out/$name.log" ||
        { tail -n 5 "$out/$name.log" >&2; die "$name failed; all of it: $out/$name.log"; }
    stop_server
}

mkdir -p "$out"
build
for size in $sizes; do
    run "fleet-$size" --nodes "$size" --rounds "$rounds"
    [ "$idle" -eq 0 ] || run "idle-$size" --nodes "$size" --rounds 0 --idle "$idle"
    [ -z "${PER_NODE:-}" ] || run "per-node-$size" --nodes "$size" --rounds "$rounds" --watch-per-node
    if [ -n "${PEER_KUBECONFIG:-}" ]; then
        say "peer-$size"
        peer=()
        for pair in ${PEER_PIDS:-}; do peer+=(--pid "$pair"); done
        "$fleet" --kubeconfig "$PEER_KUBECONFIG" --nodes "$size" --rounds "$rounds" --clean-up \
            --json "$out/peer-$size.json" "${peer[@]}" 2>"$out/peer-$size.log" || die "the peer's run failed: $out/peer-$size.log"
    fi
done
say "JSON is in $out"
