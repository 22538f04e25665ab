#!/usr/bin/env bash
# A mixed load for a while, through a gateway that is started for it. Fails if memory or descriptors grow.
#
#   scripts/soak.sh             an hour
#   scripts/soak.sh 3           so many minutes
#   NARROWS=path LOADTEST=path scripts/soak.sh    uses these programs

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

load_programs
"$LOADTEST" soak --narrows "$NARROWS" --minutes "${1:-60}"
