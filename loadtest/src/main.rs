//! The load generator's command line.

use anyhow::Result;
use clap::{Parser, Subcommand};
use narrows_loadtest::compare;
use std::process::ExitCode;

/// Loads any AI gateway, and compares gateways on one machine.
#[derive(Parser)]
#[command(name = "narrows-loadtest", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure direct, bare Pingora, nginx and Narrows side by side.
    Compare(compare::Options),
}

fn main() -> Result<ExitCode> {
    let good = match Arguments::parse().command {
        Command::Compare(options) => compare::run(&options)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
