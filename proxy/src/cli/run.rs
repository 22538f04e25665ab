//! `narrows run`: the gateway with a configuration.

use super::args::RunArguments;
use super::{Console, Outcome};
use crate::config::{self, warning};
use crate::prices;
use crate::server::{self, Ready};
use crate::telemetry::log;
use anyhow::{Context, Result};
use std::io::Write;

/// Starts the gateway and stays until it is stopped.
pub(crate) fn run(arguments: &RunArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let loaded = match config::load(&arguments.config) {
        Ok(loaded) => loaded,
        Err(problems) => {
            let count = problems.as_slice().len();
            writeln!(
                console.err,
                "{problems}\n\nnot started: {count} problem{}",
                if count == 1 { "" } else { "s" }
            )?;
            return Ok(Outcome::Failed);
        }
    };
    for warning in &loaded.warnings {
        writeln!(console.err, "warning: {warning}")?;
    }
    for line in warning::fail_open(&loaded.settings) {
        writeln!(console.err, "fail-open: {line}")?;
    }
    log::start(&loaded.settings.log);
    prices::make_ready(&loaded.settings.prices.list);
    let admin_tls = loaded.settings.listen.admin.as_ref().is_some_and(|admin| admin.tls.is_some());
    let tls: Vec<bool> =
        loaded.settings.listen.gateway.iter().map(|listener| listener.tls.is_some()).collect();
    server::run(loaded, move |ready| announce(&ready, &tls, admin_tls))
        .with_context(|| format!("the gateway of {} stopped", arguments.config.display()))?;
    Ok(Outcome::Fine)
}

/// Says where the gateway listens, on standard error: standard output may carry records.
fn announce(ready: &Ready, tls: &[bool], admin_tls: bool) {
    let mut text = String::new();
    let scheme = |tls: bool| if tls { "https" } else { "http" };
    for (address, tls) in ready.gateway.iter().zip(tls) {
        text.push_str(&format!("gateway   {}://{address}\n", scheme(*tls)));
    }
    text.push_str(&format!("metrics   http://{}/metrics\n", ready.metrics));
    if let Some(admin) = ready.admin {
        text.push_str(&format!("admin     {}://{admin}\n", scheme(admin_tls)));
    }
    if let Some(token) = &ready.admin_token {
        let token = token.expose();
        text.push_str(&format!("admin token, shown this one time: {token}\n"));
    }
    // Whether anybody reads it does not matter to a gateway that runs.
    drop(std::io::stderr().write_all(text.as_bytes()));
}
