//! Alerts: what somebody should look at, how often it happened, and who was told.
//!
//! An alert never holds a value that was found. Raising one never waits and never touches the disk: it goes through a
//! bounded queue to the ledger's writing thread, and what finds no room is counted. Repeats of one rule in one
//! conversation within a window are one alert with a count.

use crate::inspection::Finding;
use crate::json::times;
use narrows_policy::{Action, Caller, Stage, Surface};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Most alerts that wait for the writer; beyond it they are counted and lost.
pub const ALERTS_PENDING_MAX: usize = 8_192;
/// Most alerts on one page.
pub const ALERT_PAGE_LIMIT: usize = 1_000;
/// Most alerts acknowledged by one call.
pub const ACKNOWLEDGE_MAX: usize = 1_000;
/// Longest note of an acknowledgement, in bytes.
pub const NOTE_BYTES_MAX: usize = 1_024;

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Low,
    /// Something was kept from happening.
    Medium,
    /// Something that a policy would mask went through.
    High,
    /// Something that a policy would refuse went through.
    Critical,
}

impl Severity {
    /// Every severity, the least first.
    pub const ALL: [Severity; 4] = [Severity::Low, Severity::Medium, Severity::High, Severity::Critical];

    /// The stable word used in configuration, the administration API and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
            Severity::Critical => "critical",
        }
    }

    /// The severity with this word.
    pub fn from_word(word: &str) -> Option<Severity> {
        Severity::ALL.into_iter().find(|severity| severity.as_str() == word)
    }

    /// What a decision amounts to: what went through in spite of a policy is worse than what was stopped.
    pub const fn of(action: Action, enforced: bool) -> Severity {
        match (action, enforced) {
            (Action::Log, _) => Severity::Low,
            (Action::Mask | Action::Block, true) => Severity::Medium,
            (Action::Mask, false) => Severity::High,
            (Action::Block, false) => Severity::Critical,
        }
    }
}

/// An alert to be raised.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAlert {
    /// UUIDv7 of the alert.
    pub id: u128,
    /// When, UTC microseconds since the epoch.
    pub at_us: i64,
    /// Who called.
    pub caller: Arc<Caller>,
    /// The door it came through.
    pub surface: Surface,
    /// Where it was found.
    pub stage: Stage,
    /// The action that the policies ask for.
    pub action: Action,
    /// Whether it could be carried out.
    pub enforceable: bool,
    /// Whether it was carried out.
    pub enforced: bool,
    /// How much it matters.
    pub severity: Severity,
    /// Policy rules that decided, the deciding one first: repeats are told by it. At most
    /// [`RULES_MAX`](crate::RULES_MAX) are kept.
    pub rules: Vec<Arc<str>>,
    /// The decision in one sentence; holds no value that was found.
    pub explanation: Box<str>,
    /// The conversation, if it is known.
    pub conversation: Option<Box<str>>,
    /// UUIDv7 of the exchange.
    pub exchange: u128,
    /// The provider, by its name in the configuration.
    pub provider: Option<Arc<str>>,
    /// The model asked for.
    pub model: Option<Arc<str>>,
    /// The version of the policies that decided.
    pub policy_version: u64,
    /// What was found; at most [`FINDINGS_MAX`](crate::FINDINGS_MAX) are kept.
    pub findings: Vec<Finding>,
    /// How long repeats count as one alert, in microseconds from the first.
    pub window_us: i64,
    /// Who is to be told, by names of webhooks in the configuration.
    pub sinks: Vec<Arc<str>>,
}

/// Whether somebody has looked at an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertState {
    /// Nobody has.
    Open,
    /// Somebody has said so.
    Acknowledged,
}

impl AlertState {
    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertState::Open => "open",
            AlertState::Acknowledged => "acknowledged",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<AlertState> {
        [AlertState::Open, AlertState::Acknowledged].into_iter().find(|state| state.as_str() == word)
    }
}

/// How far an alert is on its way to those who are to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Delivery {
    /// Nobody is to be told.
    None,
    /// It will be tried, or tried again.
    Pending,
    /// Everybody was told.
    Delivered,
    /// Somebody could not be told and it will not be tried again.
    Failed,
}

impl Delivery {
    /// Every state.
    pub const ALL: [Delivery; 4] = [Delivery::None, Delivery::Pending, Delivery::Delivered, Delivery::Failed];

