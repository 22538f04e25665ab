//! Alerts: how long they are kept, and who is told.

use super::forms::Count;
use super::macros::{settings, words};
use super::path::Path;
use super::resolve::Check;
use super::secret::Secret;
use super::url::BaseUrl;
use narrows_ledger::Severity;
use std::path::PathBuf;
use std::time::Duration;

/// Shortest key of a signature, in bytes.
pub const SECRET_BYTES_MIN: usize = 16;
/// Most alerts that can be kept.
const KEEP_MAX: usize = 10_000_000;
/// Most days that alerts can be kept.
const KEEP_DAYS_MAX: usize = 3_650;
/// Most alerts of one organization that a webhook can be told of in a minute.
const PER_MINUTE_MAX: usize = 10_000;

settings! {
    /// Where alerts go, beside the log, the metrics and the store. They are listed and acknowledged with `narrows alerts` and
    /// the administration API in any case.
    pub struct Alerts {
        /// A service that is told of every alert.
        pub webhook: Option<AlertWebhook> = optional,
        /// Most alerts of one organization that it is told of in a minute; further ones wait their turn.
        pub per_minute: usize as Count<1, PER_MINUTE_MAX> = "60",
        /// Alerts of one policy rule about one conversation within this time, from the first on, are one.
        pub dedup: Duration = "10m",
        /// Most alerts kept; the oldest go first.
        pub keep: usize as Count<1, KEEP_MAX> = "100000",
        /// Days that an alert is kept after it happened last.
        pub keep_days: usize as Count<1, KEEP_DAYS_MAX> = "90",
    }

    /// A service that is told of alerts, in signed JSON; repeated until it answers with success.
    pub struct AlertWebhook {
        /// Its address; https, or http on a private network. It is shown to whoever may see the configuration: secrets belong
        /// into `secret` and `token`.
        pub url: BaseUrl = required,
        /// The key that requests are signed with, 16 characters or more, as `${VARIABLE}` or `file:/path`. Never shown.
        pub secret: Secret = required,
        /// Sent as `authorization: Bearer …`, where the service wants that too. Never shown.
        pub token: Option<Secret> = optional,
        /// Only alerts that are at least this severe.
        pub severity: LeastSeverity = "low",
        /// Longest wait for its answer, apart from connecting.
        pub timeout: Duration = "5s",
        /// How long it is tried, from when the alert was raised.
        pub give_up: Duration = "1d",
        /// Whether its address may be one of this machine or of a private network.
        pub private_network: bool = "false",
        /// PEM file with certificates to trust for it, in addition to the system's.
        pub ca_file: Option<PathBuf> = optional,
    }
}

words! {
    /// How severe an alert must be.
    pub enum LeastSeverity {
        /// All alerts.
        Low = "low",
        /// Something was kept from happening, or worse.
        Medium = "medium",
        /// Something went through that a policy would mask, or worse.
        High = "high",
        /// Something went through that a policy would refuse.
        Critical = "critical",
    }
}

impl LeastSeverity {
    /// The severity that is meant.
    pub fn severity(self) -> Severity {
        match self {
            LeastSeverity::Low => Severity::Low,
            LeastSeverity::Medium => Severity::Medium,
            LeastSeverity::High => Severity::High,
            LeastSeverity::Critical => Severity::Critical,
        }
    }
}

impl Check<'_, '_> {
    /// Whether the webhook can be told.
    pub(super) fn alerts(&mut self, alerts: &Alerts) {
        let Some(webhook) = &alerts.webhook else { return };
        let path = Path::of(&["alerts", "webhook"]);
        if webhook.secret.reveal().len() < SECRET_BYTES_MIN {
            let message = format!("the key of a signature has {SECRET_BYTES_MIN} characters or more");
            self.problem(&path.key("secret"), message, "draw one: openssl rand -hex 32");
        }
        if !webhook.url.is_tls() && !webhook.private_network {
            let message = "what alerts say would travel in clear text";
            let suggestion = "use https; or, if it is on this machine or in a private network, add `private_network: true`";
            self.problem(&path.key("url"), message, suggestion);
        }
        match &webhook.ca_file {
            Some(_) if !webhook.url.is_tls() => {
                let message = "ca_file has no effect on a plain http URL";
                self.problem(&path.key("ca_file"), message, "use https in `url`, or remove it");
            }
            Some(file) => {
                self.bundle(&path, file);
            }
            None => {}
        }
    }
}
