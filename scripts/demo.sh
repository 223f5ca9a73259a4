#!/usr/bin/env bash
# The demo: from a clone to a real node service on a one-node cluster. Running it again is fine.
#
#   DEMO_DIR=.demo        everything of the demo; `make demo-stop` removes it
#   DEMO_PORT             the API's port on 127.0.0.1 (default: the first free one from 6443)
#   DEMO_EXPORTER_PORT=9100   the node exporter's port, where 9100 is taken
#   DEMO_PULL=no          do not try a registry first
#   EVERYNODE_BIN=FILE    a binary that is already built
set -euo pipefail
me=demo
. "$(dirname "$0")/lib.sh"

dir=${DEMO_DIR:-$top/.demo}
mkdir -p "$dir" && dir=$(cd "$dir" && pwd)
kubeconfig=$dir/kubeconfig
log=$dir/everynode.log
image=docker.io/prom/node-exporter:v1.8.0
exporter_port=${DEMO_EXPORTER_PORT:-9100}
node=${DEMO_NODE:-$(hostname | tr '[:upper:]_' '[:lower:]-')}

need_root demo
[ -z "$(ls -A "$dir")" ] || [ -e "$dir/.everynode-demo" ] || die "$dir is not empty and not a demo's directory"
touch "$dir/.everynode-demo"

kc() { kubectl --kubeconfig "$kubeconfig" "$@"; }

failed() { # WHAT: says where to look before it gives up
    printf '\n%s: error: %s\n' "$me" "$1" >&2
    "$everynode" status --kubeconfig "$kubeconfig" >&2 2>&1 || true
    tail -n 15 "$log" >&2 2>/dev/null || true
    printf '%s: the whole log is %s; `make demo-stop` cleans up\n' "$me" "$log" >&2
    exit 1
}

# wait_for SECONDS WHAT COMMAND...: until COMMAND prints nothing; what it prints is shown when it changes.
wait_for() {
    local limit=$1 what=$2 began=$SECONDS left last=
    shift 2
    while left=$("$@") && [ -n "$left" ]; do
        if [ "$left" != "$last" ]; then
            say "  $left" && last=$left
        fi
        [ $((SECONDS - began)) -lt "$limit" ] || failed "$what: still \"$left\" after $limit s"
        running || failed "everynode ended"
        sleep 0.2
    done
    say "$what after $((SECONDS - began)) s"
}

running() { [ -e "$dir/pid" ] && kill -0 "$(cat "$dir/pid")" 2>/dev/null; }

build() {
    if [ -n "${EVERYNODE_BIN:-}" ]; then
        everynode=$EVERYNODE_BIN
    else
        need_cargo
        with_progress "building everynode (the first time takes minutes)" "$dir/build.log" \
            cargo build --manifest-path "$top/Cargo.toml" --locked --profile demo -p everynode || exit 1
        everynode=${CARGO_TARGET_DIR:-$top/target}/demo/everynode
    fi
    [ -x "$everynode" ] || die "$everynode is missing"
    echo "$everynode" >"$dir/binary"
}

# Directories that are not there before the demo, so that demo-stop can take them away again.
remember_directories() {
    [ ! -e "$dir/made" ] || return 0
    local path
    for path in $demo_directories; do
        [ -e "$path" ] || echo "$path"
    done >"$dir/made"
}

start() {
    if running; then
        say "everynode is already running (process $(cat "$dir/pid"))"
        return
    fi
    remember_directories
    local port
    port=${DEMO_PORT:-$(free_port 6443)}
    # A session of its own: it outlives this script and its terminal.
    setsid "$everynode" up --data-dir "$dir/data" --listen "127.0.0.1:$port" \
        --kubeconfig "$kubeconfig" --node-name "$node" >"$log" 2>&1 </dev/null &
    echo $! >"$dir/pid"
    say "started everynode (process $!, API on https://127.0.0.1:$port)"
}

