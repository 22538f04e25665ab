//! What can be typed.

mod alerts;
mod content;
mod directory;
mod keys;
mod prices;
mod reports;

pub(crate) use alerts::{AlertFilterArguments, AlertsArguments, AlertsCommand, SumsArguments};
pub(crate) use content::{ContentArguments, ContentCommand, ContentFilterArguments, HoldArguments, Whose};
pub(crate) use directory::{DirectoryArguments, DirectoryCommand, EntryArguments, EntryUpdate};
pub(crate) use keys::{CreateArguments, CreateCommand, KeysArguments, KeysCommand};
pub(crate) use prices::{DiffArguments, ImportArguments, PricesArguments, PricesCommand, ShowArguments};
pub(crate) use reports::{
    AuditArguments, CoverageArguments, FilterArguments, MeterArguments, ReconcileArguments, RecordsArguments,
    SearchArguments, SplitWord, UsageArguments, UsageCommand, VerifyArguments,
};

use super::remote::RemoteArguments;
use clap::{Args, Parser, Subcommand};
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

#[derive(Debug, Parser)]
#[command(
    name = "narrows",
    about = "Narrows: the AI gateway. One place that every model call passes: keys, metering, records.",
    version,
    subcommand_required = true,
    arg_required_else_help = true,
    after_help = "Start here:\n  \
        narrows demo                            try it: no configuration, no account, no network\n  \
        narrows check --config narrows.yaml     see every problem of a configuration\n  \
        narrows run --config narrows.yaml       start the gateway\n  \
        narrows keys create --name laptop --user ada\n  \
        narrows connect claude-code --write     point Claude Code at it\n  \
        narrows usage --by team,model"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start the gateway with a configuration; runs until it is stopped (Ctrl-C or SIGTERM).
    Run(RunArguments),
    /// Start a gateway with a built-in fake provider, a key and requests to paste.
    Demo(DemoArguments),
    /// Print every problem of a configuration, with its place and what to do.
    Check(CheckArguments),
    /// Ask a running gateway whether it is well: for containers and supervisors that have no HTTP client.
    Health(HealthArguments),
    /// Look for secrets, personal data and prompt injection in a file, with the gateway's own detectors and policies.
    Scan(ScanArguments),
    /// Create and manage virtual keys, the keys that clients of the gateway use.
    Keys(KeysArguments),
    /// List, create and change the organizations that the directory knows.
    #[command(visible_alias = "organizations")]
    Orgs(DirectoryArguments),
    /// List, create and change the users that the directory knows.
    Users(DirectoryArguments),
    /// List, create and change the service accounts that the directory knows.
    ServiceAccounts(DirectoryArguments),
    /// List, create and change the teams that the directory knows, and their members.
    Teams(DirectoryArguments),
    /// List, create and change the projects that the directory knows.
    Projects(DirectoryArguments),
    /// Point a client at the gateway: print its settings, or write them.
    Connect(Box<ConnectArguments>),
    /// Keep credentials of providers in the store, sealed with a master key.
    Credentials(CredentialsArguments),
    /// Read, search, export, hold and erase prompts and answers that were kept.
    Content(Box<ContentArguments>),
    /// Show the providers and targets of a running gateway, and take them out of use.
    Targets(TargetsArguments),
    /// Show the budgets and rate limits of a running gateway, and how much of them is used.
    Budgets(BudgetsArguments),
    /// Create and revoke admin tokens, the credentials of the administration API.
    Tokens(TokensArguments),
    /// Show and acknowledge alerts, and sum up what policies decided.
    Alerts(AlertsArguments),
    /// Show who changed what and who read which records, the newest first.
    Audit(AuditArguments),
    /// Sum up requests, tokens and cost.
    Usage(Box<UsageArguments>),
    /// Show the records of exchanges, the newest first.
    Records(Box<RecordsArguments>),
    /// Show what passes the gateway, against what is known: classes of traffic, names, clients, unused keys.
    Coverage(CoverageArguments),
    /// Show what models cost, see what a file of prices changes, and import prices in others' formats.
    Prices(PricesArguments),
    /// Show the configuration in force, its JSON Schema or its reference.
    Config(ConfigArguments),
    /// Count the tokens of recorded answers again, for those who dispute a bill.
    Meter(MeterArguments),
    /// Print the version.
    Version,
}

#[derive(Debug, Args)]
pub(crate) struct ScanArguments {
    /// The file; a JSON object or list is taken for the body of a request, everything else for a text. `-` reads standard
    /// input.
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// One question a line, `{"text": …}` or `{"body": …, "dialect": …}`, and one answer a line.
    #[arg(long)]
    pub(crate) jsonl: bool,
    /// The configuration with detectors and policies. Default: narrows.yaml if it is there, else the built-in defaults.
    #[arg(long)]
    pub(crate) config: Option<PathBuf>,
    /// The dialect that policies are told of (`anthropic.messages`).
    #[arg(long)]
    pub(crate) dialect: Option<String>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  OPENAI_API_KEY=sk-… narrows run --config narrows.yaml\n\n\
    A smallest configuration:\n  version: 1\n  providers:\n    openai: {kind: openai, api_key: \"${OPENAI_API_KEY}\"}")]
