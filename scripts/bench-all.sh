#!/usr/bin/env bash
# The whole benchmark: one real node (scripts/bench.sh), then thousands of simulated ones (scripts/bench-fleet.sh, which
# says what can be chosen). `SCENARIOS` names those of the fleet and `node`; default: all. NODE_ROUNDS=15.
set -euo pipefail
me=bench
. "$(dirname "$0")/lib.sh"
scenarios=${SCENARIOS:-node round per-node idle restart sets hollow growth}
fleet=$(for name in $scenarios; do [ "$name" = node ] || printf '%s ' "$name"; done)
export OUT=${OUT:-$top/target/bench}

mkdir -p "$OUT"
case " $scenarios " in *' node '*)
    ROUNDS=${NODE_ROUNDS:-15} "$top/scripts/bench.sh" | tee "$OUT/node.txt" ;;
esac
[ -z "$fleet" ] || SCENARIOS=$fleet "$top/scripts/bench-fleet.sh"
