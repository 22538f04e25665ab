//! The forms of values in budgets and rate limits.

use super::super::form::{Form, Reader, Shape, quoted};
use super::super::forms::text;
use super::super::problem::did_you_mean;
use super::super::tree::Node;
use narrows_meter::{Calendar, Period};
use narrows_policy::Dimension;
use serde_json::{Value as Json, json};
use std::fmt;
use std::time::Duration;

/// Most money that can be written, in dollars.
pub const USD_MAX: u64 = 1_000_000_000;
/// Nano-dollars in a dollar.
const NANO: u64 = 1_000_000_000;
/// Longest window that rolls, in days.
const ROLLING_DAYS_MAX: u64 = 92;
/// Longest name of metadata, in bytes.
const TAG_BYTES_MAX: usize = 64;

/// Money as it is written: `100`, `0.05`.
pub(super) struct Usd;

impl Form for Usd {
    type Out = u64;

    fn shape() -> Shape {
        Shape::Scalar {
            kind: "US dollars",
            types: &["string", "number"],
            pattern: Some("^([0-9]+(\\.[0-9]{1,9})?|\\$\\{.+)$"),
        }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<u64> {
        let kind = "an amount of US dollars";
        reader.parsed(
            node,
            kind,
            "dollars with up to nine decimals, at most 1000000000: 100 or 0.05",
            parse_usd,
        )
    }

    fn show(value: &u64) -> Json {
        json!(usd(*value))
    }
}

fn parse_usd(text: &str) -> Option<u64> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(decimals) || decimals.len() > 9 {
        return None;
    }
    let dollars: u64 = whole.parse().ok().filter(|dollars| *dollars <= USD_MAX)?;
    let decimals: u64 = format!("{decimals:0<9}").parse().ok()?;
    dollars.checked_mul(NANO)?.checked_add(decimals)
}

/// Nano-dollars as dollars, without needless digits: `0.05`.
pub fn usd(nano: u64) -> String {
    let text = format!("{}.{:09}", nano / NANO, nano % NANO);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// The window of a budget, as it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum WindowText {
    /// Of the calendar.
    Calendar(Period),
    /// The time just past.
    Rolling(Duration),
}

impl Form for WindowText {
    type Out = WindowText;

    fn shape() -> Shape {
        let words = vec![
            ("hour", "From one full hour UTC to the next.".to_owned()),
            ("day", "From midnight to midnight.".to_owned()),
            ("week", "From Monday to Sunday.".to_owned()),
            ("month", "From the first of a month to its end.".to_owned()),
        ];
        let rolling = text("number of hours or days", Some("^([0-9]+(h|d)|\\$\\{.+)$"));
        Shape::Either(vec![Shape::Words(words), rolling])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<WindowText> {
        let parse = |text: &str| {
            if let Some(period) = Period::ALL.into_iter().find(|period| period.as_str() == text) {
                return Some(WindowText::Calendar(period));
            }
            let hours = match (text.strip_suffix('h'), text.strip_suffix('d')) {
                (Some(hours), _) => hours.parse::<u64>().ok()?,
                (_, Some(days)) => days.parse::<u64>().ok()?.checked_mul(24)?,
                _ => return None,
            };
            let fits = (1..=ROLLING_DAYS_MAX * 24).contains(&hours);
            fits.then(|| WindowText::Rolling(Duration::from_secs(hours * 3_600)))
        };
        reader.parsed(
            node,
            "a window",
            "hour, day, week or month, or the time just past: 24h, 30d (at most 92d)",
            parse,
        )
    }

    fn show(value: &WindowText) -> Json {
        match value {
            WindowText::Calendar(period) => json!(period.as_str()),
            WindowText::Rolling(length) => {
                let hours = length.as_secs() / 3_600;
                if hours.is_multiple_of(24) {
                    json!(format!("{}d", hours / 24))
                } else {
                    json!(format!("{hours}h"))
                }
            }
        }
    }
}

/// The name of a time zone.
pub(super) struct TimeZone;

impl Form for TimeZone {
    type Out = String;

    fn shape() -> Shape {
        text("IANA time zone", None)
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let parse =
            |text: &str| Calendar::new(Period::Day, text).ok().map(|calendar| calendar.zone().to_owned());
        reader.parsed(node, "a time zone", "its name in the IANA database: UTC, Europe/Zurich", parse)
    }

    fn show(value: &String) -> Json {
        json!(value)
    }
}

/// What counters are kept apart by.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Facet {
    /// A fact of the exchange.
    Fact(Dimension),
    /// Metadata of the key.
    Tag(Box<str>),
}

/// Facts that counters may be kept apart by: those that the gateway knows itself, and the model.
const FACTS: [Dimension; 8] = [
    Dimension::Organization,
    Dimension::Team,
    Dimension::User,
    Dimension::ServiceAccount,
    Dimension::Project,
    Dimension::Key,
    Dimension::Model,
    Dimension::Provider,
];

impl fmt::Display for Facet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Facet::Fact(dimension) => f.write_str(dimension.as_str()),
            Facet::Tag(name) => write!(f, "tags.{name}"),
        }
    }
}

impl Form for Facet {
    type Out = Facet;

    fn shape() -> Shape {
        let mut words: Vec<String> = FACTS.iter().map(|fact| fact.as_str().to_owned()).collect();
        words.push("tags.NAME".to_owned());
        let pattern =
            "^(organization|team|user|service_account|project|key|model|provider|tags\\..+|\\$\\{.+)$";
        text("scope", Some(pattern))
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Facet> {
        let scalar = reader.scalar(node, "a scope")?;
        let text = scalar.text.as_str();
        if let Some(fact) = FACTS.into_iter().find(|fact| fact.as_str() == text) {
            return Some(Facet::Fact(fact));
        }
        let named = |name: &&str| {
            !name.is_empty()
                && name.len() <= TAG_BYTES_MAX
                && !name.contains(|c: char| c.is_control() || c.is_whitespace())
        };
        if let Some(name) = text.strip_prefix("tags.").filter(named) {
            return Some(Facet::Tag(name.into()));
        }
        let mut words: Vec<&str> = FACTS.iter().map(|fact| fact.as_str()).collect();
        words.push("tags.NAME");
        let message = format!("{} is not what counters can be kept apart by", quoted(scalar));
        reader.problem(node.at, message, did_you_mean(text, &words));
        None
    }

    fn show(value: &Facet) -> Json {
        json!(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_reads_to_the_nano_dollar() {
        for (text, nano) in
            [("100", 100 * NANO), ("0.05", NANO / 20), ("0.000000001", 1), ("0", 0), ("1.5", 1_500_000_000)]
        {
            assert_eq!(parse_usd(text), Some(nano), "{text}");
            assert_eq!(usd(nano), text);
        }
        for text in ["", ".5", "1.", "1.0000000001", "-1", "1e3", "1,5", "1000000001", "$1"] {
            assert_eq!(parse_usd(text), None, "{text}");
        }
        assert_eq!(parse_usd("1000000000"), Some(USD_MAX * NANO));
    }
}
