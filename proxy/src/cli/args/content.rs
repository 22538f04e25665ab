//! What can be typed about kept prompts and answers.

use super::StoreArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows content show 0199a3c4-5e6f-7a81-9b0c-1d2e3f405162 --reason \"incident 7\"\n  \
    narrows content search --contains invoice --user ada --reason \"incident 7\"\n  \
    narrows content export --user ada --reason \"case 12\" --to-file ada.jsonl\n  \
    narrows content verify ada.jsonl\n  \
    narrows content hold --user ada --reason \"case 12\"\n  \
    narrows content erase --user ada --reason \"she asked for it\"\n\n\
    Runs where the store and its master key are. Each of these is written into the trail, with its reason.")]
pub(crate) struct ContentArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(subcommand)]
    pub(crate) command: ContentCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ContentCommand {
    /// Show what was asked and answered in one exchange.
    Show {
        /// Id of the record.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Find exchanges in which a text stands, whatever its case.
    Search {
        /// The text.
        #[arg(long, value_name = "TEXT")]
        contains: String,
        #[command(flatten)]
        filter: ContentFilterArguments,
        /// Go on where a search before stopped.
        #[arg(long, value_name = "ID")]
        after: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Write records and content to a file, with proof that nothing was changed.
    Export {
        #[command(flatten)]
        filter: ContentFilterArguments,
        /// The file; it must not be there yet.
        #[arg(long, value_name = "FILE")]
        to_file: PathBuf,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Check that an export is what it was. Needs no store.
    Verify {
        /// The file.
        file: PathBuf,
        /// The key it must be signed with, as `narrows content export` tells it. Without it: the key it names.
        #[arg(long, value_name = "HEX")]
        public_key: Option<String>,
    },
    /// Erase somebody's content, and the keys it was sealed with. Records stay.
    Erase {
        #[command(flatten)]
        whose: Whose,
        /// Organization [default: that of the exchange, else the configuration's].
        #[arg(long)]
        organization: Option<String>,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// Hold content: neither retention nor erasure takes it.
    Hold {
        #[command(flatten)]
        filter: HoldArguments,
        /// Why.
        #[arg(long)]
        reason: String,
    },
    /// List holds.
    Holds {
        /// Also those that were released.
        #[arg(long)]
        released: bool,
    },
    /// Release a hold.
    Release {
        /// Id of the hold.
        id: String,
        /// Why.
        #[arg(long)]
        reason: String,
    },
}

/// Whose content.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// Of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Of this service account.
    #[arg(long)]
    pub(crate) service_account: Option<String>,
    /// Of this exchange.
    #[arg(long, value_name = "ID")]
    pub(crate) record: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ContentFilterArguments {
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
    #[arg(long)]
    pub(crate) service_account: Option<String>,
    /// Began at or after: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Began before.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct HoldArguments {
    /// In this organization [default: that of the exchange, else the configuration's].
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Of this team.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Of this user.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Of this exchange.
    #[arg(long, value_name = "ID")]
    pub(crate) record: Option<String>,
    /// Began at or after.
    #[arg(long, value_name = "TIME")]
    pub(crate) from: Option<String>,
    /// Began before; without it what is yet to come is held too.
    #[arg(long, value_name = "TIME")]
    pub(crate) to: Option<String>,
}
