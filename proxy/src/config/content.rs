//! Prompts and answers: whose are kept, for how long.

use super::form::{Form, Reader, Shape};
use super::forms::{Size, text};
use super::macros::{settings, words};
use super::path::Path;
use super::resolve::Check;
use super::tree::Node;
use narrows_ledger::content::SIDE_BYTES_MAX;
use serde_json::{Value as Json, json};
use std::time::Duration;

/// Longest time that content can be kept, in days: ten years.
const RETENTION_DAYS_MAX: u64 = 3_653;
/// Seconds of a day.
const DAY_S: u64 = 86_400;
/// Most rules about content.
const RULES_MAX: usize = 1_000;

settings! {
    /// Prompts and answers at rest. None are kept unless a rule says so. What is kept went to the provider and came from it:
    /// what policies mask is masked, and secrets are masked in any case. All of it is sealed under `master_key`.
    pub struct Content {
        /// Whose content is kept, and whose never. The first rule that applies says how; one with `store: false` that applies
        /// wins over all others.
        pub keep: Vec<KeepRule> = "[]",
    }

    /// A rule about content. What it does not name it does not look at; without any name it is about everybody.
    pub struct KeepRule {
        /// Organization.
        pub organization: Option<String> = optional,
        /// Team.
        pub team: Option<String> = optional,
        /// User.
        pub user: Option<String> = optional,
        /// Service account.
        pub service_account: Option<String> = optional,
        /// Application: `application` in the key's metadata.
        pub application: Option<String> = optional,
        /// Whether content is kept. `false` keeps none of whomever the rule is about, whatever other rules say.
        pub store: bool = "true",
        /// Which sides of an exchange.
        pub sides: Sides = "both",
        /// How long, from when the exchange began: a number and a unit, `12h` or `90d`, at most ten years.
        pub retention: Duration as Retention = "30d",
        /// Most bytes of a side. Of a longer one the beginning is kept, and the record says `cut`. At most 64 MiB.
        pub max_bytes: usize as Size = "1MiB",
    }
}

words! {
    /// Sides of an exchange.
    pub enum Sides {
        /// What is asked and what is answered.
        Both = "both",
        /// What is asked.
        Requests = "requests",
        /// What is answered.
        Answers = "answers",
    }
}

/// A time that content is kept.
pub(super) struct Retention;

fn parse_retention(text: &str) -> Option<Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => DAY_S,
        _ => return None,
    };
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    (1..=RETENTION_DAYS_MAX * DAY_S).contains(&seconds).then(|| Duration::from_secs(seconds))
}

impl Form for Retention {
    type Out = Duration;

    fn shape() -> Shape {
        text("duration", Some("^([0-9]+(s|m|h|d)|\\$\\{.+)$"))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Duration> {
        let suggestion = "a number and a unit: 12h, 30d or 365d (more than 0, at most 3653d)";
        reader.parsed(node, "a time that content is kept", suggestion, parse_retention)
    }

    fn show(value: &Duration) -> Json {
        let seconds = value.as_secs();
        let (unit, factor) = [("d", DAY_S), ("h", 3_600), ("m", 60)]
            .into_iter()
            .find(|(_, factor)| seconds.is_multiple_of(*factor))
            .unwrap_or(("s", 1));
        json!(format!("{}{unit}", seconds / factor))
    }
}

impl Check<'_, '_> {
    /// Whether the rules can be followed.
    pub(super) fn content(&mut self, content: &Content) {
        let path = Path::of(&["content", "keep"]);
        if content.keep.len() > RULES_MAX {
            self.problem(
                &path,
                format!("there are more than {RULES_MAX} rules about content"),
                "write fewer",
            );
        }
        for (index, rule) in content.keep.iter().enumerate() {
            if rule.max_bytes > SIDE_BYTES_MAX {
                let message = "more than can be kept of one side";
                self.problem(&path.index(index).key("max_bytes"), message, "write at most 64MiB");
            }
            if rule.user.is_some() && rule.service_account.is_some() {
                let message = "a key has a user or a service account, never both";
                self.problem(&path.index(index), message, "write a rule for each");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_has_units_and_a_limit() {
        for (text, seconds) in [("1s", 1), ("12h", 43_200), ("30d", 2_592_000), ("3653d", 315_619_200)] {
            assert_eq!(parse_retention(text), Some(Duration::from_secs(seconds)), "{text}");
            assert_eq!(
                parse_retention(Retention::show(&Duration::from_secs(seconds)).as_str().unwrap()),
                Some(Duration::from_secs(seconds))
            );
        }
        for wrong in ["", "0d", "3654d", "5", "d", "-1d", "1.5d", "1w", "99999999999999999999d"] {
            assert_eq!(parse_retention(wrong), None, "{wrong}");
        }
    }
}
