#!/usr/bin/env bash
# Runs every test of the workspace: documentation tests, unit tests, property tests, replayed fuzz seeds, and
# integration tests over real sockets on ports that the system chooses. Uses cargo-nextest if it is installed.
#
#   scripts/test.sh                 everything
#   scripts/test.sh budget          only tests with this in their name

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

check_toolchain
quiet_cargo "tests" cargo test --workspace --locked --no-run
if cargo nextest --version >/dev/null 2>&1; then
    [ $# -gt 0 ] || cargo test --workspace --locked --doc --quiet
    exec cargo nextest run --workspace --locked --no-fail-fast --status-level fail "$@"
fi
exec cargo test --workspace --locked --no-fail-fast -- "$@"
