//! What can be typed about prices.

use crate::prices::import::Format;
use clap::{Args, Subcommand};
use std::path::PathBuf;

#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    narrows prices show gpt-4o\n  \
    narrows prices show claude-opus-4-6 --provider anthropic --at 2026-02-01\n  \
    narrows prices import litellm model_prices_and_context_window.json -o prices.json\n  \
    narrows prices diff prices.json\n\n\
    A gateway takes a file of prices in the place of the built-in ones with `prices: {file: prices.json}`.")]
pub(crate) struct PricesArguments {
    #[command(subcommand)]
    pub(crate) command: PricesCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PricesCommand {
    /// The price of a model, or a list of all.
    Show(ShowArguments),
    /// What a file of prices changes.
    Diff(DiffArguments),
    /// Turn prices in another format into ours.
    Import(ImportArguments),
}

#[derive(Debug, Args)]
pub(crate) struct ShowArguments {
    /// A model, as it is asked of the provider. Without it: all.
    #[arg(value_name = "MODEL")]
    pub(crate) model: Option<String>,
    /// Of this provider: a word of the list of prices, or with --config one of the configuration.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// As of a time: a time ago (24h, 7d), a day (2026-11-01) or a time (2026-11-01T08:00:00Z); UTC. Default: now.
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// What the providers of this configuration charge for the model, with their factors and prices of their own.
    #[arg(long, short, value_name = "FILE", requires = "model")]
    pub(crate) config: Option<PathBuf>,
    /// Prices of this file. Default: the built-in ones.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    pub(crate) file: Option<PathBuf>,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit code 1 if they differ.")]
pub(crate) struct DiffArguments {
    /// The newer prices.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The older prices. Default: the built-in ones.
    #[arg(value_name = "OLDER")]
    pub(crate) older: Option<PathBuf>,
    /// Only of this provider.
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// Print JSON, one object per line.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_help = "What is left out or rounded is told on standard error.")]
pub(crate) struct ImportArguments {
    /// The format of the file.
    #[arg(value_enum, value_name = "FORMAT")]
    pub(crate) format: Format,
    /// The file.
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Where the prices are written. Default: standard output.
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The day as of which they are right. Default: today.
    #[arg(long, value_name = "DAY")]
    pub(crate) date: Option<String>,
    /// What they are from, for those who read the file; added to the format's name.
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: Option<String>,
    /// Only of these providers, by their words in the result, separated by commas.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
}
