#!/usr/bin/env bash
# Starts the demo as the README does, on free ports, and asks it the way clients do: three dialects, whole and
# streamed, good and bad keys. Then looks at usage, records and metrics, and stops it. Needs curl.
#
#   scripts/smoke.sh                    builds first if needed
#   NARROWS=path scripts/smoke.sh       checks this program

source "$(dirname "${BASH_SOURCE[0]}")/common.sh"

# Seconds until the demo must be ready, a request answered, and the stopped demo gone.
READY_MAX=60
REQUEST_MAX=20
STOP_MAX=20

command -v curl >/dev/null 2>&1 || fail "curl is needed: install it with your package manager"

work=$(mktemp -d)
pid=
finish() {
    if [ -n "$pid" ]; then kill "$pid" 2>/dev/null || true; fi
    rm -rf "$work"
}
trap finish EXIT

if [ -z "${NARROWS:-}" ]; then
    # Builds; what follows then waits for a start and not for a compiler.
    scripts/demo.sh --help >/dev/null
    NARROWS=$(target_directory)/quick/narrows
    export NARROWS
fi

: >"$work/ready"
scripts/demo.sh --json --port 0 >>"$work/ready" 2>"$work/log" &
pid=$!
waited=0
until grep -q '}$' "$work/ready"; do
    kill -0 "$pid" 2>/dev/null || { cat "$work/log" >&2; pid=; fail "the demo ended before it was ready"; }
    [ "$waited" -lt $((READY_MAX * 5)) ] || fail "the demo was not ready within $READY_MAX s"
    waited=$((waited + 1))
    sleep 0.2
done

