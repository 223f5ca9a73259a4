#!/usr/bin/env bash
# containerd 1.6.20 (Debian package containerd 1.6.20~ds1-1+deb12u3): a network configuration that
# is moved into its directory is not noticed.
#
# What one would have sworn: the runtime watches /etc/cni/net.d, so a file that appears there
# counts, however it comes. Writing a file elsewhere on the same disk and renaming it into place is
# the careful way, because no reader can meet half of it.
#
# What happens: containerd passes over the event that such a file causes, and its condition
# NetworkReady stays false for as long as nothing else happens in the directory. The same file,
# copied there, is read at once. (A temporary name in the same directory works as well: the rename
# tells of the old name, too.)
#
# Why it matters to those who run node services: a network plugin is a DaemonSet whose first act is
# to install this file. One that is careful about it leaves its node NotReady, its own log says
# success, and restarting containerd by hand "repairs" it.
set -euo pipefail

version=1.6.20~ds1-1+deb12u3
dir=$(mktemp -d)
daemon=
finish() {
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null; wait "$daemon" 2>/dev/null; } || true
    rm -rf "$dir"
}
trap finish EXIT
(cd "$dir" && apt-get -q -o APT::Sandbox::User=root download "containerd=$version" >/dev/null && dpkg -x containerd_*.deb root)
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" -q install --disable-pip-version-check grpcio==1.76.0

mkdir -p "$dir/bin" "$dir/net.d" "$dir/prepared"
printf '#!/bin/sh\nexit 0\n' >"$dir/bin/nothing"
chmod +x "$dir/bin/nothing"
printf '{"cniVersion": "0.4.0", "name": "pods", "type": "nothing"}' >"$dir/prepared/10-pods.conf"
cat >"$dir/config.toml" <<TOML
version = 2
root = "$dir/lib"
state = "$dir/run"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri".cni]
  bin_dir = "$dir/bin"
  conf_dir = "$dir/net.d"
TOML
"$dir/root/usr/bin/containerd" --config "$dir/config.toml" >"$dir/log" 2>&1 &
daemon=$!

# NetworkReady, asked over CRI: the field numbers are those of its StatusResponse.
cat >"$dir/ready.py" <<'PYTHON'
import sys
import time

import grpc

raw = lambda data: data
status = grpc.insecure_channel(f"unix:{sys.argv[1]}").unary_unary(
    "/runtime.v1.RuntimeService/Status", request_serializer=raw, response_deserializer=raw)


def network_ready():
    answer = status(b"", wait_for_ready=True, timeout=60)
    condition = answer[answer.index(b"NetworkReady"):]
    # After the type comes the value, field 2, if it is true.
    return condition[len(b"NetworkReady"):][:2] == b"\x10\x01"


until = time.monotonic() + float(sys.argv[2])
while not network_ready() and time.monotonic() < until:
    time.sleep(0.2)
print("true" if network_ready() else "false")
PYTHON
ask() { "$dir/venv/bin/python" "$dir/ready.py" "$dir/containerd.sock" "$1"; }

"$dir/root/usr/bin/containerd" --version
before=$(ask 0)
mv "$dir/prepared/10-pods.conf" "$dir/net.d/"
moved=$(ask 10)
cp "$dir/net.d/10-pods.conf" "$dir/prepared/"
rm "$dir/net.d/10-pods.conf"
removed=$(ask 0)
cp "$dir/prepared/10-pods.conf" "$dir/net.d/"
copied=$(ask 10)
echo "NetworkReady: before $before; 10 s after moving the file in $moved; removed $removed; copied in $copied"
[ "$before $moved $copied" = "false false true" ] || { echo "that has changed" >&2; exit 1; }
