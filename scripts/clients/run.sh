#!/usr/bin/env bash
# Runs unmodified clients (SDKs and coding agents) against `narrows demo` and prints a table: client, check, outcome.
#
#   scripts/clients/run.sh [path of the narrows binary] [words of clients' names …]
#
# Packages go to a temporary folder that is removed at the end; set NARROWS_CLIENTS_DIR to keep them for the next run.
# Needs python3 (with venv) for the harness and the Python SDKs, node and npm for the rest. Without node those are
# skipped, which fails if CI=true. Clients talk to 127.0.0.1 only; installing talks to the package registries.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
binary=${1:-${CARGO_TARGET_DIR:-$root/target}/release/narrows}
shift || true

missing() {
    echo "SKIPPED: $1 is not installed; $2" >&2
    if [ "${CI:-}" = true ]; then
        echo "which is a failure under CI=true" >&2
        exit 1
    fi
}

if [ ! -x "$binary" ]; then
    echo "no binary at $binary; build it: cargo build --release -p narrows" >&2
    exit 2
fi
if ! command -v python3 >/dev/null; then
    missing python3 "no client was run"
    exit 0
fi

if [ -n "${NARROWS_CLIENTS_DIR:-}" ]; then
    tools=$NARROWS_CLIENTS_DIR
    mkdir -p "$tools"
    trash=$(mktemp -d)
    trap 'rm -rf "$trash"' EXIT
else
    trash=$(mktemp -d)
    tools=$trash/tools
    mkdir "$tools"
    trap 'rm -rf "$trash"' EXIT
fi

python3 -m venv "$tools/python"
"$tools/python/bin/pip" install --quiet --disable-pip-version-check --requirement "$here/requirements.txt"
export NARROWS_PYTHON=$tools/python/bin/python

if command -v node >/dev/null && command -v npm >/dev/null; then
    mkdir -p "$tools/node"
    cp "$here/package.json" "$here"/*.mjs "$tools/node/"
    # Some agents put their program in place with an install script, so scripts run.
    (cd "$tools/node" && npm install --no-audit --no-fund --no-package-lock --loglevel=error)
    export NARROWS_NODE_MODULES=$tools/node/node_modules
else
    missing "node or npm" "the Node SDKs and the coding agents are not run"
fi

# Credentials of this user must not leak into what the clients send.
unset OPENAI_API_KEY OPENAI_BASE_URL OPENAI_ORG_ID OPENAI_PROJECT_ID ANTHROPIC_API_KEY ANTHROPIC_AUTH_TOKEN \
    ANTHROPIC_BASE_URL GEMINI_API_KEY GOOGLE_API_KEY GOOGLE_GEMINI_BASE_URL
"$NARROWS_PYTHON" "$here/run.py" "$binary" "$trash" "$@"
