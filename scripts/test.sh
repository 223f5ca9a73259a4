#!/usr/bin/env bash
# Every check and test, with what they need installed first. Ends with one summary; logs stay in target/test-logs.
#
#   scripts/test.sh          all
#   scripts/test.sh lint     formatting and clippy only
set -euo pipefail
me=test
. "$(dirname "$0")/lib.sh"

logs=$top/target/test-logs
mkdir -p "$logs"
cd "$top"
export CARGO_TERM_COLOR=never CARGO_TERM_PROGRESS_WHEN=never CARGO_NET_RETRY=5

lint() {
    with_progress "formatting" "$logs/fmt.log" cargo fmt --all --check || exit 1
    with_progress "clippy" "$logs/clippy.log" \
        cargo clippy --locked --workspace --all-targets -- -D warnings || exit 1
}

# "cargo test" inside the sandbox: whatever network, mounts and processes the tests make are gone afterwards.
run_tests() {
    EVERYNODE_TEST_IMAGES=$images EVERYNODE_KUBECTLS=$kubectls scripts/sandbox.sh \
        cargo test --locked --offline --workspace --no-fail-fast
}

summary() {
    awk '/^test result:/ { passed += $4; failed += $6; ignored += $8; suites += 1 }
        END { printf "%d passed, %d failed, %d ignored in %d suites\n", passed, failed, ignored, suites
              exit failed > 0 || passed == 0 }' "$logs/tests.log"
}

need_cargo
if [ "${1:-all}" = lint ]; then
    lint
    exit 0
fi

need_root test
scripts/install-deps.sh
lint
with_progress "building the tests" "$logs/build.log" cargo test --locked --workspace --no-run || exit 1
images=$top/target/images/test.tar
with_progress "building the images" "$logs/images.log" \
    scripts/images.sh --out "$images" base examples mission || exit 1
scripts/kubectls.sh
kubectls=$(printf '%s:' "$top"/target/kubectl/kubectl.1.*)
code=0
with_progress "running the tests" "$logs/tests.log" run_tests || code=$?
grep -E '^test .* FAILED$' "$logs/tests.log" || true
say "$(summary)" || code=1
exit "$code"
