"""The Google GenAI Python SDK, with base URL and key alone."""

import base64

from google import genai
from google.genai import errors, types
from pydantic import BaseModel

from checks import GATEWAY, KEY, LARGE_TEXT, PNG_BASE64, TOOL_PROMPT, WRONG_KEY, check, raises, whole

MODEL = "gemini-2.5-flash"


def connect(key, **options):
    return genai.Client(api_key=key, http_options=types.HttpOptions(base_url=GATEWAY, **options))


class Verdict(BaseModel):
    """An answer's shape."""

    score: int
    words: list[str]


client = connect(KEY)


@check("generate")
def _():
    answer = client.models.generate_content(model=MODEL, contents="hello")
    whole(answer.text)
    assert answer.usage_metadata.candidates_token_count > 0


@check("generate, stream")
def _():
    chunks = list(client.models.generate_content_stream(model=MODEL, contents="hello"))
    assert len(chunks) > 1, "the answer came in one piece"
    whole("".join(chunk.text or "" for chunk in chunks))
    assert chunks[-1].usage_metadata.candidates_token_count > 0


@check("chat")
def _():
    chat = client.chats.create(model=MODEL)
    whole(chat.send_message("hello").text)
    whole(chat.send_message("and then?").text)


@check("tools")
def _():
    schema = {"type": "OBJECT", "properties": {"text": {"type": "STRING"}}}
    function = types.FunctionDeclaration(name="look_up", description="Looks a text up.", parameters=schema)
    config = types.GenerateContentConfig(tools=[types.Tool(function_declarations=[function])])
    answer = client.models.generate_content(model=MODEL, contents=TOOL_PROMPT, config=config)
    assert answer.function_calls[0].name == "look_up"
    whole(answer.function_calls[0].args["text"])


@check("structured output")
def _():
    config = types.GenerateContentConfig(response_mime_type="application/json", response_schema=Verdict)
    answer = client.models.generate_content(model=MODEL, contents="hello", config=config)
    assert answer.parsed.score == 1 and answer.parsed.words


@check("image")
def _():
    image = types.Part.from_bytes(data=base64.b64decode(PNG_BASE64), mime_type="image/png")
    whole(client.models.generate_content(model=MODEL, contents=[image, "What is this?"]).text)


@check("1 MB body")
def _():
    answer = client.models.generate_content(model=MODEL, contents=LARGE_TEXT)
    assert answer.usage_metadata.prompt_token_count > 250_000


@check("count tokens")
def _():
    assert client.models.count_tokens(model=MODEL, contents="hello").total_tokens > 0


@check("models")
def _():
    models = list(client.models.list())
    assert models and all(model.name.startswith("models/") for model in models)
    assert client.models.get(model=MODEL).name == f"models/{MODEL}"


@check("API version v1beta")
def _():
    beta = connect(KEY, api_version="v1beta")
    whole(beta.models.generate_content(model=MODEL, contents="hello").text)
    assert beta.models.get(model=MODEL).name == f"models/{MODEL}"


@check("wrong key")
def _():
    other = connect(WRONG_KEY)
    error = raises(errors.ClientError, lambda: other.models.generate_content(model=MODEL, contents="hello"), 401)
    assert error.status == "UNAUTHENTICATED", error.status


@check("unknown model")
def _():
    error = raises(
        errors.ClientError, lambda: client.models.generate_content(model="nobody-serves-this", contents="hello"), 404
    )
    assert error.status == "NOT_FOUND", error.status
