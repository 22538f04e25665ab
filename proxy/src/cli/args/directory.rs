//! What can be typed about organizations, users, service accounts, teams and projects.

use super::StoreArguments;
use clap::{Args, Subcommand};

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows users create --name ada --display-name 'Ada L.' --email ada@example.com\n  \
    narrows teams create --name red --member ada --member bob\n  \
    narrows projects create --name search --team red\n  \
    narrows users disable ada            none of her keys works any more, within a second\n  \
    narrows users list --team red --admin https://gateway.example:9465\n\n\
    Keys say whose they are by name; a name needs no entry here, unless directory.require_known_owners says so. What is\n\
    meant is told by name or by public id.")]
pub(crate) struct DirectoryArguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,
    /// The organization that is meant [default: the configuration's; list: all].
    #[arg(long, global = true)]
    pub(crate) organization: Option<String>,
    #[command(subcommand)]
    pub(crate) command: DirectoryCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DirectoryCommand {
    /// List them, the oldest first.
    List {
        /// Of this team: users who are members, projects that belong to it.
        #[arg(long)]
        team: Option<String>,
        /// In this state: active, disabled or deleted. Without: all that were not deleted.
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Most to show.
        #[arg(long, value_name = "COUNT", default_value_t = 1_000)]
        limit: usize,
    },
    /// Show one.
    Show {
        /// Its name or public id.
        name: String,
    },
    /// Add one.
    Create(EntryArguments),
    /// Change one.
    Update(EntryUpdate),
    /// Switch one off: none of its keys works until it is enabled.
    Disable {
        /// Its name or public id.
        name: String,
    },
    /// Switch one on again; its keys are as before.
    Enable {
        /// Its name or public id.
        name: String,
    },
    /// Delete one for good, and disable its keys; records keep its name.
    Delete {
        /// Its name or public id.
        name: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct EntryArguments {
    /// Its name, which keys use and which stays.
    #[arg(long)]
    pub(crate) name: String,
    /// A name for people to read.
    #[arg(long, value_name = "TEXT")]
    pub(crate) display_name: Option<String>,
    /// Address of electronic mail of a user.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// What another directory calls it.
    #[arg(long, value_name = "ID")]
    pub(crate) external_id: Option<String>,
    /// The team of a project.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// A user who is a member of a team; repeat for more.
    #[arg(long = "member", value_name = "USER")]
    pub(crate) members: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct EntryUpdate {
    /// Its name or public id.
    pub(crate) name: String,
    /// A name for people to read; empty takes it away.
    #[arg(long, value_name = "TEXT")]
    pub(crate) display_name: Option<String>,
    /// Address of electronic mail of a user; empty takes it away.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) email: Option<String>,
    /// What another directory calls it; empty takes it away.
    #[arg(long, value_name = "ID")]
    pub(crate) external_id: Option<String>,
    /// The team of a project; empty takes it away.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// A user who becomes a member of a team; repeat for more.
    #[arg(long = "add-member", value_name = "USER")]
    pub(crate) add_members: Vec<String>,
    /// A user who is a member no longer; repeat for more.
    #[arg(long = "remove-member", value_name = "USER")]
    pub(crate) remove_members: Vec<String>,
}