    /// The stable word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Delivery::None => "none",
            Delivery::Pending => "pending",
            Delivery::Delivered => "delivered",
            Delivery::Failed => "failed",
        }
    }

    /// The state with this word.
    pub fn from_word(word: &str) -> Option<Delivery> {
        Delivery::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An alert as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertInfo {
    /// UUIDv7 of the alert.
    pub id: String,
    /// Organization.
    pub organization: String,
    /// When it happened first, UTC microseconds since the epoch.
    #[serde(rename = "at", with = "times")]
    pub at_us: Option<i64>,
    /// When it happened last.
    #[serde(rename = "last_at", with = "times")]
    pub last_at_us: Option<i64>,
    /// How often it happened.
    pub count: u64,
    /// How much it matters: the highest of all times.
    pub severity: Severity,
    /// Where it was found first.
    pub stage: Stage,
    /// The action that the policies ask for: the strictest of all times.
    pub action: Action,
    /// Whether it could be carried out, the first time.
    pub enforceable: bool,
    /// Whether it was carried out every time.
    pub enforced: bool,
    /// Policy rules that decided the first time, the deciding one first.
    pub rules: Vec<String>,
    /// What the first finding is.
    pub entity: Option<String>,
    /// The first decision in one sentence.
    pub explanation: String,
    /// The conversation.
    pub conversation: Option<String>,
    /// UUIDv7 of the first exchange; `narrows records` shows it.
    pub exchange: String,
    /// Team.
    pub team: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Service account.
    pub service_account: Option<String>,
    /// Project.
    pub project: Option<String>,
    /// Public id of the virtual key.
    pub key_id: Option<String>,
    /// The door it came through.
    pub surface: String,
    /// The provider.
    pub provider: Option<String>,
    /// The model asked for.
    pub model: Option<String>,
    /// The version of the policies, 16 hexadecimal digits.
    pub policy_version: String,
    /// What was found the first time, as in the `findings` of a record; never a value.
    pub evidence: Vec<serde_json::Value>,
    /// Whether somebody has looked at it.
    pub state: AlertState,
    /// When somebody said so.
    #[serde(rename = "acknowledged_at", with = "times")]
    pub acknowledged_at_us: Option<i64>,
    /// Who: public id of an admin token, or a program.
    pub acknowledged_by: Option<String>,
    /// What they had to say.
    pub note: Option<String>,
    /// How far it is on its way: the worst of `deliveries`.
    pub delivery: Delivery,
    /// Each of those who are to be told.
    pub deliveries: Vec<DeliveryInfo>,
}

/// How far an alert is on its way to one webhook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryInfo {
    /// Name of the webhook in the configuration.
    pub sink: String,
    /// How it stands.
    pub state: Delivery,
    /// How often it was tried.
    pub attempts: u32,
    /// When it is tried next.
    #[serde(rename = "next_try_at", with = "times")]
    pub next_try_us: Option<i64>,
    /// Why the last try failed. Never holds a secret.
    pub last_error: Option<String>,
}

/// The state of all deliveries of an alert, in one word.
pub(crate) fn overall(deliveries: &[DeliveryInfo]) -> Delivery {
    let any = |state| deliveries.iter().any(|delivery| delivery.state == state);
    match () {
        () if any(Delivery::Failed) => Delivery::Failed,
        () if any(Delivery::Pending) => Delivery::Pending,
        () if any(Delivery::Delivered) => Delivery::Delivered,
        () => Delivery::None,
    }
}

/// Which alerts are wanted. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AlertFilter {
    /// Happened last at or after, UTC microseconds since the epoch.
    pub from_us: Option<i64>,
    /// Happened first before, UTC microseconds since the epoch.
    pub to_us: Option<i64>,
    /// Organization.
    pub organization: Option<String>,
    /// The deciding policy rule.
    pub rule: Option<String>,
    /// What the first finding is.
    pub entity: Option<String>,
    /// Stage.
    pub stage: Option<Stage>,
    /// At least this severe.
    pub severity: Option<Severity>,
    /// Conversation.
    pub conversation: Option<String>,
    /// Whether somebody has looked at it.
    pub state: Option<AlertState>,
    /// How far it is on its way.
    pub delivery: Option<Delivery>,
}

/// A part of a list of alerts, the newest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AlertPage {
    /// The alerts.
    pub alerts: Vec<AlertInfo>,
    /// Where to go on; `None` at the end.
    pub next: Option<String>,
}

/// An alert that is to be told to somebody now.
#[derive(Debug, Clone, PartialEq)]
pub struct DueAlert {
    /// The alert.
    pub alert: AlertInfo,
    /// How often it was tried before.
    pub attempts: u32,
}

/// What became of a try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// It was taken.
    Delivered,
    /// It was not, and is tried again at this time (UTC microseconds since the epoch).
    Later(String, i64),
    /// It was not, and is not tried again.
    Failed(String),
    /// It was not tried, because too many are told at once; it is at this time.
    Deferred(i64),
}

/// How many alerts wait for what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertBacklog {
    /// Nobody has looked at them.
    pub open: u64,
    /// Deliveries that will be tried.
    pub pending: u64,
    /// Deliveries that will not be tried again.
    pub failed: u64,
    /// When the oldest delivery that will be tried was raised.
    pub oldest_us: Option<i64>,
    /// When the next one is due.
    pub next_try_us: Option<i64>,
}

