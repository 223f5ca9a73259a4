# Shared by the scripts beside it; sourced, not run. Each sets `me`, the word its messages start with.
# shellcheck shell=bash

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say() { printf '%s: %s\n' "$me" "$*"; }
die() { printf '%s: error: %s\n' "$me" "$*" >&2; exit 1; }

need_root() { [ "$(id -u)" -eq 0 ] || die "root is needed: containers, mounts and networks are made (sudo make $1)"; }

need_cargo() {
    command -v cargo >/dev/null 2>&1 && return
    [ ! -x "$HOME/.cargo/bin/cargo" ] || { PATH=$PATH:$HOME/.cargo/bin && return; }
    die "no cargo on PATH; install Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' "$top/Cargo.toml") or newer (https://rustup.rs), then run this again"
}

# with_progress LABEL LOG COMMAND...: the output goes to LOG, a line says every 10 s how far it is. On failure the end
# of LOG is shown and the command's code is returned.
with_progress() {
    local label=$1 log=$2 began=$SECONDS code=0 child
    shift 2
    say "$label ..."
    "$@" >"$log" 2>&1 &
    child=$!
    # An interrupted script takes its command along.
    trap 'kill "$child" 2>/dev/null; exit 130' INT TERM
    while kill -0 "$child" 2>/dev/null; do
        sleep 0.2
        if [ $((SECONDS - began)) -ge $((${next_line:-10})) ]; then
            say "  $((SECONDS - began)) s: $(how_far "$log")"
            next_line=$((SECONDS - began + 10))
        fi
    done
    unset next_line
    trap - INT TERM
    wait "$child" || code=$?
    if [ "$code" -ne 0 ]; then
        tail -n 60 "$log" >&2
        say "$label: failed with code $code after $((SECONDS - began)) s; all of it: $log" >&2
        return "$code"
    fi
    say "$label: done in $((SECONDS - began)) s"
}

# What cargo's own output says about how far it is.
how_far() {
    local compiled passed
    compiled=$(grep -cE '^ *(Compiling|Checking) ' "$1" || true)
    passed=$(grep -cE '^test .* \.\.\. ok$' "$1" || true)
    if [ "$passed" -gt 0 ]; then
        echo "$passed tests passed so far"
    else
        echo "$compiled crates so far; $(tail -n 1 "$1" | sed 's/^ *//' | cut -c1-60)"
    fi
}

# The socket of the containerd that `everynode up --data-dir DIR` uses: its own, else the machine's.
containerd_socket() {
    local socket
    for socket in "$1/containerd/containerd.sock" /run/containerd/containerd.sock; do
        if [ -S "$socket" ] && ctr -a "$socket" version >/dev/null 2>&1; then
            echo "$socket"
            return
        fi
    done
    return 1
}

# free_port FIRST: the first TCP port from there on that nothing listens on.
free_port() {
    local port=$1
    while port_in_use "$port"; do port=$((port + 1)); done
    echo "$port"
}
port_in_use() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Standard places of a node, outside its data directory.
demo_directories="/var/lib/kubelet /var/lib/cni /var/log/pods /var/log/containers /etc/cni /opt/cni /run/containerd
    $(for controller in /sys/fs/cgroup /sys/fs/cgroup/*/; do echo "${controller%/}/kubepods"; done)"
