# Sourced by sdks.sh and run.sh: what the checks with real clients need, in the clone's own target folder.
# Sets NARROWS_PYTHON, NARROWS_ADK_PYTHON, NARROWS_NODE_MODULES, NARROWS_AGENTS_BIN; empty where something is missing.

source "$(dirname "${BASH_SOURCE[0]}")/../common.sh"

here=$ROOT/scripts/clients
tools=${NARROWS_CLIENTS_DIR:-${CARGO_TARGET_DIR:-$ROOT/target}/clients}
mkdir -p "$tools"
tools=$(cd "$tools" && pwd)
export NARROWS_PYTHON='' NARROWS_ADK_PYTHON='' NARROWS_NODE_MODULES='' NARROWS_AGENTS_BIN=''

# missing WHAT CONSEQUENCE: a laptop goes on without, CI does not.
missing() {
    say "SKIPPED: $1 is not installed; $2"
    [ "${CI:-}" != true ] || fail "which is a failure under CI=true"
}

# debian PACKAGE…: installs what a fresh machine of CI lacks.
debian() {
    [ "${CI:-}" = true ] && [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 || return 0
    say "installing $* from Debian"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@"; } >/dev/null 2>&1 || true
}

has_python() { command -v python3 >/dev/null 2>&1 && python3 -c 'import ensurepip, venv' 2>/dev/null; }
has_node() { command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1; }

# once FOLDER FILE COMMAND…: runs the command unless it has run for just this content of FILE.
once() {
    local folder=$1 file=$2
    shift 2
    if ! cmp -s "$file" "$folder/.installed-for"; then
        "$@"
        cp "$file" "$folder/.installed-for"
    fi
}

python_packages() {
    local folder=$1 requirements=$2
    mkdir -p "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements"
}

node_packages() {
    mkdir -p "$1"
    cp "$2" "$1/package.json"
    # Some agents put their program in place with an install script, so scripts run.
    (cd "$1" && npm install --no-audit --no-fund --no-package-lock --loglevel=error)
}

install_sdks() {
    has_python || debian python3 python3-venv
    if has_python; then
        once "$tools/python" "$here/requirements.txt" python_packages "$tools/python" "$here/requirements.txt"
        once "$tools/adk" "$here/requirements-adk.txt" python_packages "$tools/adk" "$here/requirements-adk.txt"
        NARROWS_PYTHON=$tools/python/bin/python NARROWS_ADK_PYTHON=$tools/adk/bin/python
    else
        missing "python3 with venv" "no client was run"
        exit 0
    fi
    has_node || debian nodejs npm
    if has_node; then
        once "$tools/node" "$here/node/package.json" node_packages "$tools/node" "$here/node/package.json"
        # Node looks for packages beside the program.
        cp "$here"/*.mjs "$tools/node/"
        NARROWS_NODE_MODULES=$tools/node/node_modules
    else
        missing "node or npm" "the Node SDKs are not run"
    fi
}

install_agents() {
    if has_node; then
        once "$tools/agents" "$here/agents/package.json" node_packages "$tools/agents" "$here/agents/package.json"
        NARROWS_AGENTS_BIN=$tools/agents/node_modules/.bin
    else
        missing "node or npm" "the coding agents are not run"
    fi
}

# Credentials of this user must not leak into what the clients send, and none of their proxies stands in between.
forget() {
    local name
    for name in $(compgen -e | grep -E '^(OPENAI|ANTHROPIC|CLAUDE|GEMINI|GOOGLE|CODEX|OPENCODE|COPILOT|CLINE|LANGSMITH|LANGCHAIN)_' || true); do
        unset "$name"
    done
}

# run_checks BINARY WORDS…: all of it, against the demo.
run_checks() {
    local binary=$1 trash status=0
    shift
    [ -x "$binary" ] || fail "no program at $binary; build it: cargo build --profile quick -p narrows"
    trash=$(mktemp -d "$tools/run.XXXXXX")
    forget
    "$NARROWS_PYTHON" "$here/run.py" "$binary" "$trash" "$@" || status=$?
    rm -rf "$trash"
    return "$status"
}
