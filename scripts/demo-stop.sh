#!/usr/bin/env bash
# Stops the demo and removes everything it made. Running it again is fine.
set -euo pipefail
me=demo-stop
. "$(dirname "$0")/lib.sh"

dir=${DEMO_DIR:-$top/.demo}
if [ ! -e "$dir/.everynode-demo" ]; then
    [ ! -e "$dir" ] || die "$dir is not a demo's directory; nothing is removed"
    say "no demo in $dir; nothing to do"
    exit 0
fi
need_root demo-stop
dir=$(cd "$dir" && pwd)

# stop PID WHAT: asks it to end, waits up to 20 s.
stop() {
    kill -TERM "$1" 2>/dev/null || return 0
    say "stopping $2 (process $1)"
    local round
    for round in $(seq 100); do
        kill -0 "$1" 2>/dev/null || return 0
        sleep 0.2
    done
    say "$2 did not stop in $((round / 5)) s; killing it"
    kill -KILL "$1" 2>/dev/null || true
}

# A process of this demo names its directory on the command line or works in it.
is_ours() {
    tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null | grep -qF -- "$dir/" && return
    case $(readlink "/proc/$1/cwd" 2>/dev/null)/ in "$dir"/*) ;; *) return 1 ;; esac
}

# A pid may have been given to somebody else since: the command line tells.
pid=$(cat "$dir/pid" 2>/dev/null || true)
if [ -n "$pid" ] && is_ours "$pid"; then stop "$pid" everynode; fi

# The logs of its pods stay where log collectors expect them, also after `down`.
field() { sed -n "s/^ *\"$1\": \"\(.*\)\",*/\1/p" "$dir/data/node.json" 2>/dev/null || true; }
kubelet_dir=$(field kubeletDir) pod_logs=$(field podLogs) container_logs=$(field containerLogs)
uids=$([ -z "$kubelet_dir" ] || ls "$kubelet_dir/pods" 2>/dev/null || true)

everynode=$(cat "$dir/binary" 2>/dev/null || true)
if [ -d "$dir/data" ] && [ -x "$everynode" ]; then
    say "stopping the pods"
    "$everynode" down --data-dir "$dir/data" >"$dir/down.log" 2>&1 ||
        say "everynode down failed: $(tail -n 1 "$dir/down.log")"
fi

# What is left when the binary is gone or failed: processes whose command line names this directory, containers that
# its runc knows, mounts below it (deepest first).
stop_leftovers() { # NAME: processes of that name
    local path process
    for path in /proc/[0-9]*; do
        process=${path#/proc/}
        if [ "$(cat "$path/comm" 2>/dev/null)" = "$1" ] && is_ours "$process"; then
            stop "$process" "what is left of $1"
        fi
    done
}
stop_leftovers containerd
runc=$dir/data/containerd/runc/k8s.io
if [ -d "$runc" ] && command -v runc >/dev/null; then
    for container in $(runc --root "$runc" list -q 2>/dev/null); do
        say "stopping container ${container:0:12}"
        runc --root "$runc" delete --force "$container" 2>/dev/null || true
    done
fi
stop_leftovers containerd-shim
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mounted; do
    umount -l "$mounted" || die "cannot unmount $mounted"
done
for uid in $uids; do
    find "$pod_logs" -mindepth 1 -maxdepth 1 -name "*_$uid" -exec rm -rf --one-file-system {} +
done
# What led there leads nowhere now.
[ ! -d "$container_logs" ] || find "$container_logs" -maxdepth 1 -xtype l -lname "$pod_logs/*" -delete
made=$(cat "$dir/made" 2>/dev/null || true)
rm -rf --one-file-system "$dir"

# What the demo made outside its directory, as far as it is empty now: the file `made` lists what was not there before.
# Not while a test run's sandbox mounts its own over them: removing a directory would take those away.
exec 8>>/run/everynode-sandbox.lock
flock -n -x 8 || { say "left in place, a test run uses them: $(echo "$made" | tr '\n' ' ')" && made=; }
while read -r path; do
    [ -e "$path" ] || continue
    # Repeated, as rmdir gives up on a batch's parents. A cgroup with processes in it stays.
    for _ in 1 2 3; do find "$path" -xdev -depth -type d -exec rmdir {} + 2>/dev/null || true; done
    [ ! -e "$path" ] || say "left in place, not empty: $path"
done <<<"$made"
say "removed $dir"
