#!/bin/sh
# Fills fuzz/corpus from the golden answers: each seed is the head its target expects, then the answer.
# Then, from the repository's root: cargo +nightly fuzz run dialect_decode
set -eu
cd "$(dirname "$0")"
for target in sse_split dialect_decode usage_hide unary; do
    mkdir -p "corpus/$target"
done
number=0
# In the order of DIALECTS: the target takes the dialect from the first byte.
for dialect in openai.chat openai.completions openai.responses openai.embeddings anthropic.messages gemini.generate; do
    for answer in ../llm/golden/"$dialect"/*.sse ../llm/golden/"$dialect"/*.body; do
        [ -f "$answer" ] || continue
        name="$dialect-$(basename "$answer")"
        { printf '\007'; cat "$answer"; } > "corpus/sse_split/$name"
        for target in dialect_decode usage_hide unary; do
            # shellcheck disable=SC2059
            { printf "\\00$number\\021"; cat "$answer"; } > "corpus/$target/$name"
        done
    done
    number=$((number + 1))
done
mkdir -p corpus/config_load
cp ../docs/examples/*.yaml corpus/config_load/
