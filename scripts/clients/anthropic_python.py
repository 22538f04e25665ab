"""The Anthropic Python SDK, with base URL and key alone."""

import anthropic
from anthropic import Anthropic

from checks import GATEWAY, KEY, LARGE_TEXT, PNG_BASE64, TOOL_PROMPT, WRONG_KEY, check, raises, whole

client = Anthropic(base_url=GATEWAY, api_key=KEY)
MODEL = "claude-sonnet-4-5"
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {
    "name": "look_up",
    "description": "Looks a text up.",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
}


def create(**options):
    return client.messages.create(**{"model": MODEL, "max_tokens": 256, "messages": HELLO, **options})


@check("messages")
def _():
    answer = create(system="Be brief.")
    whole(answer.content[0].text)
    assert answer.stop_reason == "end_turn" and answer.usage.output_tokens > 0


@check("messages, stream")
def _():
    with client.messages.stream(model=MODEL, max_tokens=256, messages=HELLO) as stream:
        text = "".join(stream.text_stream)
        answer = stream.get_final_message()
    whole(text)
    assert answer.content[0].text == text and answer.usage.output_tokens > 1


@check("messages, events")
def _():
    events = list(create(stream=True))
    assert events[0].type == "message_start" and events[-1].type == "message_stop"


@check("tools")
def _():
    messages = [{"role": "user", "content": TOOL_PROMPT}]
    first = create(messages=messages, tools=[TOOL])
    call = first.content[0]
    assert first.stop_reason == "tool_use" and call.name == "look_up"
    whole(call.input["text"])
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "found"}
    messages += [{"role": "assistant", "content": first.content}, {"role": "user", "content": [result]}]
    whole(create(messages=messages, tools=[TOOL]).content[0].text)


@check("tools, stream")
def _():
    messages = [{"role": "user", "content": TOOL_PROMPT}]
    with client.messages.stream(model=MODEL, max_tokens=256, messages=messages, tools=[TOOL]) as stream:
        whole(stream.get_final_message().content[0].input["text"])


@check("thinking")
def _():
    answer = create(max_tokens=4096, thinking={"type": "enabled", "budget_tokens": 1024})
    whole(answer.content[-1].text)


@check("thinking, stream, beta header")
def _():
    with client.beta.messages.stream(
        model=MODEL,
        max_tokens=4096,
        messages=HELLO,
        thinking={"type": "enabled", "budget_tokens": 1024},
        betas=["interleaved-thinking-2025-05-14"],
    ) as stream:
        whole("".join(stream.text_stream))


@check("prompt caching")
def _():
    system = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    whole(create(system=system).content[0].text)


@check("image")
def _():
    source = {"type": "base64", "media_type": "image/png", "data": PNG_BASE64}
    content = [{"type": "image", "source": source}, {"type": "text", "text": "What is this?"}]
    whole(create(messages=[{"role": "user", "content": content}]).content[0].text)


@check("1 MB body")
def _():
    answer = create(messages=[{"role": "user", "content": LARGE_TEXT}])
    assert answer.usage.input_tokens > 250_000, answer.usage


@check("count tokens")
def _():
    assert client.messages.count_tokens(model=MODEL, messages=HELLO).input_tokens > 0


@check("models")
def _():
    models = list(client.models.list(limit=1000))
    # Clients that discover models list what begins with claude or anthropic only.
    assert models, "the list is empty"
    assert all(m.type == "model" and m.display_name and m.created_at for m in models), models[0]
    one = client.models.retrieve(MODEL)
    assert one.id == MODEL and one.type == "model" and one.created_at, one


@check("bearer token")
def _():
    other = Anthropic(base_url=GATEWAY, auth_token=KEY)
    whole(other.messages.create(model=MODEL, max_tokens=256, messages=HELLO).content[0].text)


@check("wrong key")
def _():
    other = Anthropic(base_url=GATEWAY, api_key=WRONG_KEY)
    error = raises(
        anthropic.AuthenticationError,
        lambda: other.messages.create(model=MODEL, max_tokens=256, messages=HELLO),
        401,
    )
    assert error.body["error"]["type"] == "authentication_error" and error.request_id


@check("unknown model")
def _():
    error = raises(anthropic.NotFoundError, lambda: create(model="nobody-serves-this"), 404)
    assert error.body["error"]["type"] == "not_found_error"


@check("malformed body")
def _():
    raises(anthropic.BadRequestError, lambda: create(model=7), 400)
