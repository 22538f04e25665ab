#!/usr/bin/env bash
# Thousands of exchanges with random faults, and recorded streams cut anywhere, through a gateway that is started for it.
# Fails if an exchange has not exactly one record, if sums differ from the provider's bill, or if anything is left open.
#
#   scripts/faults.sh           10,000 exchanges, some minutes
#   scripts/faults.sh 400       so many
#   NARROWS=path LOADTEST=path scripts/faults.sh    uses these programs

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

load_programs
"$LOADTEST" replay llm/golden --narrows "$NARROWS" --quiet
"$LOADTEST" faults --narrows "$NARROWS" --exchanges "${1:-10000}" --quiet
