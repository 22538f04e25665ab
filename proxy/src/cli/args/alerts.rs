//! What can be typed about alerts.

use super::StoreArguments;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  narrows alerts list --state open --severity high\n  \
    narrows alerts show 0199a3c4-5e6f-7a81-9b0c-1d2e3f405162\n  \
    narrows alerts ack 0199a3c4-5e6f-7a81-9b0c-1d2e3f405162 --note \"key rotated\"\n  \
    narrows alerts sums --by day,rule,action --from 30d")]
pub(crate) struct AlertsArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(subcommand)]
    pub(crate) command: AlertsCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AlertsCommand {
    /// List alerts, the newest first.
    List {
        #[command(flatten)]
        filter: Box<AlertFilterArguments>,
        /// Most alerts to show.
        #[arg(long, value_name = "COUNT", default_value_t = 50)]
        limit: usize,
    },
    /// Show all of one alert: what was found, and who was told.
    Show {
        /// Id of the alert.
        id: String,
    },
    /// Say that somebody has looked at alerts: at all that are named or, if one is not there, at none.
    Ack {
        /// Ids of alerts, at most 1,000.
        #[arg(required = true, value_name = "ID")]
        ids: Vec<String>,
        /// What there is to say about it.
        #[arg(long)]
        note: Option<String>,
    },
    /// Sum up in how many exchanges policies flagged, masked or refused.
    Sums(SumsArguments),
}

#[derive(Debug, Args)]
pub(crate) struct AlertFilterArguments {
    /// Happened last at or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Happened first before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Of this organization.
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Raised by this policy rule.
    #[arg(long, value_name = "ID")]
    pub(crate) rule: Option<String>,
    /// About this kind of value: GITHUB_TOKEN, EMAIL, …
    #[arg(long)]
    pub(crate) entity: Option<String>,
    /// In this stage: request, response, stream.
    #[arg(long)]
    pub(crate) stage: Option<String>,
    /// At least this severe: low, medium, high, critical.
    #[arg(long)]
    pub(crate) severity: Option<String>,
    /// Of this conversation.
    #[arg(long, value_name = "ID")]
    pub(crate) conversation: Option<String>,
    /// open or acknowledged.
    #[arg(long)]
    pub(crate) state: Option<String>,
    /// none, pending, delivered or failed.
    #[arg(long)]
    pub(crate) delivery: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SumsArguments {
    /// At or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC, whole hours.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
    /// Of this organization.
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Of this rule.
    #[arg(long, value_name = "ID")]
    pub(crate) rule: Option<String>,
    /// By rules of detectors (what was found) in place of rules of policies (what was decided).
    #[arg(long)]
    pub(crate) detectors: bool,
    /// What to split by, separated by commas: hour, day, organization, kind, rule, entity, stage, action, enforced.
    #[arg(long, value_name = "WHAT", value_delimiter = ',', default_value = "rule,action,enforced")]
    pub(crate) by: Vec<String>,
}
