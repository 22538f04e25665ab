//! What can be typed about virtual keys.

use super::StoreArguments;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows keys create --name laptop --user ada --team research --expires 90d\n  \
    narrows keys create --name ci --service-account ci --model 'gpt-*' --model 'claude-*'\n  \
    narrows keys create --from people.csv --expires 90d --output secrets.csv\n  \
    narrows keys list --store narrows.db\n  \
    narrows keys rotate 4kX0bYw2mQ7d --overlap 24h\n  \
    NARROWS_ADMIN_TOKEN=nra_… narrows keys list --admin https://gateway.example:9465\n\n\
    Changes work at once, also while the gateway runs (within a second).")]
pub(crate) struct KeysArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Create a key and print it, this one time.
    Create(Box<CreateCommand>),
    /// List keys.
    List {
        /// Also those that were deleted.
        #[arg(long)]
        deleted: bool,
        /// Print CSV with a header.
        #[arg(long)]
        csv: bool,
    },
    /// Show one key (never its secret, which is not kept).
    Show {
        /// Public id of the key, as `keys list` shows it, or the whole key.
        id: String,
    },
    /// Switch keys off: one, or many together.
    Disable {
        /// Public ids of the keys.
        #[arg(required_unless_present = "from", conflicts_with = "from", value_name = "ID")]
        ids: Vec<String>,
        /// A file of ids: one on a line, or CSV or JSON lines with an `id`, as `keys list` and `keys create` write them.
        #[arg(long, value_name = "FILE")]
        from: Option<PathBuf>,
    },
    /// Switch a disabled key on again.
    Enable {
        /// Public id of the key.
        id: String,
    },
    /// Give a key a new secret and print it, this one time.
    Rotate {
        /// Public id of the key.
        id: String,
        /// How long the old secret still works, as 24h or 0s.
        #[arg(long, value_name = "TIME", default_value = "0s")]
        overlap: String,
    },
    /// Print the hash of a key, for the file of declared keys (`keys.file`); the key is read from standard input.
    Hash {
        /// Draw a new key and print it as well, this one time.
        #[arg(long)]
        new: bool,
    },
    /// Delete a key for good; records keep its id.
    Delete {
        /// Public id of the key.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CreateCommand {
    /// Make a key for each row of a file, all or none: CSV with a header (name, organization, team, user,
    /// service_account, project, models with blanks between them, expires, metadata.NAME) or a JSON object on each line.
    /// The other options hold for rows that do not say otherwise. Names must be new in their organization.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["name", "user", "service_account"])]
    pub(crate) from: Option<PathBuf>,
    /// Where the keys of --from are written, as a new file that only you can read: CSV, or with --json JSON lines. Without
    /// it they are printed.
    #[arg(long, value_name = "FILE", requires = "from")]
    pub(crate) output: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) key: CreateArguments,
}

#[derive(Debug, Clone, Args, Default)]
pub(crate) struct CreateArguments {
    /// A name for people.
    #[arg(long, required_unless_present = "from")]
    pub(crate) name: Option<String>,
    /// Organization that owns the key [default: the configuration's].
    #[arg(long)]
    pub(crate) organization: Option<String>,
    /// Team.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Person it belongs to.
    #[arg(long, conflicts_with = "service_account")]
    pub(crate) user: Option<String>,
    /// Program it belongs to.
    #[arg(long, value_name = "NAME")]
    pub(crate) service_account: Option<String>,
    /// Project.
    #[arg(long)]
    pub(crate) project: Option<String>,
    /// A model it may use, or a beginning of names with a star (gpt-*); repeat for more. Without: all.
    #[arg(long = "model", value_name = "MODEL")]
    pub(crate) models: Vec<String>,
    /// When it stops working: after a time (90d), or at one (2026-12-31).
    #[arg(long, value_name = "TIME")]
    pub(crate) expires: Option<String>,
    /// Free metadata, copied to every record; repeat for more.
    #[arg(long = "metadata", value_name = "NAME=VALUE")]
    pub(crate) metadata: Vec<String>,
}
