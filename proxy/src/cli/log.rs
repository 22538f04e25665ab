//! The log of a gateway, on standard error.

use crate::config::{Log, LogFormat, LogLevel};
use tracing_subscriber::EnvFilter;

/// Starts the log of this process. Does nothing where one runs already.
///
/// Libraries below are heard from `warn` up only, whatever the level: at finer ones they write heads of requests, and
/// those hold credentials. For the same reason no variable of the environment can open them.
pub(crate) fn start(log: &Log) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(filter(log.level)))
        .with_writer(std::io::stderr);
    // It fails where a log runs already, which is then the one.
    drop(match log.format {
        LogFormat::Text => builder.with_ansi(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    });
}

fn filter(level: LogLevel) -> String {
    match level {
        LogLevel::Error => "error".to_owned(),
        level => format!("warn,narrows={0},narrows_ledger={0}", level.as_str()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_never_speak_below_warn() {
        for level in LogLevel::ALL {
            let filter = filter(*level);
            assert!(filter.parse::<EnvFilter>().is_ok(), "{filter}");
            let general = filter.split(',').next().unwrap();
            assert!(general == "warn" || general == "error", "{filter}");
        }
    }
}
