//! What can be typed about records, sums and the trail of administration.

use super::StoreArguments;
use clap::{Args, Subcommand, ValueEnum};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows audit --limit 20\n  narrows audit --action records_read --from 7d --json"
)]
pub(crate) struct AuditArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// At or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// About this organization.
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// By the admin token with this public id, or by the program cli or narrows.
    #[arg(long, value_name = "ID")]
    pub(crate) actor: Option<String>,
    /// Of this kind: key_created, records_read, configuration_applied, …
    #[arg(long, value_name = "WORD")]
    pub(crate) action: Option<String>,
    /// Done to this.
    #[arg(long, value_name = "ID")]
    pub(crate) target: Option<String>,
    /// Most events to show.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  narrows usage\n  narrows usage --by team,model --from 7d\n  \
    narrows usage --by team,project --month 2026-10       a chargeback report, with the versions of its prices\n  \
    narrows usage --by day --from 2026-11-01 --to 2026-12-01 --json\n  \
    narrows usage verify --config narrows.yaml            do records, sums, budgets and metrics agree?\n  \
    narrows usage reconcile --provider openai invoice.csv"
)]
pub(crate) struct UsageArguments {
    #[command(subcommand)]
    pub(crate) command: Option<UsageCommand>,
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    /// What to split by, separated by commas: hour, day, organization, team, user, service_account, project, key,
    /// provider, model, dialect, client, reason, origin.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "provider,model")]
    pub(crate) by: Vec<String>,
    /// A whole month (2026-10, UTC), with --prices.
    #[arg(long, value_name = "MONTH", conflicts_with_all = ["from", "to"])]
    pub(crate) month: Option<String>,
    /// Say with which versions of prices the costs were computed. Reads every record of the time.
    #[arg(long)]
    pub(crate) prices: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsageCommand {
    /// Compare the sums of the records with the sums kept by hour, with what budgets were charged, and with metrics. Exit code 1
    /// if they differ.
    Verify(VerifyArguments),
    /// Compare a provider's own export of usage or costs (CSV) with the records, by day and model. Exit code 1 if they differ.
    Reconcile(ReconcileArguments),
}

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  narrows usage verify --store narrows.db\n  \
    narrows usage verify --config narrows.yaml --metrics http://127.0.0.1:9464/metrics")]
pub(crate) struct VerifyArguments {
    /// The metrics of the running gateway that writes the store: they are compared with the records since its start.
    #[arg(long, value_name = "URL")]
    pub(crate) metrics: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Files: OpenAI's exports of usage and of costs, Anthropic's of usage and of costs, and any file with \
    the columns date and model and some of requests, input_tokens, output_tokens, cost_usd. Days are those of UTC.\n\n\
    Examples:\n  narrows usage reconcile --provider openai completions_usage.csv\n  \
    narrows usage reconcile --provider anthropic usage.csv --tolerance 0.5 --csv"
)]
pub(crate) struct ReconcileArguments {
    /// The provider's file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The provider, by its name in the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: String,
    /// From this day on [default: the first of the file].
    #[arg(long, value_name = "DAY")]
    pub(crate) from: Option<String>,
    /// Before this day [default: after the last of the file].
    #[arg(long, value_name = "DAY")]
    pub(crate) to: Option<String>,
    /// Figures agree that differ by no more than this share of the larger one, in percent.
    #[arg(long, value_name = "PERCENT", default_value = "1")]
    pub(crate) tolerance: String,
    /// Columns to pass over, separated by commas.
    #[arg(long, value_name = "COLUMN", value_delimiter = ',')]
    pub(crate) ignore: Vec<String>,
    /// Print comma-separated values.
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows records --limit 20\n  narrows records --user ada --from 24h --json"
)]
pub(crate) struct RecordsArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(flatten)]
    pub(crate) filter: FilterArguments,
    #[command(flatten)]
    pub(crate) search: SearchArguments,
    /// Most records to show.
    #[arg(long, value_name = "COUNT", default_value_t = 50)]
    pub(crate) limit: usize,
}

/// Which exchanges a report is about.
#[derive(Debug, Args)]
pub(crate) struct FilterArguments {
    /// Started at or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Started before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Of this organization.
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Of this team.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Of this service account.
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,
    /// Of this project.
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// Of the key with this public id.
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// With this model asked of the provider.
    #[arg(long)]
    pub(crate) model: Option<String>,
    /// Served by this provider.
    #[arg(long)]
    pub(crate) provider: Option<String>,
    /// From this client program (claude-code, codex, …).
    #[arg(long)]
    pub(crate) client: Option<String>,
    /// In this dialect (anthropic.messages, …).
    #[arg(long)]
    pub(crate) dialect: Option<String>,
    /// Ended so (completed, client_gone, …).
    #[arg(long, value_name = "WORD")]
    pub(crate) reason: Option<String>,
}

/// Which records are searched for, beside that.
#[derive(Debug, Args)]
pub(crate) struct SearchArguments {
    /// Of this conversation or session, as the client named it.
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// With this model asked for by the caller.
    #[arg(long, value_name = "MODEL")]
    pub(crate) model_requested: Option<String>,
    /// With this decision of policies: allow, log, mask or block.
    #[arg(long, value_name = "WORD")]
    pub(crate) decision: Option<String>,
    /// With this rule of a policy or detector in a decision.
    #[arg(long, value_name = "RULE")]
    pub(crate) rule: Option<String>,
    /// In which this was found (EMAIL, GITHUB_TOKEN, …).
    #[arg(long)]
    pub(crate) entity: Option<String>,
    /// Whose doing the end was: completed (nobody's), caller, policy, provider or gateway.
    #[arg(long, value_name = "WORD")]
    pub(crate) outcome: Option<String>,
    /// Answered with this status (404), or one of this class (4xx).
    #[arg(long)]
    pub(crate) status: Option<String>,
    /// That are known to have cost this or more, in dollars.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) cost_from: Option<String>,
    /// That are known to have cost less than this.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) cost_to: Option<String>,
    /// Of this traffic class: 1, 2a, 2b, 3, 4 or mcp.
    #[arg(long)]
    pub(crate) class: Option<String>,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  narrows coverage --from 30d\n  narrows coverage --organization acme --unused 90d --json"
)]
pub(crate) struct CoverageArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// At or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) from: String,
    /// Before [default: now].
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Of this organization.
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Name keys that were not used for this long.
    #[arg(long, value_name = "TIME", default_value = "30d")]
    pub(crate) unused: String,
}

#[derive(Debug, Args)]
#[command(
    after_help = "A recording is the body of an answer as it was received: a stream of events or one JSON body.\n\
    One line per file; null is not known. Exit code 1 if a file cannot be read or recognised.\n\n\
    Example:\n  curl -s … > answer.sse; narrows meter answer.sse --json"
)]
pub(crate) struct MeterArguments {
    /// Recorded answers.
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// The dialect of all files (openai.chat, anthropic.messages, …) instead of detecting it.
    #[arg(long, value_name = "DIALECT")]
    pub(crate) dialect: Option<String>,
    /// Cut the recording into pieces first, to see that it does not matter.
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) split: Option<SplitWord>,
    /// Print one JSON line per file.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How a recording is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SplitWord {
    /// Byte by byte.
    Bytes,
    /// Into pieces of random length.
    Random,
}
