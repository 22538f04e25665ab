#!/usr/bin/env bash
# Builds Narrows and starts its demo: a gateway with a built-in fake provider, a virtual key, and requests to paste.
# Needs a Rust toolchain and a C compiler; no account, and no network beyond fetching crates.
#
#   scripts/demo.sh                      the gateway at 127.0.0.1:8080
#   scripts/demo.sh --port 0 --json      free ports, one JSON line when ready
#   NARROWS=path scripts/demo.sh         start this program instead of building one
#
# Every option is passed to `narrows demo`. Only its output goes to standard output.

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

program=${NARROWS:-}
if [ -z "$program" ]; then
    check_toolchain
    # The profile `quick` is optimised a little and builds in a fraction of a release's time.
    quiet_cargo "narrows" cargo build --profile quick --locked -p narrows --bin narrows
    program=$(target_directory)/quick/narrows
    say "the program is $program"
fi
[ -x "$program" ] || fail "there is no program at $program"
# In the place of this shell, so that Ctrl-C and SIGTERM reach the gateway and nothing else.
exec "$program" demo "$@"
