#!/usr/bin/env bash
# Imports stand-in images under the names that common DaemonSet manifests use into a running node's containerd.
#
#   scripts/mission-images.sh [DATA_DIR]    default: the demo's
set -euo pipefail
me=images
. "$(dirname "$0")/lib.sh"

data=${1:-${DEMO_DIR:-$top/.demo}/data}
socket=$(containerd_socket "$data") || die "no containerd answers for $data; start one first (make demo)"
exec "$top/scripts/images.sh" --socket "$socket" mission
