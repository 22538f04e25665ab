"""A Google ADK agent with a tool, with base URL and key alone."""

import asyncio
import logging
import os

from checks import GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, whole

os.environ["GOOGLE_API_KEY"] = KEY
os.environ["GOOGLE_GENAI_USE_VERTEXAI"] = "FALSE"

from google.adk.agents import LlmAgent, RunConfig  # noqa: E402
from google.adk.agents.run_config import StreamingMode  # noqa: E402
from google.adk.models import Gemini  # noqa: E402
from google.adk.runners import InMemoryRunner  # noqa: E402
from google.genai import types  # noqa: E402

# It logs every refusal with the whole way it came.
logging.disable(logging.CRITICAL)

MODEL = "gemini-2.5-flash"


def look_up(text: str) -> dict:
    """Looks a text up."""
    return {"found": len(text)}


def run(agent, prompt, mode=StreamingMode.NONE):
    """Every event of one turn."""

    async def turn():
        runner = InMemoryRunner(agent=agent, app_name="check")
        session = await runner.session_service.create_session(app_name="check", user_id="ada")
        message = types.Content(role="user", parts=[types.Part(text=prompt)])
        events = runner.run_async(
            user_id="ada", session_id=session.id, new_message=message, run_config=RunConfig(streaming_mode=mode)
        )
        return [event async for event in events]

    return asyncio.run(turn())


def text_of(event):
    return "".join(part.text or "" for part in event.content.parts) if event.content else ""


def agent(**options):
    return LlmAgent(name="helper", model=Gemini(model=MODEL, base_url=GATEWAY), instruction="Be brief.", **options)


@check("answer", exchanges=1)
def _():
    events = run(agent(), "hello")
    whole(text_of(events[-1]))
    assert events[-1].usage_metadata.candidates_token_count > 0


@check("stream", exchanges=1)
def _():
    events = run(agent(), "hello", StreamingMode.SSE)
    assert len([event for event in events if event.partial]) > 1, "the answer came in one piece"
    whole(text_of(events[-1]))


@check("agent with a tool", exchanges=2)
def _():
    events = run(agent(tools=[look_up]), TOOL_PROMPT)
    results = [answer for event in events for answer in event.get_function_responses()]
    assert len(results) == 1 and results[0].response["found"] > 0, results
    whole(text_of(events[-1]))


@check("agent with a sub-agent", exchanges=1)
def _():
    child = LlmAgent(name="child", model=Gemini(model=MODEL, base_url=GATEWAY), description="Knows more.")
    whole(text_of(run(agent(sub_agents=[child]), "hello")[-1]))


@check("base URL from the environment", exchanges=1)
def _():
    os.environ["GOOGLE_GEMINI_BASE_URL"] = GATEWAY
    try:
        whole(text_of(run(LlmAgent(name="helper", model=MODEL, instruction="Be brief."), "hello")[-1]))
    finally:
        del os.environ["GOOGLE_GEMINI_BASE_URL"]


@check("wrong key")
def _():
    os.environ["GOOGLE_API_KEY"] = WRONG_KEY
    try:
        events = run(agent(), "hello")
        said = " ".join(f"{event.error_code} {event.error_message}" for event in events)
    except Exception as error:  # Which kind depends on ADK's version; that it says why does not.
        said = f"{type(error).__name__}: {error}"
    finally:
        os.environ["GOOGLE_API_KEY"] = KEY
    assert "401" in said or "UNAUTHENTICATED" in said, said