member() { sed -n "s/.*\"$1\":\"\([^\"]*\)\".*/\1/p" "$work/ready"; }
gateway=$(member gateway) admin=$(member admin) metrics=$(member metrics) key=$(member key)
token=$(member admin_token) store=$(member store)
for value in "$gateway" "$admin" "$metrics" "$key" "$token" "$store"; do
    [ -n "$value" ] || fail "the ready line lacks a member; it has: $(sed 's/"[^"]*":/\n&/g' "$work/ready" | cut -d: -f1 | tr '\n' ' ')"
done

failures=0
# check NAME FILE PATTERN…: every pattern is in the file.
check() {
    local name=$1 file=$2 pattern
    shift 2
    for pattern in "$@"; do
        if ! grep -qE -- "$pattern" "$file"; then
            failures=$((failures + 1))
            say "FAILED  $name: no match for $pattern in"
            head -c 2000 "$file" | sed 's/^/        /' >&2
            return
        fi
    done
    say "ok      $name"
}
# ask PATH CURL-OPTIONS…: head and body of the answer into $work/answer.
ask() {
    local path=$1
    shift
    curl -sS -i -N --max-time "$REQUEST_MAX" "$gateway$path" -H 'content-type: application/json' "$@" >"$work/answer" 2>&1 || true
}

chat='{"model":"gpt-4o","messages":[{"role":"user","content":"hello"}]}'
chat_stream='{"model":"gpt-4o","stream":true,"messages":[{"role":"user","content":"hello"}]}'
messages='{"model":"claude-sonnet-4-5","max_tokens":64,"messages":[{"role":"user","content":"hello"}]}'
messages_stream='{"model":"claude-sonnet-4-5","max_tokens":64,"stream":true,"messages":[{"role":"user","content":"hello"}]}'
generate='{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'
wrong=${key%?????}00000

ask /v1/chat/completions -H "authorization: Bearer $key" -d "$chat"
check 'openai chat, whole' "$work/answer" '^HTTP/1.1 200' '"completion_tokens":[1-9]' '^x-narrows-request-id: '
ask /v1/chat/completions -H "authorization: Bearer $key" -d "$chat_stream"
check 'openai chat, streamed' "$work/answer" '^HTTP/1.1 200' '^data: \{.*"delta"' '^data: \[DONE\]'
if grep -q '"usage":{' "$work/answer"; then
    failures=$((failures + 1))
    say 'FAILED  openai chat, streamed: a usage event that the client did not ask for reached it'
fi
ask /v1/messages -H "x-api-key: $key" -H 'anthropic-version: 2023-06-01' -d "$messages"
check 'anthropic messages, whole' "$work/answer" '^HTTP/1.1 200' '"output_tokens":[1-9]'
ask '/v1/messages?beta=true' -H "x-api-key: $key" -H 'anthropic-version: 2023-06-01' -d "$messages_stream"
check 'anthropic messages, streamed' "$work/answer" '^HTTP/1.1 200' '^event: message_start' '^event: message_stop'
ask /v1beta/models/gemini-2.5-flash:generateContent -H "x-goog-api-key: $key" -d "$generate"
check 'gemini, whole' "$work/answer" '^HTTP/1.1 200' '"candidatesTokenCount":[1-9]'
ask '/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse' -H "x-goog-api-key: $key" -d "$generate"
check 'gemini, streamed' "$work/answer" '^HTTP/1.1 200' '^data: \{.*"candidatesTokenCount":[1-9]'
ask /v1/models -H "authorization: Bearer $key"
check 'list of models' "$work/answer" '^HTTP/1.1 200' '"object":"list"'

ask /v1/chat/completions -H "authorization: Bearer $wrong" -d "$chat"
check 'openai, wrong key' "$work/answer" '^HTTP/1.1 401' '"code":"key_unknown"'
ask /v1/messages -H "x-api-key: $wrong" -d "$messages"
check 'anthropic, wrong key' "$work/answer" '^HTTP/1.1 401' '"type":"error"' '"authentication_error"'
ask /v1beta/models/gemini-2.5-flash:generateContent -H "x-goog-api-key: $wrong" -d "$generate"
check 'gemini, wrong key' "$work/answer" '^HTTP/1.1 401' '"status":"UNAUTHENTICATED"'
ask /v1/chat/completions -d "$chat"
check 'no key' "$work/answer" '^HTTP/1.1 401' '"code":"key_missing"'
ask /v1/nothing -H "authorization: Bearer $key" -d "$chat"
check 'unknown path' "$work/answer" '^HTTP/1.1 404' '"code":"path_unknown"'
ask /v1/chat/completions -H "authorization: Bearer $key" -d '{"model":'
check 'broken body' "$work/answer" '^HTTP/1.1 400' '"code":"body_malformed"'

# Records reach the store a moment after the answer has reached the client.
for _ in 1 2 3 4 5 6 7 8 9 10; do
    "$NARROWS" usage --store "$store" --json --by provider,dialect,reason >"$work/usage"
    [ "$(grep -c '"reason":"completed","requests":2,' "$work/usage")" -eq 3 ] && break
    sleep 0.2
done
for dialect in openai.chat anthropic.messages gemini.generate; do
    check "usage of $dialect" "$work/usage" \
        "\"provider\":\"${dialect%%.*}\",\"dialect\":\"$dialect\",\"reason\":\"completed\",\"requests\":2,\"input\":[1-9][0-9]*,\"input_unknown\":0,.*\"output\":[1-9][0-9]*,\"output_unknown\":0,"
done
"$NARROWS" records --store "$store" --json >"$work/records"
check 'records' "$work/records" '"reason":"completed".*"origin":"provider"' '"reason":"key_unknown"' '"client":"curl"'
curl -sS --max-time "$REQUEST_MAX" "$metrics/metrics" >"$work/metrics" || true
check 'metrics' "$work/metrics" '^narrows_exchanges_total\{.*reason="completed".*\} [1-9]' '^gen_ai_client_token_usage_count\{'
curl -sS -i --max-time "$REQUEST_MAX" "$metrics/readyz" >"$work/answer" || true
check 'readiness' "$work/answer" '^HTTP/1.1 200'
curl -sS --max-time "$REQUEST_MAX" "$admin/admin/v1/keys" -H "authorization: Bearer $token" >"$work/keys" || true
check 'administration' "$work/keys" '"name":"demo"'

# The secret half of the key is nowhere but in the line that showed it.
secret=${key##*_}
if grep -qaF -- "$secret" "$work/log" "$work/usage" "$work/records" "$work/metrics" "$work/keys" "$store"*; then
    failures=$((failures + 1))
    say 'FAILED  the key is in the log, a report, the metrics or the store'
else
    say 'ok      the key is nowhere'
fi

kill -TERM "$pid"
waited=0
while kill -0 "$pid" 2>/dev/null; do
    [ "$waited" -lt $((STOP_MAX * 5)) ] || fail "the demo was still there $STOP_MAX s after SIGTERM"
    waited=$((waited + 1))
    sleep 0.2
done
status=0
wait "$pid" || status=$?
pid=
if [ "$status" -ne 0 ] || [ -e "$store" ]; then
    failures=$((failures + 1))
    say "FAILED  stopping: exit status $status, or the temporary store is still there"
    cat "$work/log" >&2
else
    say 'ok      stopped'
fi
[ "$failures" -eq 0 ] || fail "$failures checks failed"