pub(crate) struct RunArguments {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", default_value = "narrows.yaml")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows demo\n  narrows demo --port 0 --json    free ports, one JSON line when ready"
)]
pub(crate) struct DemoArguments {
    /// Address at which the gateway and its metrics listen; 0.0.0.0 in a container. The administration API stays at
    /// 127.0.0.1.
    #[arg(long, value_name = "ADDRESS", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    pub(crate) host: IpAddr,
    /// Port of the gateway; 0 picks free ports for everything.
    #[arg(long, value_name = "PORT", default_value_t = 8080)]
    pub(crate) port: u16,
    /// Keep keys and records in this file; without it they are in a temporary folder and gone at the end.
    #[arg(long, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// Print exactly one JSON line when ready.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1 if there is a problem.\n\nExample:\n  narrows check --config narrows.yaml"
)]
pub(crate) struct CheckArguments {
    /// The configuration.
    #[arg(long, short, value_name = "FILE", default_value = "narrows.yaml")]
    pub(crate) config: PathBuf,
    /// Print one JSON object.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exit code 1 if there is no answer in time, or any but 200.\n\nExamples:\n  narrows health\n  \
    narrows health --url http://127.0.0.1:9464/healthz --timeout 500ms"
)]
pub(crate) struct HealthArguments {
    /// What is asked: /readyz (requests may be sent to it) or /healthz (it is alive) of the metrics listener.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9464/readyz")]
    pub(crate) url: String,
    /// How long everything may take.
    #[arg(long, value_name = "TIME", default_value = "2s")]
    pub(crate) timeout: String,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigArguments {
    #[command(subcommand)]
    pub(crate) command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// The JSON Schema of the configuration, for editors.
    Schema,
    /// The configuration in force: defaults filled in, secrets redacted.
    Show {
        /// The configuration.
        #[arg(long, short, value_name = "FILE", default_value = "narrows.yaml")]
        config: PathBuf,
        /// Print JSON instead of YAML.
        #[arg(long)]
        json: bool,
    },
    /// Every key with type, default and meaning, as Markdown.
    Reference,
    /// Have a running gateway read its configuration again; exit code 1 if it is rejected.
    #[command(after_help = "Example:\n  \
        NARROWS_ADMIN_TOKEN=nra_… narrows config reload\n\n\
        Without --admin the gateway of this machine is asked, at http://127.0.0.1:9465.")]
    Reload {
        #[command(flatten)]
        remote: RemoteArguments,
        /// Print one JSON object.
        #[arg(long)]
        json: bool,
    },
}

/// Which store a command is about.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// The gateway's configuration, which names its store [default: narrows.yaml, if it is there].
    #[arg(long, short, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    /// The store itself, without a configuration.
    #[arg(long, value_name = "FILE", global = true, conflicts_with = "config")]
    pub(crate) store: Option<PathBuf>,
    /// A running gateway instead of a store.
    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows connect list                                  the clients, and what is written for each\n  \
    narrows connect claude-code                           print what to set, and where\n  \
    narrows connect claude-code --write --key-file key    write it into ~/.claude/settings.json\n  \
    narrows connect codex --write --create-key --user ada   (--config, --store or --admin)\n  \
    narrows connect codex --remove                        as it was before\n  \
    narrows connect codex --check --spend                 does it work, and if not, why\n  \
    eval \"$(narrows connect openai-sdk --shell --key-file key)\"\n\n\
    Files are changed in place: what is not about the gateway stays as it is. A copy of the file as it was is kept\n\
    beside it (.narrows-backup). The key is looked for in --key, --key-file and NARROWS_KEY, the URL in --url and\n\
    NARROWS_URL.")]
