#!/usr/bin/env bash
# Runs a command with a network, process list and mounts of its own, so that real containers in tests leave the
# machine as it was: when the command ends, every process, mount, link and firewall rule it made is gone.
#
#   scripts/sandbox.sh COMMAND [ARG...]
#
# Inside: root's own /proc, loopback up and no other network, `/` shared as container runtimes want it, an empty /tmp
# (on the disk, removed afterwards) and empty node directories (kubelet, CNI, pod logs). Build first: no mirror can be
# reached from inside.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARG...]" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "sandbox: error: root is needed" >&2; exit 1; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

if [ "${EVERYNODE_SANDBOX:-}" = starting ]; then
    # Its own name, which tests put into the names of what cannot be kept apart here: control groups.
    export EVERYNODE_SANDBOX=${SANDBOX_TMP##*.}
    mount --make-rshared /
    ip link set lo up
    for dir in $SANDBOX_DIRS; do mount -t tmpfs -o mode=755 tmpfs "$dir"; done
    mount --make-rshared /run/netns
    # What the command works with stays visible where it lies below /tmp (a clone there, say).
    for path in "$(realpath "$(dirname "$0")/..")" "$PWD" "${CARGO_HOME:-}" "${CARGO_TARGET_DIR:-}"; do
        case $path in /tmp/*) ;; *) continue ;; esac
        name=${path#/tmp/} && name=${name%%/*}
        mkdir -p "$SANDBOX_TMP/$name"
        mountpoint -q "$SANDBOX_TMP/$name" || mount --rbind "/tmp/$name" "$SANDBOX_TMP/$name"
    done
    mount --rbind "$SANDBOX_TMP" /tmp
    cd "$PWD"
    mount --make-private /tmp && mount --make-shared /tmp
    unset SANDBOX_DIRS SANDBOX_TMP
    # Not exec: this shell is process 1 here and collects orphans.
    code=0
    "$@" || code=$?
    exit "$code"
fi

dirs="/run/netns /run/containerd /run/everynode /var/lib/containerd /var/lib/kubelet /var/lib/cni /etc/cni /opt/cni
    /var/log/pods /var/log/containers"
# Mount points that are missing are made, and listed in the lock file; the last sandbox to end removes them (rmdir
# of a directory would detach what another sandbox has mounted on it).
lock=/run/everynode-sandbox.lock
exec 8>>"$lock"
flock -s 8
for dir in $dirs; do
    [ -d "$dir" ] || { mkdir -p "$dir" && echo "$dir" >>"$lock"; }
done
tmp=$(mktemp -d /tmp/everynode-sandbox.XXXXXX)
chmod 1777 "$tmp"
child=
cleanup() {
    # Dies with process 1 of its own process namespace; nothing of it survives.
    if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null && wait "$child" 2>/dev/null || true; fi
    rm -rf --one-file-system "$tmp"
    find /sys/fs/cgroup -depth -type d -path "*/e2e-${tmp##*.}-*" -exec rmdir {} \; 2>/dev/null || true
    if flock -n -x 8; then
        # Not what somebody has put something into meanwhile.
        sort -ru "$lock" | while read -r dir; do rmdir "$dir" 2>/dev/null || true; done
        : >"$lock"
    fi
}
trap cleanup EXIT
trap 'exit 143' TERM INT

EVERYNODE_SANDBOX=starting SANDBOX_DIRS=$dirs SANDBOX_TMP=$tmp \
    unshare --mount --net --ipc --uts --pid --fork --kill-child --mount-proc --propagation private "$0" "$@" 8>&- &
child=$!
code=0
wait "$child" || code=$?
child=
exit "$code"
