#!/usr/bin/env bash
# Runs a command with a network, process list and mounts of its own, so that real containers in tests leave the
# machine as it was: when the command ends, every process, mount, link and firewall rule it made is gone.
#
#   scripts/sandbox.sh COMMAND [ARG...]
#
# Inside: root's own /proc, loopback up and no other network, `/` shared as container runtimes want it, and empty
# node directories (kubelet, CNI, pod logs). Build first: no mirror can be reached from inside.
set -euo pipefail

[ $# -gt 0 ] || { echo "usage: $0 COMMAND [ARG...]" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "sandbox: error: root is needed" >&2; exit 1; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

if [ "${EVERYNODE_SANDBOX:-}" = starting ]; then
    export EVERYNODE_SANDBOX=1
    mount --make-rshared /
    ip link set lo up
    for dir in $SANDBOX_DIRS; do mount -t tmpfs -o mode=755 tmpfs "$dir"; done
    mount --make-rshared /run/netns
    unset SANDBOX_DIRS
    # Not exec: this shell is process 1 here and collects orphans.
    code=0
    "$@" || code=$?
    exit "$code"
fi

dirs="/run/netns /run/containerd /var/lib/containerd /var/lib/kubelet /var/lib/cni /etc/cni /opt/cni
    /var/log/pods /var/log/containers"
made=()
for dir in $dirs; do
    [ -d "$dir" ] || { mkdir -p "$dir" && made+=("$dir"); }
done
child=
cleanup() {
    # Dies with process 1 of its own process namespace; nothing of it survives.
    if [ -n "$child" ]; then kill -KILL "$child" 2>/dev/null && wait "$child" 2>/dev/null; fi
    # Only what was made here, and only if nobody put anything in it meanwhile.
    [ ${#made[@]} -eq 0 ] || rmdir "${made[@]}" 2>/dev/null || true
}
trap cleanup EXIT
trap 'exit 143' TERM INT

EVERYNODE_SANDBOX=starting SANDBOX_DIRS=$dirs \
    unshare --mount --net --ipc --uts --pid --fork --kill-child --mount-proc --propagation private "$0" "$@" &
child=$!
code=0
wait "$child" || code=$?
child=
exit "$code"
