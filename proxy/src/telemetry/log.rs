//! The log of a gateway, on standard error.

use crate::config::{Log, LogFormat, LogLevel};
use std::sync::OnceLock;
use tracing_subscriber::EnvFilter;

/// Changes what the log of this process lets through.
type SetFilter = Box<dyn Fn(EnvFilter) + Send + Sync>;

static SET_FILTER: OnceLock<SetFilter> = OnceLock::new();

/// Starts the log of this process. Does nothing where one runs already.
///
/// Libraries below are heard from `warn` up only, whatever the level: at finer ones they write heads of requests, and
/// those hold credentials. For the same reason no variable of the environment can open them.
pub(crate) fn start(log: &Log) {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr);
    let level = EnvFilter::new(filter(log.level));
    // It fails where a log runs already, which is then the one.
    let (started, set): (_, SetFilter) = match log.format {
        LogFormat::Text => {
            let builder = builder.with_ansi(false).with_env_filter(level).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_env_filter(level).with_filter_reloading();
            let handle = builder.reload_handle();
            (builder.try_init(), Box::new(move |filter| drop(handle.reload(filter))))
        }
    };
    if started.is_ok() {
        // There is one log, so nothing can have been set before.
        drop(SET_FILTER.set(set));
    }
}

/// From now on the log lets `level` through; where no log was started, nothing happens.
pub(crate) fn set_level(level: LogLevel) {
    if let Some(set) = SET_FILTER.get() {
        set(EnvFilter::new(filter(level)));
    }
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
