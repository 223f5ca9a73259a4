#!/bin/sh
# sweep.sh DIR EVERYNODE: waits until its standard input is closed, then stops everything that runs from DIR and removes
# it. First as a user would (`everynode down`), then whatever is left by hand.
dir=$1
everynode=$2
trap '' INT TERM HUP
cat >/dev/null

# A process of ours names the directory on its command line or works in it: its number may have been given away since.
ours() {
    { tr '\0' ' ' <"/proc/$1/cmdline" | grep -qF -- "$dir/"; } 2>/dev/null && return
    case $(readlink "/proc/$1/cwd" 2>/dev/null)/ in "$dir"/*) ;; *) return 1 ;; esac
}

for file in "$dir"/*.pid; do
    pid=$(cat "$file" 2>/dev/null) && ours "$pid" && kill -KILL "$pid" 2>/dev/null
done
# The nodes' own bridges, and what tests have written down.
bridges=$(cat "$dir/bridges" 2>/dev/null
    cat "$dir"/*/cni/net.d/90-everynode.conflist 2>/dev/null |
    grep -o '"bridge": *"[^"]*"' | cut -d'"' -f4 | sort -u)
for data in "$dir"/*/containerd; do
    [ -d "$data" ] && timeout 60 "$everynode" down --data-dir "${data%/containerd}" --timeout 20s >"$dir/down.log" 2>&1
done
stop() { # NAME...: what is left of these programs
    for process in /proc/[0-9]*; do
        name=$(cat "$process/comm" 2>/dev/null) || continue
        case " $* " in *" $name "*) ours "${process#/proc/}" && kill -KILL "${process#/proc/}" ;; esac
    done
}
stop containerd
for runc in "$dir"/*/containerd/runc/k8s.io; do
    [ -d "$runc" ] || continue
    for container in $(runc --root "$runc" list -q 2>/dev/null); do
        runc --root "$runc" delete --force "$container" 2>/dev/null
    done
done
stop containerd-shim containerd-shim-runc-v2 containerd-shim-r everynode
awk -v dir="$dir/" 'index($5, dir) == 1 { print $5 }' /proc/self/mountinfo | sort -r |
    while read -r mounted; do umount -l "$mounted"; done
for bridge in $bridges; do ip link del "$bridge" 2>/dev/null; done
for controller in /sys/fs/cgroup /sys/fs/cgroup/*/; do
    [ -d "$controller/${dir##*/}" ] && find "$controller/${dir##*/}" -depth -type d -exec rmdir {} \; 2>/dev/null
done
# For a look afterwards: EVERYNODE_TEST_KEEP=1 keeps logs and data.
[ -n "${EVERYNODE_TEST_KEEP:-}" ] || rm -rf --one-file-system "$dir"
