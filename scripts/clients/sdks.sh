#!/usr/bin/env bash
# Runs unmodified SDKs and frameworks against `narrows demo` and prints a table: client, check, outcome.
#
#   scripts/clients/sdks.sh [path of the narrows program]      default: target/quick/narrows
#
# Installs pinned packages into target/clients, once. Needs python3 with venv, and node and npm; what is missing is
# skipped loudly, and fails under CI=true (where a root of Debian installs it). Clients talk to 127.0.0.1 only;
# installing talks to the package registries.

source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_sdks
run_checks "${1:-$(target_directory)/quick/narrows}" --tier sdks
