//! The command line.
//!
//! Every command writes results to one writer and everything else to another, and says by its exit code how it
//! went: 0 well, 1 not (the cause is printed, with what to do), 2 misused (as clap has it).

mod alerts;
mod args;
mod budgets;
mod bulk;
mod config;
mod connect;
mod content;
mod coverage;
mod credentials;
mod csv;
mod demo;
mod directory;
mod health;
mod keys;
mod meter;
mod prices;
mod reconcile;
mod remote;
mod report;
mod rows;
mod run;
mod scan;
mod store;
mod table;
mod targets;
mod time;
mod tokens;
mod verify;

use anyhow::Result;
use args::{Arguments, Command, UsageCommand};
use clap::Parser;
use narrows_ledger::EntryKind;
use std::ffi::OsString;
use std::io::{ErrorKind, Write};

/// Where a command writes.
pub(crate) struct Console<'a> {
    /// Results.
    pub(crate) out: &'a mut dyn Write,
    /// Warnings and errors.
    pub(crate) err: &'a mut dyn Write,
}

/// How a command went, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// As asked.
    Fine = 0,
    /// Not as asked; the reason has been written.
    Failed = 1,
}

/// Runs the command that `arguments` (program name first) asks for; gives the exit code.
pub fn main(arguments: impl IntoIterator<Item = OsString>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            let text = error.render();
            // Nothing is left to be told if even this cannot be written.
            drop(if error.use_stderr() { write!(err, "{text}") } else { write!(out, "{text}") });
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let mut console = Console { out, err };
    match run(arguments.command, &mut console) {
        Ok(outcome) => outcome as u8,
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            drop(writeln!(console.err, "error: {error:#}"));
            Outcome::Failed as u8
        }
    }
}

fn run(command: Command, console: &mut Console<'_>) -> Result<Outcome> {
    match command {
        Command::Run(arguments) => run::run(&arguments, console),
        Command::Demo(arguments) => demo::demo(&arguments, console),
        Command::Check(arguments) => config::check(&arguments, console),
        Command::Health(arguments) => health::health(&arguments, console),
        Command::Config(arguments) => config::config(&arguments, console),
        Command::Scan(arguments) => scan::scan(&arguments, console),
        Command::Keys(arguments) => keys::keys(&arguments, console),
        Command::Orgs(arguments) => directory::directory(EntryKind::Organization, &arguments, console),
        Command::Users(arguments) => directory::directory(EntryKind::User, &arguments, console),
        Command::ServiceAccounts(arguments) => {
            directory::directory(EntryKind::ServiceAccount, &arguments, console)
        }
        Command::Teams(arguments) => directory::directory(EntryKind::Team, &arguments, console),
        Command::Projects(arguments) => directory::directory(EntryKind::Project, &arguments, console),
        Command::Connect(arguments) => connect::connect(&arguments, console),
        Command::Credentials(arguments) => credentials::credentials(&arguments, console),
        Command::Content(arguments) => content::content(&arguments, console),
        Command::Budgets(arguments) => budgets::budgets(&arguments, console),
        Command::Targets(arguments) => targets::targets(&arguments, console),
        Command::Tokens(arguments) => tokens::tokens(&arguments, console),
        Command::Alerts(arguments) => alerts::alerts(&arguments, console),
        Command::Audit(arguments) => tokens::audit(&arguments, console),
        Command::Usage(arguments) => match &arguments.command {
            None => report::usage(&arguments, console),
            Some(UsageCommand::Verify(verify)) => verify::verify(verify, &arguments.store, console),
            Some(UsageCommand::Reconcile(reconcile)) => {
                reconcile::reconcile(reconcile, &arguments.store, console)
            }
        },
        Command::Records(arguments) => report::records(&arguments, console),
        Command::Coverage(arguments) => coverage::coverage(&arguments, console),
        Command::Meter(arguments) => meter::meter(&arguments, console),
        Command::Prices(arguments) => prices::prices(&arguments, console),
        Command::Version => {
            writeln!(console.out, "narrows {}", env!("CARGO_PKG_VERSION"))?;
            Ok(Outcome::Fine)
        }
    }
}

/// Whether somebody who read our output (`| head`) has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}

#[cfg(test)]
mod tests;
