//! Alerts: raised by exchanges, kept by the ledger, told to those who want to know.
//!
//! Raising one never waits: it is counted, written to the log and handed to the ledger's queue. Everything slow is the
//! work of one task beside the administration's listeners (`deliver.rs`), which reads from the store what is due. So a
//! webhook that is dead delays no exchange, and nothing is forgotten by a restart.

pub(crate) mod deliver;
mod lines;
mod pace;
pub(crate) mod sign;

use crate::config::Secret;
use crate::config::settings::{self, LeastSeverity};
use crate::fetch::{FetchError, Origin};
use crate::gateway::Shared;
use crate::id::uuid_v7;
use crate::reach::Reach;
use lines::Lines;
use narrows_ledger::{AlertBacklog, Finding, NewAlert, Severity};
use narrows_policy::{Action, Caller, Stage, Surface};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// Something that somebody should look at. Holds no value that was found.
#[derive(Debug, Clone)]
pub(crate) struct Alert {
    /// Who called.
    pub(crate) caller: Arc<Caller>,
    /// The door it came through.
    pub(crate) surface: Surface,
    /// Where it was found.
    pub(crate) stage: Stage,
    /// The action that the policies ask for.
    pub(crate) action: Action,
    /// Whether it could be carried out.
    pub(crate) enforceable: bool,
    /// Whether it was carried out.
    pub(crate) enforced: bool,
    /// Policy rules that decided, the deciding one first.
    pub(crate) rules: Vec<Arc<str>>,
    /// The decision in one sentence.
    pub(crate) explanation: Box<str>,
    /// The conversation, if it is known.
    pub(crate) conversation: Option<Box<str>>,
    /// Id of the exchange.
    pub(crate) exchange: u128,
    /// The provider, if one was chosen.
    pub(crate) provider: Option<Arc<str>>,
    /// The model asked for.
    pub(crate) model: Option<Arc<str>>,
    /// The version of the policies.
    pub(crate) policy_version: u64,
    /// What was found.
    pub(crate) findings: Vec<Finding>,
    /// Whether it is an alert of its own, however soon it comes after another one of its rule.
    pub(crate) alone: bool,
}

/// The name of the webhook in the store, in metrics and in reports.
const WEBHOOK: &str = "webhook";

/// A webhook, ready to be told.
pub(crate) struct Sink {
    /// Its name in the store.
    pub(crate) name: Arc<str>,
    origin: Origin,
    secret: Secret,
    token: Option<Secret>,
    severity: LeastSeverity,
    timeout: Duration,
    give_up: Duration,
}

impl Sink {
    fn new(name: &str, webhook: &settings::AlertWebhook) -> Result<Sink, FetchError> {
        let reach = if webhook.private_network { Reach::Anywhere } else { Reach::Public };
        Ok(Sink {
            name: Arc::from(name),
            origin: Origin::within(&webhook.url, webhook.ca_file.as_deref(), reach)?,
            secret: webhook.secret.clone(),
            token: webhook.token.clone(),
            severity: webhook.severity,
            timeout: webhook.timeout,
            give_up: webhook.give_up,
        })
    }

    /// Whether it wants to know.
    fn wants(&self, severity: Severity) -> bool {
        severity >= self.severity.severity()
    }
}

/// What the configuration says about alerts.
pub(crate) struct Plan {
    window: Duration,
    /// Alerts of one organization that each webhook is told of in a minute.
    per_minute: usize,
    keep: usize,
    keep_days: usize,
    sinks: Vec<Arc<Sink>>,
}

impl Plan {
    /// Makes the webhooks ready.
    ///
    /// # Errors
    /// When a bundle of certificates cannot be used.
    pub(crate) fn new(settings: &settings::Alerts) -> Result<Plan, FetchError> {
        let sinks = settings.webhook.iter().map(|webhook| Sink::new(WEBHOOK, webhook).map(Arc::new));
        Ok(Plan {
            window: settings.dedup,
            per_minute: settings.per_minute,
            keep: settings.keep,
            keep_days: settings.keep_days,
            sinks: sinks.collect::<Result<_, _>>()?,
        })
    }
}

/// What all alerts of a process share.
#[derive(Default)]
pub(crate) struct Alerts {
    /// Wakes the task that tells.
    wake: Notify,
    lines: Lines,
    /// What waited when it was looked at last.
    backlog: Mutex<AlertBacklog>,
}

impl Alerts {
    /// What waited when it was looked at last.
    pub(crate) fn backlog(&self) -> AlertBacklog {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, backlog: AlertBacklog) {
        *self.backlog.lock().unwrap_or_else(PoisonError::into_inner) = backlog;
    }
}

/// Now, in UTC microseconds since the epoch.
fn now_us() -> i64 {
    i64::try_from(since_epoch().as_micros()).unwrap_or(i64::MAX)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

impl Shared {
    /// Raises an alert: counts it, writes a line to the log, and hands it on to be kept and told. Never waits; what is
    /// lost because too much waits already is counted (`narrows_alerts_lost_total`).
    pub(crate) fn raise(&self, alert: Alert) {
        let snapshot = self.snapshot();
        let plan = &snapshot.alerts;
        let severity = Severity::of(alert.action, alert.enforced);
        let rule = alert.rules.first().cloned().unwrap_or_else(|| Arc::from("none"));
        self.metrics.alert_raised(&rule, alert.stage, alert.action);
        let organization = &alert.caller.organization;
        let wanting = plan.sinks.iter().filter(|sink| sink.wants(severity));
        let sinks: Vec<Arc<str>> = wanting.map(|sink| Arc::clone(&sink.name)).collect();
        let id = uuid_v7(since_epoch());
        if let Some(left_out) = self.alerts.lines.take(since_epoch()) {
            tracing::warn!(
                alert = %uuid::Uuid::from_u128(id),
                %rule,
                severity = severity.as_str(),
                stage = alert.stage.as_str(),
                action = alert.action.as_str(),
                enforceable = alert.enforceable,
                enforced = alert.enforced,
                organization,
                team = alert.caller.team.as_deref(),
                key_id = alert.caller.key_id.as_deref(),
                exchange = %uuid::Uuid::from_u128(alert.exchange),
                findings = alert.findings.len(),
                left_out,
                "alert"
            );
        }
        let Alert { caller, surface, stage, action, enforceable, enforced, rules, .. } = alert;
        let taken = self.ledger.raise_alert(NewAlert {
            id,
            at_us: now_us(),
            caller,
            surface,
            stage,
            action,
            enforceable,
            enforced,
            severity,
            rules,
            explanation: alert.explanation,
            conversation: alert.conversation,
            exchange: alert.exchange,
            provider: alert.provider,
            model: alert.model,
            policy_version: alert.policy_version,
            findings: alert.findings,
            window_us: if alert.alone {
                0
            } else {
                i64::try_from(plan.window.as_micros()).unwrap_or(i64::MAX)
            },
            sinks,
        });
        if taken {
            self.alerts.wake.notify_one();
        }
    }
}

#[cfg(test)]
mod tests;
