//! Editors, their extensions, desktop applications. Sources: docs.cline.bot (openai-compatible, remote configuration),
//! aider.chat/docs/llms/openai-compat, docs.continue.dev/reference, cursor.com/docs (API keys),
//! code.visualstudio.com/docs (language models, custom endpoint), docs.github.com (Copilot, own models),
//! support.claude.com and docs.claude.com (third-party inference); seen 2026-11-25.

use crate::connect::{Client, Kind, NOTHING, Routable, Sample, Setup, Verified};
use narrows_llm::Dialect;

pub(super) static CLINE: Client = Client {
    name: "cline",
    title: "Cline",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat],
    recorded_as: &["cline", "vercel-ai-sdk"],
    routable: Routable::Yes,
    enforceable: Some(
        "remote configuration of Cline's enterprise plan (`providerSettings.OpenAiCompatible.openAiBaseUrl`)",
    ),
    limits: &[
        "the extension keeps its settings in the editor's own store: they are entered by hand",
        "account, telemetry and the marketplace stay with Cline",
        "the command line's requests name the AI SDK only: records have `vercel-ai-sdk` for it",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "gpt-5",
    setup: Setup {
        steps: &[
            "In Cline's settings choose the API provider *OpenAI Compatible*.",
            "Base URL: `{url}/v1`",
            "API key: `{key}`",
            "Model ID: `{model}`",
        ],
        samples: &[Sample {
            title: "Cline CLI, once",
            language: "sh",
            text: "cline auth --provider openai-compatible --baseurl {url}/v1 --apikey {key} --modelid {model}\n",
        }],
        ..NOTHING
    },
};

pub(super) static AIDER: Client = Client {
    name: "aider",
    title: "Aider",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat],
    recorded_as: &["aider", "litellm", "openai-python"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &["the weak model and the editor model have to be set to models of the gateway, too"],
    verified: Verified::Documentation,
    model: "gpt-5",
    setup: Setup {
        variables: &[("OPENAI_API_BASE", "{url}/v1"), ("OPENAI_API_KEY", "{key}")],
        start: "aider --model openai/{model}",
        ..NOTHING
    },
};

pub(super) static CONTINUE: Client = Client {
    name: "continue",
    title: "Continue",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat],
    recorded_as: &["continue"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[
        "each model in its configuration has its own `apiBase`: one without it calls its provider directly",
    ],
    verified: Verified::Documentation,
    model: "gpt-5",
    setup: Setup {
        samples: &[Sample {
            title: "A model in `~/.continue/config.yaml`",
            language: "yaml",
            text: r#"models:
  - name: Narrows
    provider: openai
    model: {model}
    apiBase: {url}/v1
    apiKey: {key}
    roles: [chat, edit, apply]
"#,
        }],
        ..NOTHING
    },
};

pub(super) static CURSOR: Client = Client {
    name: "cursor",
    title: "Cursor",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat],
    recorded_as: &["cursor"],
    routable: Routable::Partial,
    enforceable: None,
    limits: &[
        "the calls come from Cursor's servers: the gateway has to be reachable from the internet, over `https`, without client certificates",
        "Tab, apply and several agent features stay on Cursor's own backend and models",
        "the override is one for all OpenAI models; use an alias with a neutral name (not `claude-…`), or Cursor shapes the body for another API",
        "what it sends to the gateway has passed Cursor's servers first",
    ],
    verified: Verified::Fixture("desktop.rs#what_cursor_sends_is_served_and_recorded"),
    model: "team-large",
    setup: Setup {
        steps: &[
            "In Cursor's settings, *Models*, switch *Override OpenAI Base URL* on and enter `{url}/v1`.",
            "OpenAI API key: `{key}`",
            "Add a custom model with the name `{model}`, an alias of the gateway's `models`, and switch the others off.",
            "*Verify* asks for the list of models and makes one call.",
        ],
        ..NOTHING
    },
};

pub(super) static COPILOT: Client = Client {
    name: "copilot",
    title: "GitHub Copilot in VS Code",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages],
    recorded_as: &["copilot"],
    routable: Routable::Partial,
    enforceable: None,
    limits: &[
        "inline completions and next-edit suggestions never leave GitHub: only chat and agent mode can use a custom endpoint",
        "GitHub's own models stay selectable in the chat unless the organization's Copilot policy disables them",
        "an organization has to allow own models in its Copilot policy",
        "own models of Copilot Enterprise are called from GitHub's servers: the gateway has to be reachable from there",
    ],
    verified: Verified::Fixture("desktop.rs#what_copilot_sends_is_served_and_recorded"),
    model: "gpt-5",
    setup: Setup {
        steps: &[
            "*Chat: Manage Language Models*, *Add Models*, *Custom Endpoint*.",
            "Enter the key `{key}` there: VS Code keeps it in its secret store and writes a reference to it.",
            "In the `chatLanguageModels.json` that opens, fill in the model as below, with the reference that stands there.",
        ],
        samples: &[Sample {
            title: "An entry of `chatLanguageModels.json`",
            language: "json",
            text: r#"[
  {
    "name": "Narrows",
    "vendor": "customendpoint",
    "apiKey": "${input:…}",
    "apiType": "chat-completions",
    "models": [
      {
        "id": "{model}",
        "name": "{model}",
        "url": "{url}/v1/chat/completions",
        "toolCalling": true,
        "vision": true,
        "maxInputTokens": 128000,
        "maxOutputTokens": 16000
      }
    ]
  }
]
"#,
        }],
        ..NOTHING
    },
};

pub(super) static CLAUDE_DESKTOP: Client = Client {
    name: "claude-desktop",
    title: "Claude Desktop",
    kind: Kind::Personal,
    speaks: &[Dialect::AnthropicMessages],
    recorded_as: &[],
    routable: Routable::Partial,
    enforceable: Some(
        "managed preferences (`com.anthropic.claudefordesktop`, `HKLM\\SOFTWARE\\Policies\\Claude`): the same keys by MDM",
    ),
    limits: &[
        "only in its third-party inference mode, on macOS and Windows: signed in to claude.ai, chats go to Anthropic and only the MCP configuration is in reach",
        "requests do not name the program: records have no word for it, give it a key of its own",
        "not run here: there is no such application for Linux",
    ],
    verified: Verified::Fixture("desktop.rs#what_claude_desktop_sends_is_served_and_recorded"),
    model: "claude-sonnet-4-5",
    setup: Setup {
        steps: &[
            "*Help*, *Troubleshooting*, *Enable Developer Mode*; then *Developer*, *Configure Third-Party Inference*.",
            "Inference provider: *Gateway*; base URL: `{url}`; auth scheme: *bearer*; API key: `{key}`",
            "Model: `{model}`, and the others that people shall have; apply, and start the application again.",
        ],
        ..NOTHING
    },
};
