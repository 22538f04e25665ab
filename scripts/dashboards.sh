#!/usr/bin/env bash
# Evaluates every expression of dashboards/ in a real Prometheus that scrapes a gateway under traffic, and tests the
# alerts. Needs python3, and prometheus with promtool; with CI=true it fetches Debian's package if they are missing.
#
#   scripts/dashboards.sh                      builds the demo first if needed
#   NARROWS=path scripts/dashboards.sh         checks this program

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

missing() {
    [ "${CI:-}" != true ] || fail "$1 is not installed, and could not be fetched"
    say "SKIPPED: $1 is not installed; the dashboards were not evaluated. Debian: apt-get install $2"
    exit 0
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if [ "${CI:-}" = true ] && ! command -v prometheus >/dev/null 2>&1; then
    # Unpacked and not installed: the package would start a service.
    chmod 755 "$work"
    apt-get update -qq >/dev/null 2>&1 || true
    if (cd "$work" && apt-get download -qq prometheus >/dev/null 2>&1); then
        dpkg-deb -x "$work"/prometheus_*.deb "$work/prometheus"
        PATH="$work/prometheus/usr/bin:$PATH"
    fi
fi
if [ "${CI:-}" = true ] && ! command -v python3 >/dev/null 2>&1; then
    apt-get install -y -qq --no-install-recommends python3 >/dev/null 2>&1 || true
fi
command -v python3 >/dev/null 2>&1 || missing python3 python3
command -v prometheus >/dev/null 2>&1 || missing prometheus prometheus
command -v promtool >/dev/null 2>&1 || missing promtool prometheus

promtool check rules dashboards/recording.yaml dashboards/alerts.yaml
promtool test rules dashboards/alerts.test.yaml

if [ -z "${NARROWS:-}" ]; then
    scripts/demo.sh --help >/dev/null
    NARROWS=$(target_directory)/quick/narrows
fi
python3 scripts/dashboards/check.py "$NARROWS" "$(command -v prometheus)"
