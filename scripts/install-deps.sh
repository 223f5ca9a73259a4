#!/usr/bin/env bash
# Installs what everynode needs on Debian and is not there yet. Idempotent; nothing is started.
#
#   scripts/install-deps.sh            what a node needs, and what building everynode needs
#   scripts/install-deps.sh --check    only say what is missing; exit 1 if anything is
set -euo pipefail

check_only=false
[ "${1:-}" = --check ] && check_only=true

say() { printf 'deps: %s\n' "$*"; }
die() { printf 'deps: error: %s\n' "$*" >&2; exit 1; }

# A node without /usr/sbin on PATH (su without -) would look as if everything were missing.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

missing=()
need_command() { command -v "$1" >/dev/null 2>&1 || missing+=("$2"); }

need_command containerd containerd
need_command runc runc
[ -x /usr/lib/cni/bridge ] || [ -x /opt/cni/bin/bridge ] || missing+=(containernetworking-plugins)
need_command nft nftables
need_command iptables iptables
need_command conntrack conntrack
need_command ip iproute2
need_command mount mount
need_command curl curl
need_command openssl openssl
need_command gcc gcc
need_command make make
[ -e /usr/include/stdlib.h ] || missing+=(libc6-dev)
# Any kubectl will do; Debian's own (1.20) is only the last resort.
need_command kubectl kubernetes-client

if [ ${#missing[@]} -eq 0 ]; then
    say "everything is there"
    exit 0
fi
if $check_only; then
    say "missing: ${missing[*]}"
    exit 1
fi

[ "$(id -u)" -eq 0 ] || die "root is needed to install: ${missing[*]} (run this as root or with sudo)"
command -v apt-get >/dev/null 2>&1 || die "no apt-get here; install by hand: ${missing[*]}"

work=$(mktemp -d)
policy=/usr/sbin/policy-rc.d
made_policy=false
cleanup() {
    if $made_policy; then rm -f "$policy"; fi
    rm -rf "$work"
}
trap cleanup EXIT

# Debian starts a service as soon as it is installed. Here a package is wanted for its programs only:
# everynode supervises its own containerd. 101 is policy-rc.d's "action forbidden".
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    made_policy=true
fi

run_apt() { # LABEL ARGS...: quiet unless it fails; waits for another apt to finish
    local label=$1
    shift
    say "$label"
    if ! DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
        -o Dpkg::Use-Pty=0 "$@" >"$work/apt.log" 2>&1; then
        tail -n 20 "$work/apt.log" >&2
        die "apt-get $1 failed (above); is a package mirror reachable?"
    fi
}

run_apt "refreshing the package lists" update
run_apt "installing: ${missing[*]}" install -y --no-install-recommends "${missing[@]}"
say "installed ${#missing[@]} packages and what they depend on"
