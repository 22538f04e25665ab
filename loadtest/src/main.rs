//! The load generator's command line.

use anyhow::Result;
use clap::{Parser, Subcommand};
use narrows_loadtest::{compare, faults, idle, replay, run, soak};
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
    /// Load one gateway with one kind of work; thresholds set the exit status.
    Run(run::Options),
    /// Open thousands of silent streams and print what each costs in memory.
    Idle(idle::Options),
    /// Play recorded streams through a gateway, cut anywhere, and compare bytes and usage.
    Replay(replay::Options),
    /// Make thousands of exchanges with random faults, and compare records with the provider's bill.
    Faults(faults::Options),
    /// Load a gateway for a long time, and watch its memory and descriptors.
    Soak(soak::Options),
    /// Measure direct, bare Pingora, nginx and Narrows side by side.
    Compare(compare::Options),
    /// Count the instructions of a request, which noise does not move. Needs valgrind.
    Instructions(compare::InstructionOptions),
}

fn main() -> Result<ExitCode> {
    let good = match Arguments::parse().command {
        Command::Run(options) => run::run(&options)?,
        Command::Idle(options) => idle::run(&options)?,
        Command::Replay(options) => replay::run(&options)?,
        Command::Faults(options) => faults::run(&options)?,
        Command::Soak(options) => soak::run(&options)?,
        Command::Compare(options) => compare::run(&options)?,
        Command::Instructions(options) => compare::count_instructions(&options)?,
    };
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
