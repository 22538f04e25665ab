//! SDKs, frameworks and tools for programmers. Sources: their own packages, which `scripts/clients` runs.

use crate::connect::{Client, Kind, NOTHING, Routable, Sample, Setup, Verified};
use narrows_llm::Dialect;

/// What can be said of every library.
const BY_PROGRAM: &str = "the program around it decides: keep providers' keys out of its environment";

pub(super) static OPENAI_SDK: Client = Client {
    name: "openai-sdk",
    title: "OpenAI SDK",
    kind: Kind::Library,
    speaks: &[
        Dialect::OpenaiChat,
        Dialect::OpenaiCompletions,
        Dialect::OpenaiResponses,
        Dialect::OpenaiEmbeddings,
    ],
    recorded_as: &["openai-python", "openai-node"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[BY_PROGRAM],
    verified: Verified::Run(&["openai_python.py", "openai_node.mjs"]),
    model: "gpt-5",
    setup: Setup {
        variables: &[("OPENAI_BASE_URL", "{url}/v1"), ("OPENAI_API_KEY", "{key}")],
        samples: &[
            Sample {
                title: "Python",
                language: "python",
                text: r#"from openai import OpenAI

client = OpenAI(base_url="{url}/v1", api_key="{key}")
stream = client.chat.completions.create(
    model="{model}", messages=[{"role": "user", "content": "hello"}], stream=True
)
for chunk in stream:
    if chunk.choices:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
"#,
            },
            Sample {
                title: "Node",
                language: "js",
                text: r#"import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{url}/v1", apiKey: "{key}" });
const answer = await client.responses.create({ model: "{model}", input: "hello" });
console.log(answer.output_text);
"#,
            },
        ],
        ..NOTHING
    },
};

pub(super) static ANTHROPIC_SDK: Client = Client {
    name: "anthropic-sdk",
    title: "Anthropic SDK",
    kind: Kind::Library,
    speaks: &[Dialect::AnthropicMessages],
    recorded_as: &["anthropic-python", "anthropic-typescript"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[BY_PROGRAM],
    verified: Verified::Run(&["anthropic_python.py", "anthropic_node.mjs"]),
    model: "claude-sonnet-4-5",
    setup: Setup {
        variables: &[("ANTHROPIC_BASE_URL", "{url}"), ("ANTHROPIC_API_KEY", "{key}")],
        samples: &[
            Sample {
                title: "Python",
                language: "python",
                text: r#"import anthropic

client = anthropic.Anthropic(base_url="{url}", api_key="{key}")
with client.messages.stream(
    model="{model}", max_tokens=256, messages=[{"role": "user", "content": "hello"}]
) as stream:
    for text in stream.text_stream:
        print(text, end="", flush=True)
"#,
            },
            Sample {
                title: "Node",
                language: "js",
                text: r#"import Anthropic from "@anthropic-ai/sdk";

const client = new Anthropic({ baseURL: "{url}", apiKey: "{key}" });
const answer = await client.messages.create({
  model: "{model}", max_tokens: 256, messages: [{ role: "user", content: "hello" }],
});
console.log(answer.content);
"#,
            },
        ],
        ..NOTHING
    },
};

pub(super) static GOOGLE_GENAI_SDK: Client = Client {
    name: "google-genai-sdk",
    title: "Google GenAI SDK",
    kind: Kind::Library,
    speaks: &[Dialect::GeminiGenerate],
    recorded_as: &["google-genai"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[BY_PROGRAM],
    verified: Verified::Run(&["google_genai_python.py", "google_genai_node.mjs"]),
    model: "gemini-2.5-flash",
    setup: Setup {
        variables: &[("GOOGLE_GEMINI_BASE_URL", "{url}"), ("GEMINI_API_KEY", "{key}")],
        samples: &[
            Sample {
                title: "Python",
                language: "python",
                text: r#"from google import genai
from google.genai import types

client = genai.Client(api_key="{key}", http_options=types.HttpOptions(base_url="{url}"))
for chunk in client.models.generate_content_stream(model="{model}", contents="hello"):
    print(chunk.text, end="", flush=True)
"#,
            },
            Sample {
                title: "Node",
                language: "js",
                text: r#"import { GoogleGenAI } from "@google/genai";

const client = new GoogleGenAI({ apiKey: "{key}", httpOptions: { baseUrl: "{url}" } });
const answer = await client.models.generateContent({ model: "{model}", contents: "hello" });
console.log(answer.text);
"#,
            },
        ],
        ..NOTHING
    },
};

pub(super) static LANGCHAIN: Client = Client {
    name: "langchain",
    title: "LangChain and LangGraph",
    kind: Kind::Library,
    speaks: &[
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::OpenaiEmbeddings,
        Dialect::AnthropicMessages,
        Dialect::GeminiGenerate,
    ],
    recorded_as: &["openai-python", "anthropic-python", "google-genai", "langchain"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[BY_PROGRAM, "records name the SDK below it, whose user agent it sends"],
    verified: Verified::Run(&["langchain_python.py"]),
    model: "gpt-5",
    setup: Setup {
        variables: &[
            ("OPENAI_BASE_URL", "{url}/v1"),
            ("OPENAI_API_KEY", "{key}"),
            ("ANTHROPIC_BASE_URL", "{url}"),
            ("ANTHROPIC_API_KEY", "{key}"),
            ("GOOGLE_GEMINI_BASE_URL", "{url}"),
            ("GOOGLE_API_KEY", "{key}"),
        ],
        samples: &[Sample {
            title: "Python",
            language: "python",
            text: r#"from langchain_anthropic import ChatAnthropic
from langchain_google_genai import ChatGoogleGenerativeAI
from langchain_openai import ChatOpenAI

gpt = ChatOpenAI(model="{model}", base_url="{url}/v1", api_key="{key}")
claude = ChatAnthropic(model="claude-sonnet-4-5", base_url="{url}", api_key="{key}")
gemini = ChatGoogleGenerativeAI(model="gemini-2.5-flash", base_url="{url}", api_key="{key}")
print(gpt.invoke("hello").content)
"#,
        }],
        ..NOTHING
    },
};

pub(super) static GOOGLE_ADK: Client = Client {
    name: "google-adk",
    title: "Google ADK",
    kind: Kind::Library,
    speaks: &[Dialect::GeminiGenerate],
    recorded_as: &["google-genai"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[
        BY_PROGRAM,
        "records name the Google GenAI SDK below it",
        "live (bidirectional) sessions are not served",
    ],
    verified: Verified::Run(&["google_adk_python.py"]),
    model: "gemini-2.5-flash",
    setup: Setup {
        variables: &[("GOOGLE_GEMINI_BASE_URL", "{url}"), ("GOOGLE_API_KEY", "{key}")],
        samples: &[Sample {
            title: "Python",
            language: "python",
            text: r#"from google.adk.agents import LlmAgent
from google.adk.models import Gemini

# The key comes from GOOGLE_API_KEY.
agent = LlmAgent(name="helper", model=Gemini(model="{model}", base_url="{url}"), instruction="Be brief.")
"#,
        }],
        ..NOTHING
    },
};

pub(super) static CURL: Client = Client {
    name: "curl",
    title: "curl",
    kind: Kind::Library,
    speaks: &[
        Dialect::OpenaiChat,
        Dialect::OpenaiResponses,
        Dialect::AnthropicMessages,
        Dialect::GeminiGenerate,
    ],
    recorded_as: &["curl"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[],
    verified: Verified::Run(&["../smoke.sh"]),
    model: "gpt-5",
    setup: Setup {
        variables: &[("NARROWS_URL", "{url}"), ("NARROWS_KEY", "{key}")],
        samples: &[
            Sample {
                title: "OpenAI",
                language: "sh",
                text: r#"curl -N "$NARROWS_URL/v1/chat/completions" -H "authorization: Bearer $NARROWS_KEY" -H 'content-type: application/json' \
  -d '{"model":"{model}","stream":true,"messages":[{"role":"user","content":"hello"}]}'
curl -N "$NARROWS_URL/v1/responses" -H "authorization: Bearer $NARROWS_KEY" -H 'content-type: application/json' \
  -d '{"model":"{model}","stream":true,"input":"hello"}'
"#,
            },
            Sample {
                title: "Anthropic",
                language: "sh",
                text: r#"curl -N "$NARROWS_URL/v1/messages" -H "x-api-key: $NARROWS_KEY" -H 'anthropic-version: 2023-06-01' -H 'content-type: application/json' \
  -d '{"model":"claude-sonnet-4-5","max_tokens":256,"stream":true,"messages":[{"role":"user","content":"hello"}]}'
"#,
            },
            Sample {
                title: "Gemini",
                language: "sh",
                text: r#"curl -N "$NARROWS_URL/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse" -H "x-goog-api-key: $NARROWS_KEY" \
  -H 'content-type: application/json' -d '{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}'
"#,
            },
            Sample {
                title: "What the key may use",
                language: "sh",
                text: "curl \"$NARROWS_URL/v1/models\" -H \"authorization: Bearer $NARROWS_KEY\"\n",
            },
        ],
        ..NOTHING
    },
};
