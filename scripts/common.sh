# Sourced by the other scripts: finds the repository, checks what building needs, and keeps cargo quiet.
# Works with bash 3.2 and later.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"

say() { printf '%s\n' "$@" >&2; }

# fail MESSAGE: says what is wrong and what to do, and ends.
fail() {
    printf 'error: %s\n' "$@" >&2
    exit 1
}

# Checks the Rust toolchain and the C compiler; says how to get what is missing.
check_toolchain() {
    if ! command -v cargo >/dev/null 2>&1 && [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
    fi
    local wanted have
    wanted=$(sed -n 's/^rust-version = "\([0-9.]*\)".*/\1/p' Cargo.toml | head -n 1)
    if ! command -v cargo >/dev/null 2>&1 || ! command -v rustc >/dev/null 2>&1; then
        fail "there is no Rust toolchain. Install Rust $wanted or later, for example from https://rustup.rs, and try again."
    fi
    have=$(rustc --version | sed -n 's/^rustc \([0-9]*\.[0-9]*\).*/\1/p')
    if [ -z "$have" ] || older "$have" "$wanted"; then
        fail "Rust ${have:-of unknown version} is too old; $wanted or later is needed. With rustup: rustup update stable"
    fi
    # Unquoted below: CC may hold a wrapper and options.
    local cc=${CC:-cc} scratch
    scratch=$(mktemp -d)
    # The embedded SQLite and the cryptography are C: a compiler with the headers of the C library.
    if ! printf '#include <stdio.h>\nint main(void) { return 0; }\n' >"$scratch/probe.c" \
        || ! $cc -o "$scratch/probe" "$scratch/probe.c" >"$scratch/log" 2>&1; then
        sed 's/^/    /' "$scratch/log" >&2 || true
        rm -rf "$scratch"
        fail "'$cc' cannot compile a C program. Install a C compiler and try again:
    Debian, Ubuntu    sudo apt-get install gcc libc6-dev
    Fedora, RHEL      sudo dnf install gcc
    Alpine            sudo apk add gcc musl-dev
    macOS             xcode-select --install
  or name another one: CC=clang $0"
    fi
    rm -rf "$scratch"
}

# Sees that redis-server is there for the tests of shared counters, which are skipped without it and fail with CI=true.
find_redis() {
    if command -v redis-server >/dev/null 2>&1; then return 0; fi
    if [ "${CI:-}" = true ]; then
        apt-get update -qq >/dev/null 2>&1 || true
        apt-get install -y -qq --no-install-recommends redis-server >/dev/null 2>&1 || true
        command -v redis-server >/dev/null 2>&1 || fail "redis-server is not installed, and could not be fetched"
    else
        say "SKIPPED: redis-server is not installed; shared counters are not tested. Debian: apt-get install redis-server"
    fi
}

# Sees that PostgreSQL is there for the tests of the store that gateways share, which are skipped without it and fail with CI=true.
find_postgres() {
    if command -v initdb >/dev/null 2>&1 || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then return 0; fi
    if [ "${CI:-}" = true ]; then
        apt-get update -qq >/dev/null 2>&1 || true
        apt-get install -y -qq --no-install-recommends postgresql >/dev/null 2>&1 || true
        ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || fail "PostgreSQL is not installed, and could not be fetched"
    else
        say "SKIPPED: PostgreSQL is not installed; the store over it is not tested. Debian: apt-get install postgresql"
    fi
}

# older A B: whether version A (major.minor) is before version B (major.minor).
older() {
    local a_major=${1%%.*} a_minor=${1#*.} b_major=${2%%.*} b_minor=${2#*.}
    a_minor=${a_minor%%.*} b_minor=${b_minor%%.*}
    [ "$a_major" -lt "$b_major" ] || { [ "$a_major" -eq "$b_major" ] && [ "$a_minor" -lt "$b_minor" ]; }
}

# quiet_cargo LABEL COMMAND…: runs a build, shows how far it is, and shows its output only if it fails.
quiet_cargo() {
    local label=$1 log started=$SECONDS
    shift
    log=$(mktemp)
    if "$@" 2>&1 >/dev/null | show_progress "$label" "$log"; then
        rm -f "$log"
        say "$label: ready ($((SECONDS - started)) s)"
    else
        grep -vE '^ *(Compiling|Downloading|Downloaded|Fresh) ' "$log" >&2 || true
        rm -f "$log"
        fail "$label failed: $*"
    fi
}

# Reads cargo's lines; counts crates on one line of a terminal, or now and then in a log.
show_progress() {
    local label=$1 log=$2 line count=0 crate
    while IFS= read -r line; do
        printf '%s\n' "$line" >>"$log"
        case $line in
            *Compiling\ *)
                count=$((count + 1))
                crate=${line#*Compiling }
                if [ -t 2 ]; then
                    printf '\r\033[K%s: %d crates, %s' "$label" "$count" "${crate%% *}" >&2
                elif [ $((count % 50)) -eq 0 ]; then
                    say "$label: $count crates"
                fi
                ;;
            *Downloading\ crates*) say "$label: fetching crates" ;;
            *Blocking\ waiting*) say "$label: another cargo is at work in this folder; waiting" ;;
        esac
    done
    if [ -t 2 ]; then printf '\r\033[K' >&2; fi
}

# Where cargo puts what it builds.
target_directory() {
    cargo metadata --no-deps --format-version 1 --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

# Sets NARROWS and LOADTEST to programs of this repository, building them first, unless they are set.
load_programs() {
    if [ -z "${NARROWS:-}" ] || [ -z "${LOADTEST:-}" ]; then
        check_toolchain
        quiet_cargo "narrows" cargo build --profile quick --locked -p narrows -p narrows-loadtest --bins
        NARROWS=${NARROWS:-$(target_directory)/quick/narrows}
        LOADTEST=${LOADTEST:-$(target_directory)/quick/narrows-loadtest}
    fi
}
