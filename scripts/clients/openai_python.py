"""The OpenAI Python SDK, with base URL and key alone."""

import json

import openai
from openai import OpenAI
from pydantic import BaseModel

from checks import GATEWAY, KEY, LARGE_TEXT, PNG_BASE64, TOOL_PROMPT, WRONG_KEY, check, raises, whole


class Verdict(BaseModel):
    """An answer's shape."""

    score: int
    words: list[str]


client = OpenAI(base_url=f"{GATEWAY}/v1", api_key=KEY)
HELLO = [{"role": "user", "content": "hello"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a text up.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]},
    },
}


@check("chat")
def _():
    answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    whole(answer.choices[0].message.content)
    assert answer.choices[0].finish_reason == "stop" and answer.usage.total_tokens > 0


def streamed(**options):
    """Text of a streamed chat and the chunks that carry usage."""
    chunks = list(client.chat.completions.create(model="gpt-4o", messages=HELLO, stream=True, **options))
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    whole(text)
    assert [c.choices[0].finish_reason for c in chunks if c.choices][-1] == "stop"
    return [chunk for chunk in chunks if chunk.usage]


@check("chat, stream")
def _():
    # The gateway asks the provider for usage to meter it; a client that did not ask must not see it.
    assert streamed() == [], "usage that was not asked for reached the client"


@check("chat, stream with usage")
def _():
    told = streamed(stream_options={"include_usage": True})
    assert len(told) == 1 and told[0].usage.completion_tokens > 0 and told[0].choices == []


@check("chat, tools")
def _():
    messages = [{"role": "user", "content": TOOL_PROMPT}]
    first = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    call = first.choices[0].message.tool_calls[0]
    assert first.choices[0].finish_reason == "tool_calls" and call.function.name == "look_up"
    whole(json.loads(call.function.arguments)["text"])
    messages += [first.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "found"}]
    second = client.chat.completions.create(model="gpt-4o", messages=messages, tools=[TOOL])
    whole(second.choices[0].message.content)


@check("chat, tools, stream")
def _():
    messages = [{"role": "user", "content": TOOL_PROMPT}]
    with client.chat.completions.stream(model="gpt-4o", messages=messages, tools=[TOOL]) as stream:
        answer = stream.get_final_completion()
    call = answer.choices[0].message.tool_calls[0]
    whole(json.loads(call.function.arguments)["text"])


@check("chat, image as data URL")
def _():
    image = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG_BASE64}"}}
    content = [{"type": "text", "text": "What is this?"}, image]
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": content}])
    whole(answer.choices[0].message.content)


@check("chat, 1 MB body")
def _():
    answer = client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": LARGE_TEXT}])
    # The provider charges a token for each four bytes it received.
    assert answer.usage.prompt_tokens > 250_000, answer.usage
    whole(answer.choices[0].message.content)


@check("responses")
def _():
    answer = client.responses.create(model="gpt-5", input="hello")
    whole(answer.output_text)
    assert answer.status == "completed" and answer.usage.output_tokens > 0


@check("responses, stream")
def _():
    events = list(client.responses.create(model="gpt-5", input="hello", stream=True))
    whole("".join(event.delta for event in events if event.type == "response.output_text.delta"))
    assert events[-1].type == "response.completed" and events[-1].response.usage.output_tokens > 0


@check("responses, tools")
def _():
    tool = {"type": "function", "name": "look_up", "parameters": TOOL["function"]["parameters"], "strict": False}
    answer = client.responses.create(model="gpt-5", input=TOOL_PROMPT, tools=[tool])
    call = next(item for item in answer.output if item.type == "function_call")
    whole(json.loads(call.arguments)["text"])


@check("structured output")
def _():
    chat = client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Verdict)
    assert chat.choices[0].message.parsed.score == 1
    answer = client.responses.parse(model="gpt-5", input="hello", text_format=Verdict)
    assert answer.output_parsed.words


@check("completions")
def _():
    answer = client.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    whole(answer.choices[0].text)


@check("embeddings")
def _():
    answer = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert len(answer.data) == 2 and len(answer.data[0].embedding) == 256 and answer.usage.prompt_tokens > 0


@check("models")
def _():
    models = list(client.models.list())
    assert models and all(model.object == "model" for model in models)
    assert client.models.retrieve("gpt-4o").id == "gpt-4o"


@check("wrong key")
def _():
    other = OpenAI(base_url=f"{GATEWAY}/v1", api_key=WRONG_KEY)
    error = raises(
        openai.AuthenticationError, lambda: other.chat.completions.create(model="gpt-4o", messages=HELLO), 401
    )
    assert error.code == "key_unknown", error.code


@check("unknown model")
def _():
    error = raises(
        openai.NotFoundError,
        lambda: client.chat.completions.create(model="nobody-serves-this", messages=HELLO),
        404,
    )
    assert error.code == "model_unknown", error.code


@check("malformed body")
def _():
    # Fields that the SDK does not check are passed on as they are.
    raises(openai.BadRequestError, lambda: client.chat.completions.create(model=7, messages=HELLO), 400)
