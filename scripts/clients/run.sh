#!/usr/bin/env bash
# Runs unmodified clients, SDKs and coding agents, against `narrows demo` and prints a table: client, check, outcome.
# The agents get their settings from `narrows connect`, in a home directory of their own.
#
#   scripts/clients/run.sh [path of the narrows program] [words of clients' names …]
#
# As sdks.sh, and with the agents' packages, which are large.

source "$(dirname "${BASH_SOURCE[0]}")/install.sh"
install_sdks
install_agents
binary=${1:-$(target_directory)/quick/narrows}
[ $# -eq 0 ] || shift
run_checks "$binary" "$@"
