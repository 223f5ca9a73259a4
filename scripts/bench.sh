#!/usr/bin/env bash
# Measures, on an otherwise idle machine, what the project promises (medians; nothing here passes or fails):
#   start     `up` on an existing data directory until /readyz answers         goal: under 200 ms
#   pod       from the POST of a DaemonSet to its container's first log line   goal: at most 1.3 times the runtime alone
#   memory    resident memory of `up` with five daemon pods                    goal: under 60 MiB
#
#   ROUNDS=10  EVERYNODE_BIN=FILE (default: a release build)
set -euo pipefail
me=bench
. "$(dirname "$0")/lib.sh"
rounds=${ROUNDS:-10}

median() { sort -n | awk '{ v[NR] = $1 } END { print NR ? v[int((NR + 1) / 2)] : "none" }'; }
now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo $((t / 1000)); }

start_up() {
    "$EVERYNODE_BIN" up --data-dir "$dir/data" --listen "127.0.0.1:$port" --kubeconfig "$dir/kubeconfig" \
        --node-name bench >>"$dir/log" 2>&1 &
    up=$!
}
stop_up() { kill -TERM "$up" && wait "$up" || true; }

api_ready() { curl -skf -m 2 -o /dev/null "https://127.0.0.1:$port/readyz" 2>/dev/null; }

# until_true SECONDS COMMAND...
until_true() {
    local limit=$((SECONDS + $1))
    shift
    until "$@"; do
        [ "$SECONDS" -lt "$limit" ] || { tail -n 20 "$dir/log" >&2 && die "waited in vain for: $*"; }
        kill -0 "$up" 2>/dev/null || { tail -n 20 "$dir/log" >&2 && die "everynode ended"; }
        sleep 0.005
    done
}

# The administrator's credentials as files, so that curl (10 ms) can ask and not kubectl (100 ms).
credentials() {
    local field
    for field in certificate-authority client-certificate client-key; do
        sed -n "s/^ *$field-data: *\"\{0,1\}\([^\"]*\)\"\{0,1\}/\1/p" "$dir/kubeconfig" | base64 -d >"$dir/$field"
    done
}
api() { # METHOD PATH [BODY]
    curl -sf -m 10 --cacert "$dir/certificate-authority" --cert "$dir/client-certificate" --key "$dir/client-key" \
        -X "$1" -H 'Content-Type: application/json' ${3:+--data-binary "$3"} "https://127.0.0.1:$port$2"
}

node_ready() { api GET /api/v1/nodes/bench 2>/dev/null | tr -d ' \n' | grep -q '"status":"True","type":"Ready"\|"type":"Ready","status":"True"\|"status":"True"[^}]*"type":"Ready"'; }

daemonset() { # NAME
    cat <<JSON
{"apiVersion":"apps/v1","kind":"DaemonSet","metadata":{"name":"$1","namespace":"default"},"spec":{
"selector":{"matchLabels":{"app":"$1"}},"template":{"metadata":{"labels":{"app":"$1"}},"spec":{
"hostNetwork":true,"terminationGracePeriodSeconds":0,"automountServiceAccountToken":false,
"containers":[{"name":"main","image":"localhost/everynode/testtool:1","args":["ignore-term"]}]}}}}
JSON
}
apply() { api POST /apis/apps/v1/namespaces/default/daemonsets "$(daemonset "$1")" >/dev/null; }
pod_log() { compgen -G "/var/log/pods/default_$1-*/main/0.log" >/dev/null && grep -q . /var/log/pods/default_"$1"-*/main/0.log; }

measure_start() {
    local round began
    for round in $(seq "$rounds"); do
        stop_up
        began=$(now_ms)
        start_up
        until_true 30 api_ready
        echo $(($(now_ms) - began))
    done >"$dir/start"
    say "start: API ready after $(median <"$dir/start") ms (median of $rounds, curl's own time included)"
}

measure_pods() {
    local round began line socket
    socket=$(containerd_socket "$dir/data")
    for round in $(seq "$rounds"); do
        began=$(date +%s%N)
        apply "bench-$round"
        until_true 30 pod_log "bench-$round"
        read -r line _ </var/log/pods/default_bench-"$round"-*/main/0.log
        echo $((($(date -d "$line" +%s%N) - began) / 100000)) | sed 's/.$/.&/'
        [ "$round" -gt $((rounds - 5)) ] || api DELETE "/apis/apps/v1/namespaces/default/daemonsets/bench-$round" >/dev/null
        "$RUNTIME_BASELINE" "$socket" localhost/everynode/testtool:1 "$dir/logs-$round" 1 >>"$dir/baseline"
    done >"$dir/pods"
    say "pod: first log line $(median <"$dir/pods") ms after the POST; the runtime alone $(median <"$dir/baseline") ms; ratio $(
        echo "$(median <"$dir/pods") $(median <"$dir/baseline")" | awk '{ printf "%.2f", $1 / $2 }')"
}

inside() {
    dir=$(mktemp -d /tmp/everynode-bench.XXXX)
    port=6443
    start_up
    trap 'tail -n 5 "$dir/log" >&2; rm -rf --one-file-system "$dir"' ERR
    until_true 60 api_ready
    credentials
    until_true 60 node_ready
    "$top/scripts/images.sh" --socket "$(containerd_socket "$dir/data")" base
    measure_start
    until_true 60 node_ready
    measure_pods
    say "memory: $(awk '/^VmRSS/ { printf "%.0f MiB", $2 / 1024 }' "/proc/$up/status") resident with five daemon pods"
    stop_up
    "$EVERYNODE_BIN" down --data-dir "$dir/data" >>"$dir/log" 2>&1 || tail -n 5 "$dir/log"
    rm -rf --one-file-system "$dir"
}

if [ "${1:-}" = inside ]; then
    inside
    exit
fi
need_root bench
"$top/scripts/install-deps.sh"
need_cargo
if [ -z "${EVERYNODE_BIN:-}" ]; then
    with_progress "building everynode (release)" /tmp/everynode-bench-build.log \
        cargo build --release --manifest-path "$top/Cargo.toml" -p everynode || exit 1
    EVERYNODE_BIN=$top/target/release/everynode
fi
with_progress "building the baseline" /tmp/everynode-bench-build.log \
    cargo build --manifest-path "$top/Cargo.toml" -p everynode-agent --example runtime_baseline || exit 1
# Once outside the sandbox, where Debian's packages can be fetched.
"$top/scripts/images.sh" --out "$top/target/images/base.tar" base
export EVERYNODE_BIN RUNTIME_BASELINE=$top/target/debug/examples/runtime_baseline
exec "$top/scripts/sandbox.sh" "$top/scripts/bench.sh" inside
