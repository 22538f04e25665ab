//! Coding agents of the terminal. Sources: code.claude.com/docs (llm-gateway, settings), developers.openai.com/codex
//! (config, managed configuration), geminicli.com/docs (configuration, enterprise), opencode.ai/docs/config,
//! `copilot help providers`; seen 2026-11-25.

use crate::connect::edit::Format;
use crate::connect::{Client, File, Kind, NOTHING, Routable, Sample, Setting, Setup, Value, Verified};
use narrows_llm::Dialect;

const fn text(path: &'static [&'static str], value: &'static str) -> Setting {
    Setting { path, value: Value::Text(value), if_model: false }
}

const fn model(path: &'static [&'static str]) -> Setting {
    Setting { path, value: Value::Text("{model}"), if_model: true }
}

const CLAUDE_SETTINGS: File = File {
    variable: Some(("CLAUDE_CONFIG_DIR", "")),
    folder: ".claude",
    names: &["settings.json"],
    format: Format::Json,
    // Seen with 2.1.197: it then says that nobody is logged in.
    strict: true,
    settings: &[],
    mark: (&[], ""),
};

const CLAUDE_MANAGED: &str = "managed settings (`env` in `managed-settings.json`, or by MDM)";

pub(super) static CLAUDE_CODE: Client = Client {
    name: "claude-code",
    title: "Claude Code",
    kind: Kind::Personal,
    speaks: &[Dialect::AnthropicMessages],
    recorded_as: &["claude-code"],
    routable: Routable::Yes,
    enforceable: Some(CLAUDE_MANAGED),
    limits: &[
        "telemetry, updates and error reports go to Anthropic unless CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC is set",
        "tool search is off with a custom base URL unless ENABLE_TOOL_SEARCH is set",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "claude-sonnet-4-5",
    setup: Setup {
        variables: &[("ANTHROPIC_BASE_URL", "{url}"), ("ANTHROPIC_AUTH_TOKEN", "{key}")],
        start: "claude",
        files: &[File {
            settings: &[
                text(&["env", "ANTHROPIC_BASE_URL"], "{url}"),
                text(&["env", "ANTHROPIC_AUTH_TOKEN"], "{key}"),
                model(&["env", "ANTHROPIC_MODEL"]),
            ],
            mark: (&["env", "ANTHROPIC_AUTH_TOKEN"], "nrw_"),
            ..CLAUDE_SETTINGS
        }],
        ..NOTHING
    },
};

pub(super) static CLAUDE_CODE_SUBSCRIPTION: Client = Client {
    name: "claude-code-subscription",
    title: "Claude Code with your own subscription",
    kind: Kind::Personal,
    speaks: &[Dialect::AnthropicMessages],
    recorded_as: &["claude-code"],
    routable: Routable::Yes,
    enforceable: Some(CLAUDE_MANAGED),
    limits: &[
        "the login goes to Anthropic unchanged: the provider needs `client_credentials: pass`",
        "run with a login that is none; that one passes unchanged is tested with its headers, not with a real subscription",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "claude-sonnet-4-5",
    setup: Setup {
        variables: &[
            ("ANTHROPIC_BASE_URL", "{url}"),
            ("ANTHROPIC_CUSTOM_HEADERS", "x-narrows-api-key: {key}"),
        ],
        start: "claude",
        files: &[File {
            settings: &[
                text(&["env", "ANTHROPIC_BASE_URL"], "{url}"),
                Setting {
                    path: &["env", "ANTHROPIC_CUSTOM_HEADERS"],
                    value: Value::Line("x-narrows-api-key: ", "{key}"),
                    if_model: false,
                },
                model(&["env", "ANTHROPIC_MODEL"]),
            ],
            mark: (&["env", "ANTHROPIC_CUSTOM_HEADERS"], "x-narrows-api-key: "),
            ..CLAUDE_SETTINGS
        }],
        ..NOTHING
    },
};

pub(super) static CODEX: Client = Client {
    name: "codex",
    title: "Codex CLI",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiResponses],
    recorded_as: &["codex"],
    routable: Routable::Yes,
    enforceable: Some(
        "managed defaults (`managed_config.toml`, or by MDM), applied at each start; a user can still override them for a run",
    ),
    limits: &[
        "it speaks the Responses API only: the model's provider must, too",
        "a project's own configuration cannot set the provider, the one in the home directory can",
        "cloud tasks run at OpenAI and do not pass",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "gpt-5",
    setup: Setup {
        start: "codex",
        files: &[File {
            variable: Some(("CODEX_HOME", "")),
            folder: ".codex",
            names: &["config.toml"],
            format: Format::Toml,
            strict: false,
            settings: &[
                model(&["model"]),
                text(&["model_provider"], "narrows"),
                text(&["model_providers", "narrows", "name"], "Narrows"),
                text(&["model_providers", "narrows", "base_url"], "{url}/v1"),
                text(&["model_providers", "narrows", "wire_api"], "responses"),
                text(&["model_providers", "narrows", "http_headers", "x-narrows-api-key"], "{key}"),
            ],
            mark: (&["model_provider"], "narrows"),
        }],
        samples: &[Sample {
            title: "For one run, with the key in a variable",
            language: "sh",
            text: r#"NARROWS_KEY={key} codex -c model_provider=narrows \
  -c 'model_providers.narrows={name="Narrows",base_url="{url}/v1",env_key="NARROWS_KEY",wire_api="responses"}'
"#,
        }],
        ..NOTHING
    },
};

pub(super) static GEMINI_CLI: Client = Client {
    name: "gemini-cli",
    title: "Gemini CLI",
    kind: Kind::Personal,
    speaks: &[Dialect::GeminiGenerate],
    recorded_as: &["gemini-cli"],
    routable: Routable::Yes,
    enforceable: Some(
        "system settings (`/etc/gemini-cli/settings.json`) fix the way of authentication; the URL is a variable, which they do not",
    ),
    limits: &[
        "it wants `https` for any host but the loopback interface",
        "login with Google speaks another API at another host, which is not served",
        "usage statistics go to Google unless `privacy.usageStatisticsEnabled` is false",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "gemini-2.5-flash",
    setup: Setup {
        variables: &[("GOOGLE_GEMINI_BASE_URL", "{url}"), ("GEMINI_API_KEY", "{key}")],
        start: "gemini",
        files: &[
            File {
                variable: Some(("GEMINI_CLI_HOME", ".gemini")),
                folder: ".gemini",
                names: &[".env"],
                format: Format::Env,
                strict: false,
                settings: &[
                    text(&["GOOGLE_GEMINI_BASE_URL"], "{url}"),
                    text(&["GEMINI_API_KEY"], "{key}"),
                    model(&["GEMINI_MODEL"]),
                ],
                mark: (&["GEMINI_API_KEY"], "nrw_"),
            },
            File {
                variable: Some(("GEMINI_CLI_HOME", ".gemini")),
                folder: ".gemini",
                names: &["settings.json"],
                format: Format::Json,
                strict: false,
                settings: &[text(&["security", "auth", "selectedType"], "gemini-api-key")],
                mark: (&["security", "auth", "selectedType"], "gemini-api-key"),
            },
        ],
        ..NOTHING
    },
};

pub(super) static OPENCODE: Client = Client {
    name: "opencode",
    title: "OpenCode",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat],
    recorded_as: &["opencode"],
    routable: Routable::Yes,
    enforceable: Some("managed configuration (`/etc/opencode`, or by MDM) with `enabled_providers`"),
    limits: &["a user can add other providers unless `enabled_providers` is managed"],
    verified: Verified::Run(&["agents.py"]),
    model: "gpt-5",
    setup: Setup {
        start: "opencode",
        files: &[File {
            variable: Some(("XDG_CONFIG_HOME", "opencode")),
            folder: ".config/opencode",
            names: &["opencode.json", "opencode.jsonc"],
            format: Format::Json,
            strict: false,
            settings: &[
                text(&["model"], "narrows/{model}"),
                text(&["small_model"], "narrows/{model}"),
                text(&["provider", "narrows", "npm"], "@ai-sdk/openai-compatible"),
                text(&["provider", "narrows", "name"], "Narrows"),
                text(&["provider", "narrows", "options", "baseURL"], "{url}/v1"),
                text(&["provider", "narrows", "options", "apiKey"], "{key}"),
                text(&["provider", "narrows", "models", "{model}", "name"], "{model}"),
            ],
            mark: (&["model"], "narrows/"),
        }],
        ..NOTHING
    },
};

pub(super) static COPILOT_CLI: Client = Client {
    name: "copilot-cli",
    title: "GitHub Copilot CLI",
    kind: Kind::Personal,
    speaks: &[Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::AnthropicMessages],
    recorded_as: &["copilot"],
    routable: Routable::Yes,
    enforceable: None,
    limits: &[
        "without these variables it uses GitHub's models, which never pass a gateway",
        "telemetry and GitHub's own tools go to GitHub unless COPILOT_OFFLINE is true",
        "the model has to take tools and streams",
        "its own user agent names the SDK only: the header above gives it its word in records",
    ],
    verified: Verified::Run(&["agents.py"]),
    model: "gpt-5",
    setup: Setup {
        variables: &[
            ("COPILOT_PROVIDER_BASE_URL", "{url}/v1"),
            ("COPILOT_PROVIDER_API_KEY", "{key}"),
            ("COPILOT_MODEL", "{model}"),
            ("COPILOT_PROVIDER_HEADERS", "user-agent: GitHubCopilotCLI"),
            ("COPILOT_OFFLINE", "true"),
        ],
        start: "copilot",
        ..NOTHING
    },
};
