#!/usr/bin/env bash
# Runs every test of the workspace: documentation tests, unit tests, property tests, replayed fuzz seeds, and
# integration tests over real sockets on ports that the system chooses. Uses cargo-nextest if it is installed.
#
#   scripts/test.sh                 everything
#   scripts/test.sh budget          only tests with this in their name

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

check_toolchain
find_redis
find_postgres
quiet_cargo "tests" cargo test --workspace --locked --no-run
if ! cargo nextest --version >/dev/null 2>&1; then
    exec cargo test --workspace --locked --no-fail-fast -- "$@"
fi
# nextest does not run documentation tests. They come first, so that the last lines are the summary.
status=0
if [ $# -eq 0 ]; then
    log=$(mktemp)
    if cargo test --workspace --locked --doc --quiet >"$log" 2>&1; then
        say "documentation tests: $(awk '/^test result:/ { passed += $4 } END { print passed + 0 }' "$log") passed"
    else
        status=1
        cat "$log" >&2
    fi
    rm -f "$log"
fi
cargo nextest run --workspace --locked --no-fail-fast --status-level fail "$@" || status=$?
exit "$status"