pub(crate) struct ConnectArguments {
    /// The client (`narrows connect list` shows all), or `list`.
    #[arg(value_name = "CLIENT", required_unless_present = "check")]
    pub(crate) client: Option<String>,
    /// Base URL of the gateway as the client reaches it [default: http://127.0.0.1:8080].
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The virtual key. Others on this machine can see it while the command runs: prefer --key-file.
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// A file with the virtual key; - for standard input.
    #[arg(long, value_name = "FILE", conflicts_with = "key")]
    pub(crate) key_file: Option<PathBuf>,
    /// Make a key for it, in the store that --config or --store names or behind the gateway that --admin names.
    #[arg(long, conflicts_with_all = ["key", "key_file", "remove"])]
    pub(crate) create_key: bool,
    /// Person the new key belongs to.
    #[arg(long, requires = "create_key")]
    pub(crate) user: Option<String>,
    /// Team of the new key.
    #[arg(long, requires = "create_key")]
    pub(crate) team: Option<String>,
    /// Name of the new key [default: made of the user and the client].
    #[arg(long, requires = "create_key")]
    pub(crate) name: Option<String>,
    /// The model that the client asks for [default: its own].
    #[arg(long, value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Print what to set, and where. This is what happens without another word.
    #[arg(long, conflicts_with_all = ["write", "remove", "shell"])]
    pub(crate) print: bool,
    /// Write it into the client's own settings.
    #[arg(long, conflicts_with_all = ["remove", "shell"])]
    pub(crate) write: bool,
    /// Take it out of the client's settings again.
    #[arg(long, conflicts_with = "shell")]
    pub(crate) remove: bool,
    /// Print exports for a shell and nothing else.
    #[arg(long)]
    pub(crate) shell: bool,
    /// Ask the gateway whether it takes the key, and say what is wrong if not. With a client and without --url and
    /// --key: with what stands in the client's settings.
    #[arg(long, conflicts_with_all = ["print", "write", "remove", "shell", "create_key"])]
    pub(crate) check: bool,
    /// Make one small call to the model, too; it costs a few tokens.
    #[arg(long, requires = "check")]
    pub(crate) spend: bool,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows credentials master-key > master.key\n  \
    NARROWS_MASTER_KEY=$(cat master.key) narrows credentials set openai < key.txt\n  \
    narrows credentials rewrap --old-key-file master.key --new-key-file next.key\n\n\
    The master key comes from the configuration (master_key) or from the variable NARROWS_MASTER_KEY.")]
pub(crate) struct CredentialsArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(subcommand)]
    pub(crate) command: CredentialsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CredentialsCommand {
    /// Print a new master key. Keep it apart from the store.
    MasterKey,
    /// Set a credential; its value is read from standard input.
    Set {
        /// Its name, which `api_key: store:NAME` uses.
        name: String,
        /// Organization it belongs to [default: the configuration's].
        #[arg(long)]
        organization: Option<String>,
        /// Read the value from this file instead.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// List credentials (never their values).
    List,
    /// Delete a credential.
    Delete {
        /// Its name.
        name: String,
        /// Organization it belongs to [default: the configuration's].
        #[arg(long)]
        organization: Option<String>,
    },
    /// Wrap all credentials, and the keys of kept content, with a new master key; all of each, or none.
    Rewrap {
        /// File with the master key from before.
        #[arg(long, value_name = "FILE")]
        old_key_file: PathBuf,
        /// File with the new master key.
        #[arg(long, value_name = "FILE")]
        new_key_file: PathBuf,
    },
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows tokens create --name grafana --role read --organization acme --expires 90d\n  \
    narrows tokens list\n  \
    narrows tokens revoke 4kX0bYw2mQ7d")]
pub(crate) struct TokensArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(subcommand)]
    pub(crate) command: TokensCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokensCommand {
    /// Create an admin token and print it, this one time.
    Create {
        /// A name for people.
        #[arg(long)]
        name: String,
        /// The one organization it is for. Without: every one, and the gateway as a whole.
        #[arg(long)]
        organization: Option<String>,
        /// What it may do: read; write (which includes reading); or content (reading, also kept prompts).
        #[arg(long, value_name = "ROLE", default_value = "read")]
        role: String,
        /// When it stops working: after a time (90d), or at one (2026-12-31).
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
    },
    /// List admin tokens, with when each was used last.
    List,
    /// End an admin token for good.
    Revoke {
        /// Public id of the token.
        id: String,
    },
}

#[derive(Debug, Args)]
#[command(
    after_help = "A running gateway is asked: the one of this machine, or the one at --admin. What is set holds in \
    that process, until it ends.\n\nExamples:\n  narrows targets list\n  narrows targets drain azure-eu/gpt-4o\n  \
    narrows targets disable azure-eu --admin https://gateway.example:9465"
)]
pub(crate) struct TargetsArguments {
    /// The gateway.
    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: TargetsCommand,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows budgets\n  narrows budgets --json --admin https://gateway.example:9465\n  \
                  narrows budgets set each-team '{\"usd\": 500, \"window\": \"month\", \"per\": \"team\"}'\n  \
                  narrows budgets set each-key '{\"requests\": 60, \"per\": \"key\"}' --rate-limit\n  \
                  narrows budgets delete each-team"
)]
pub(crate) struct BudgetsArguments {
    /// The gateway.
    #[command(flatten)]
    pub(crate) remote: RemoteArguments,
    /// Print JSON, one object per line.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<BudgetsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BudgetsCommand {
    /// List them; this is what happens without a command.
    List,
    /// Make a budget of the gateway's store, or change it. What it has spent stays.
    Set {
        /// Its name.
        name: String,
        /// What the configuration's file would say of it, as JSON.
        document: String,
        /// A rate limit, and not a budget.
        #[arg(long)]
        rate_limit: bool,
    },
    /// Delete a budget of the gateway's store.
    Delete {
        /// Its name.
        name: String,
        /// A rate limit, and not a budget.
        #[arg(long)]
        rate_limit: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum TargetsCommand {
    /// List providers and targets, and how they do.
    List,
    /// Begin no new conversation at a target; those that are bound to it go on.
    Drain {
        /// A provider, or provider/model, as `targets list` shows it.
        name: String,
    },
    /// Send nothing to a target.
    Disable {
        /// A provider, or provider/model.
        name: String,
    },
    /// Use a target again, and forget why it was set aside.
    Enable {
        /// A provider, or provider/model.
        name: String,
    },
}
