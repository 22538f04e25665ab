"""LangChain's chat models and a LangGraph agent, with base URL and key alone."""

from langchain.agents import create_agent
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.tools import tool
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langgraph.graph import END, START, MessagesState, StateGraph

from checks import GATEWAY, KEY, TOOL_PROMPT, WRONG_KEY, check, raises, whole

OPENAI, ANTHROPIC, GOOGLE = "gpt-4o", "claude-sonnet-4-5", "gemini-2.5-flash"

MODELS = {
    "openai": lambda key=KEY, **options: ChatOpenAI(
        model=OPENAI, base_url=f"{GATEWAY}/v1", api_key=key, max_retries=0, **options
    ),
    "openai responses": lambda key=KEY, **options: ChatOpenAI(
        model=OPENAI, base_url=f"{GATEWAY}/v1", api_key=key, max_retries=0, use_responses_api=True, **options
    ),
    "anthropic": lambda key=KEY, **options: ChatAnthropic(
        model=ANTHROPIC, base_url=GATEWAY, api_key=key, max_retries=0, **options
    ),
    "google-genai": lambda key=KEY, **options: ChatGoogleGenerativeAI(
        model=GOOGLE, base_url=GATEWAY, api_key=key, max_retries=0, **options
    ),
}


@tool
def look_up(text: str) -> str:
    """Looks a text up."""
    return f"found {len(text)} characters"


def text_of(message):
    """The text of a message, whatever blocks it came in."""
    return message.text if isinstance(message.text, str) else message.text()


for name, make in MODELS.items():

    @check(f"{name}: invoke", exchanges=1)
    def _():
        answer = make().invoke("hello")
        whole(text_of(answer))
        assert answer.usage_metadata["output_tokens"] > 0, answer.usage_metadata

    @check(f"{name}: stream", exchanges=1)
    def _():
        chunks = list(make().stream("hello"))
        assert len(chunks) > 1, "the answer came in one piece"
        whole("".join(text_of(chunk) for chunk in chunks))

    @check(f"{name}: agent with a tool", exchanges=2)
    def _():
        # The demo calls a tool once, is given its result, and answers.
        agent = create_agent(make(), [look_up])
        messages = agent.invoke({"messages": [("user", TOOL_PROMPT)]})["messages"]
        results = [message for message in messages if isinstance(message, ToolMessage)]
        assert len(results) == 1 and results[0].content.startswith("found "), results
        # All of the demo's responses have one id, by which the graph takes the second for a new version of the first,
        # so it need not stand last.
        whole(text_of([message for message in messages if isinstance(message, AIMessage)][-1]))


@check("embeddings", exchanges=1)
def _():
    embeddings = OpenAIEmbeddings(
        model="text-embedding-3-small", base_url=f"{GATEWAY}/v1", api_key=KEY, check_embedding_ctx_length=False
    )
    assert len(embeddings.embed_documents(["one"])[0]) == 256


@check("a graph of one's own", exchanges=2)
def _():
    # Two nodes, two providers, one conversation.
    graph = StateGraph(MessagesState)
    graph.add_node("draft", lambda state: {"messages": [MODELS["openai"]().invoke(state["messages"])]})
    graph.add_node(
        "review",
        lambda state: {"messages": [MODELS["anthropic"]().invoke([*state["messages"], ("user", "Is it right?")])]},
    )
    graph.add_edge(START, "draft")
    graph.add_edge("draft", "review")
    graph.add_edge("review", END)
    messages = graph.compile().invoke({"messages": [("user", "hello")]})["messages"]
    whole(text_of(messages[-1]))


@check("wrong key")
def _():
    for make in (MODELS["openai"], MODELS["anthropic"]):
        raises(Exception, lambda: make(key=WRONG_KEY).invoke("hello"), 401)