/// How alerts are doing on their way to the store, since the ledger was opened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AlertStats {
    /// Raised and taken.
    pub raised: u64,
    /// Raised and lost, because too many waited.
    pub dropped: u64,
    /// Taken and not stored yet.
    pub waiting: u64,
    /// Stored as alerts of their own.
    pub stored: u64,
    /// Counted as repeats of others.
    pub repeated: u64,
}

/// By what sums of decisions can be split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DecisionDimension {
    /// The hour (UTC), as `2026-01-31T13:00:00Z`.
    Hour,
    /// The day (UTC), as `2026-01-31`.
    Day,
    /// Organization.
    Organization,
    /// `policy` for rules of policies, `detector` for rules of detectors.
    Kind,
    /// Id of the rule.
    Rule,
    /// What was found.
    Entity,
    /// Stage.
    Stage,
    /// The strictest action of the stage; `allow` for none.
    Action,
    /// Whether it was carried out.
    Enforced,
}

impl DecisionDimension {
    /// Every dimension.
    pub const ALL: [DecisionDimension; 9] = [
        DecisionDimension::Hour,
        DecisionDimension::Day,
        DecisionDimension::Organization,
        DecisionDimension::Kind,
        DecisionDimension::Rule,
        DecisionDimension::Entity,
        DecisionDimension::Stage,
        DecisionDimension::Action,
        DecisionDimension::Enforced,
    ];

    /// The stable word used in reports and on the command line.
    pub const fn as_str(self) -> &'static str {
        match self {
            DecisionDimension::Hour => "hour",
            DecisionDimension::Day => "day",
            DecisionDimension::Organization => "organization",
            DecisionDimension::Kind => "kind",
            DecisionDimension::Rule => "rule",
            DecisionDimension::Entity => "entity",
            DecisionDimension::Stage => "stage",
            DecisionDimension::Action => "action",
            DecisionDimension::Enforced => "enforced",
        }
    }

    /// The dimension with this word.
    pub fn from_word(word: &str) -> Option<DecisionDimension> {
        DecisionDimension::ALL.into_iter().find(|dimension| dimension.as_str() == word)
    }
}

/// Which decisions are wanted. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DecisionFilter {
    /// At or after, UTC microseconds since the epoch; the hour it falls in counts.
    pub from_us: Option<i64>,
    /// Before, UTC microseconds since the epoch; the hour it falls in counts.
    pub to_us: Option<i64>,
    /// Organization.
    pub organization: Option<String>,
    /// `policy` or `detector`; without it policies, so that no exchange is counted twice.
    pub kind: Option<String>,
    /// Id of the rule.
    pub rule: Option<String>,
    /// Stage.
    pub stage: Option<Stage>,
    /// The strictest action of the stage, a word; `allow` for none.
    pub action: Option<String>,
}

/// One line of a report of decisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecisionRow {
    /// The group, one value per dimension asked for.
    pub group: Vec<(DecisionDimension, String)>,
    /// Exchanges. One in which several rules decided counts for each.
    pub exchanges: u64,
    /// Findings in them.
    pub findings: u64,
}

impl Serialize for DecisionRow {
    /// One flat object: the dimensions by name, then the sums.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut out = serializer.serialize_map(None)?;
        for (dimension, value) in &self.group {
            match dimension {
                DecisionDimension::Enforced => out.serialize_entry(dimension.as_str(), &(value == "true"))?,
                _ => out.serialize_entry(dimension.as_str(), value)?,
            }
        }
        out.serialize_entry("exchanges", &self.exchanges)?;
        out.serialize_entry("findings", &self.findings)?;
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back() {
        for severity in Severity::ALL {
            assert_eq!(Severity::from_word(severity.as_str()), Some(severity));
            assert_eq!(serde_json::to_value(severity).unwrap(), severity.as_str());
        }
        for state in Delivery::ALL {
            assert_eq!(Delivery::from_word(state.as_str()), Some(state));
        }
        for dimension in DecisionDimension::ALL {
            assert_eq!(DecisionDimension::from_word(dimension.as_str()), Some(dimension));
        }
        assert_eq!(AlertState::from_word("open"), Some(AlertState::Open));
        assert_eq!(AlertState::from_word("closed"), None);
    }

    #[test]
    fn what_went_through_is_worse_than_what_was_stopped() {
        for action in [Action::Mask, Action::Block] {
            assert!(Severity::of(action, false) > Severity::of(action, true));
        }
        assert!(Severity::of(Action::Block, false) > Severity::of(Action::Mask, false));
        assert_eq!(Severity::of(Action::Log, true), Severity::Low);
    }
}