node_missing() { # prints what the node still waits for
    local ready
    [ -s "$kubeconfig" ] || { echo "waiting for the API server" && return; }
    ready=$(kc get node "$node" -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}: {.status.conditions[?(@.type=="Ready")].message}' 2>/dev/null) ||
        { echo "waiting for node $node" && return; }
    case $ready in True*) ;; *) echo "node $node is not ready: ${ready#*: }" ;; esac
}

provide_image() {
    local socket
    socket=$(containerd_socket "$dir/data") || failed "no containerd answers"
    if ctr -a "$socket" -n k8s.io images ls -q "name==$image" | grep -q .; then
        say "image $image is there"
    elif [ "${DEMO_PULL:-yes}" != no ] &&
        timeout 20 ctr -a "$socket" -n k8s.io images pull "$image" >"$dir/pull.log" 2>&1; then
        say "pulled $image"
    else
        say "no registry answers; packaging Debian's node exporter as $image"
        "$top/scripts/images.sh" --socket "$socket" "$image"
    fi
}

daemonset_missing() { # prints how far the rollout is, and what the pods wait for
    local desired ready waiting
    read -r desired ready <<<"$(kc get daemonset node-exporter -n monitoring \
        -o 'jsonpath={.status.desiredNumberScheduled} {.status.numberReady}' 2>/dev/null || true)"
    if [ "${desired:-0}" -gt 0 ] && [ "${ready:-0}" = "$desired" ]; then return; fi
    waiting=$(kc get pods -n monitoring -o 'jsonpath={range .items[*]}{.metadata.name} {.status.phase} {.status.containerStatuses[*].state.waiting.reason}{end}' 2>/dev/null || true)
    echo "rollout: ${ready:-0} of ${desired:-0} ready ${waiting:+($waiting)}"
}

read_metrics() {
    local url=http://127.0.0.1:$exporter_port/metrics
    if command -v curl >/dev/null; then
        curl -sf -m 10 "$url"
    else
        exec 3<>"/dev/tcp/127.0.0.1/$exporter_port" &&
            printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && cat <&3
    fi
}

size_of() { # FILE: its size in MB
    echo $((($(stat -c %s "$1") + 999999) / 1000000))
}

"$top/scripts/install-deps.sh"
build
running || ! port_in_use "$exporter_port" ||
    die "port $exporter_port is in use on this machine; choose another with DEMO_EXPORTER_PORT=9101"
start
wait_for 60 "node $node is ready" node_missing
provide_image
sed "s/9100/$exporter_port/g" "$top/examples/node-exporter.yaml" >"$dir/node-exporter.yaml"
say "applying examples/node-exporter.yaml"
"$everynode" apply --kubeconfig "$kubeconfig" -f "$dir/node-exporter.yaml" || failed "apply was refused"
wait_for 120 "the node exporter is ready" daemonset_missing

say "what it measures (http://127.0.0.1:$exporter_port/metrics):"
read_metrics >"$dir/metrics" || failed "the exporter does not answer"
grep -E '^node_(load1 |memory_MemTotal_bytes |uname_info)' "$dir/metrics" | sed 's/^/    /' ||
    failed "the exporter answers without node_load1"
printf '    and %s more lines\n\n' "$(wc -l <"$dir/metrics")"
kc get daemonset,pods -n monitoring -o wide
cat <<TEXT

It runs. To try next:
    export KUBECONFIG=$kubeconfig
    kubectl get daemonsets -A
    kubectl describe daemonset node-exporter -n monitoring
    kubectl logs -n monitoring -l app.kubernetes.io/name=node-exporter
More services are in examples/; their images: scripts/images.sh --socket $(containerd_socket "$dir/data").
Stop it and remove everything: make demo-stop
The program itself, $(size_of "$everynode") MB and all of it in one file:
    $everynode status
    $everynode why node-exporter -n monitoring
    $everynode rollout restart node-exporter -n monitoring
    $everynode plan
    $everynode --help
TEXT
