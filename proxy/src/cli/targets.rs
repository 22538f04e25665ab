//! `narrows targets`: providers and targets of a running gateway.

use super::args::{TargetsArguments, TargetsCommand};
use super::remote::Remote;
use super::table::{self, ABSENT};
use super::{Console, Outcome};
use crate::fetch::encode;
use anyhow::Result;
use serde::{Deserialize, Serialize};

/// A target as the administration API shows it.
#[derive(Deserialize, Serialize)]
struct Target {
    name: String,
    models: Vec<String>,
    mode: String,
    state: String,
    set_aside_seconds: Option<u64>,
    times_set_aside: u64,
}

#[derive(Deserialize)]
struct Listed {
    targets: Vec<Target>,
}

/// Runs the command that was given.
pub(crate) fn targets(arguments: &TargetsArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let remote = Remote::running(&arguments.remote)?;
    let (name, action) = match &arguments.command {
        TargetsCommand::List => {
            list(console, &remote.get::<Listed>("/targets")?.targets, arguments.json)?;
            return Ok(Outcome::Fine);
        }
        TargetsCommand::Drain { name } => (name, "drain"),
        TargetsCommand::Disable { name } => (name, "disable"),
        TargetsCommand::Enable { name } => (name, "enable"),
    };
    let target: Target = remote.post(&format!("/targets/{}/{action}", encode(name)), None)?;
    if arguments.json {
        writeln!(console.out, "{}", serde_json::to_string(&target)?)?;
    } else {
        writeln!(console.out, "{} is {}.", target.name, target.mode)?;
    }
    Ok(Outcome::Fine)
}

fn list(console: &mut Console<'_>, targets: &[Target], as_json: bool) -> Result<()> {
    if as_json {
        for target in targets {
            writeln!(console.out, "{}", serde_json::to_string(target)?)?;
        }
        return Ok(());
    }
    let row = |target: &Target| {
        let models = if target.models.is_empty() { ABSENT.to_owned() } else { target.models.join(", ") };
        let state = match target.set_aside_seconds {
            Some(seconds) => format!("{} ({seconds}s)", target.state),
            None => target.state.clone(),
        };
        vec![target.name.clone(), target.mode.clone(), state, target.times_set_aside.to_string(), models]
    };
    let rows: Vec<Vec<String>> = targets.iter().map(row).collect();
    table::write(console.out, &["NAME", "MODE", "STATE", "TIMES SET ASIDE", "MODELS"], &[3], &rows)?;
    Ok(())
}
