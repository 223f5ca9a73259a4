#!/bin/bash
# Coverage-guided fuzzing (libFuzzer) of every target of crates/fuzz, or of one: scripts/fuzz.sh
# HOURS [TARGET]. What libFuzzer finds new goes to target/fuzz/; a finding to
# target/fuzz/artifacts/, and from there, mended and minimised, to fuzz/corpus/TARGET, which every
# `make test` replays.
#
# Stable Rust and a C++ compiler are enough: what cargo-fuzz would pass to the compiler is below. It
# is built without the address sanitizer, which only nightly Rust has: there is no unsafe code of
# ours to find faults in.
set -euo pipefail
cd "$(dirname "$0")/.."
hours=${1:-1}
target_triple=$(rustc -vV | sed -n 's/^host: //p')
coverage='-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares'
# With --target, programs that only the build runs are left without counters.
RUSTFLAGS="$(tr -s ' \n' '  ' <<<"$coverage") --cfg fuzzing" CARGO_TARGET_DIR=target/fuzz-build \
    cargo build --locked --release --manifest-path fuzz/Cargo.toml --target "$target_triple"
programs=target/fuzz-build/$target_triple/release
targets=${2:-$(cd fuzz/fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')}
count=$(wc -w <<<"$targets")
seconds=$(awk -v hours="$hours" -v count="$count" 'BEGIN { printf "%d", hours * 3600 / count }')
mkdir -p target/fuzz/artifacts
found=0
for target in $targets; do
    echo "== $target for $seconds s"
    mkdir -p "target/fuzz/$target"
    "$programs/$target" "target/fuzz/$target" "fuzz/corpus/$target" -artifact_prefix="target/fuzz/artifacts/$target-" \
        -max_total_time="$seconds" -max_len=65536 -rss_limit_mb=2048 -timeout=10 -print_final_stats=1 || found=1
done
exit "$found"
