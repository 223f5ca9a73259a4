#!/bin/bash
# Coverage-guided fuzzing of every target of crates/fuzz, or of one: scripts/fuzz.sh HOURS [TARGET].
# What libFuzzer finds new goes to target/fuzz/; a finding to fuzz/artifacts/TARGET, and from there, mended and
# minimised, to fuzz/corpus/TARGET, which every `make test` replays.
set -euo pipefail
cd "$(dirname "$0")/.."
hours=${1:-1}
if ! cargo +nightly --version >/dev/null 2>&1 || ! cargo fuzz --version >/dev/null 2>&1; then
    echo "needs nightly Rust and cargo-fuzz: rustup toolchain install nightly && cargo install cargo-fuzz --locked" >&2
    exit 1
fi
targets=${2:-$(cargo +nightly fuzz list)}
count=$(wc -w <<<"$targets")
seconds=$(awk -v hours="$hours" -v count="$count" 'BEGIN { printf "%d", hours * 3600 / count }')
for target in $targets; do
    echo "== $target for $seconds s"
    mkdir -p "target/fuzz/$target"
    cargo +nightly fuzz run "$target" "target/fuzz/$target" "fuzz/corpus/$target" -- \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10
done
