//! Prices as they stand in a file: the one format, which `docs/prices.md` describes for operators.

use crate::price::{Mode, Tier};
use crate::unit_price::Rates;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The number in `format` of files that this program reads and writes.
pub const FORMAT: u32 = 1;
/// Most providers in a file.
pub const PROVIDERS_MAX: usize = 1_024;
/// Most models of a provider.
pub const MODELS_MAX: usize = 16_384;
/// Most names and patterns of a model, exceptions included.
pub const PATTERNS_MAX: usize = 256;
/// Most prices of a model: of different times, hours and modes.
pub const PRICES_MAX: usize = 64;
/// Longest model's name, pattern or provider's word, in bytes. A longer name matches nothing.
pub const NAME_MAX_BYTES: usize = 256;

/// A file of prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceFile {
    /// The format's number: [`FORMAT`].
    pub format: u32,
    /// Where the prices are from, for people.
    pub source: String,
    /// As of when they are right.
    pub date: Date,
    /// By provider.
    pub providers: Vec<ProviderPrices>,
}

/// Prices of one provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderPrices {
    /// The provider's word: where it is one of Narrows' kinds, that kind.
    pub id: String,
    /// Providers whose prices hold for models that this one has no rule for, in order: clouds sell others' models.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<String>,
    /// By model.
    pub models: Vec<ModelPrices>,
}

/// Prices of one model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelPrices {
    /// What the model is called in reports of prices.
    pub id: String,
    /// Names of the model, without regard to case: `*` stands for any text, `#` for one digit. Its id where there are
    /// none.
    #[serde(default, rename = "match", skip_serializing_if = "Vec::is_empty")]
    pub matches: Vec<String>,
    /// Names that are not this model's although `match` says so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub except: Vec<String>,
    /// What it costs. Of those that hold at a time, the last counts.
    pub prices: Vec<PriceEntry>,
}

/// What a model costs, from when, at which hours, in which mode.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceEntry {
    /// The first day, in UTC; always, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Date>,
    /// At which hours of a day, in UTC; at all, where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hours: Option<Hours>,
    /// The mode; the ordinary one, where it is left out. What the entry does not name costs what it ordinarily does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// Prices.
    pub rates: Rates,
    /// What differs for long prompts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub above: Vec<Tier>,
}

impl PriceEntry {
    /// Whether it holds at a time, in UTC microseconds since the epoch.
    pub fn holds(&self, at_us: i64) -> bool {
        self.from.is_none_or(|date| date.start_us() <= at_us)
            && self.hours.is_none_or(|hours| hours.hold(at_us))
    }
}

/// A day in UTC: `2026-03-13` in files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Days since 1970-01-01.
    days: i64,
}

/// Microseconds in a day.
const DAY_US: i64 = 86_400_000_000;
/// Microseconds in a minute.
const MINUTE_US: i64 = 60_000_000;
/// Minutes in a day.
const DAY_MINUTES: u16 = 1_440;

impl Date {
    /// The day as it stands in files, from year 1970 to 9999; `None` when it is no such day.
    pub fn parse(text: &str) -> Option<Date> {
        let (year, rest) = text.split_once('-')?;
        let (month, day) = rest.split_once('-')?;
        let is = |part: &str, length| part.len() == length && part.bytes().all(|byte| byte.is_ascii_digit());
        if !is(year, 4) || !is(month, 2) || !is(day, 2) {
            return None;
        }
        let (year, month, day): (i64, i64, i64) =
            (year.parse().ok()?, month.parse().ok()?, day.parse().ok()?);
        if year < 1970 || !(1..=12).contains(&month) {
            return None;
        }
        let date = Date { days: days_from_civil(year, month, day) };
        // A day past its month's end is another date's.
        (date.civil() == (year, month, day)).then_some(date)
    }

    /// The day that a time falls in, in UTC microseconds since the epoch.
    pub fn of(at_us: i64) -> Date {
        Date { days: at_us.div_euclid(DAY_US) }
    }

    /// Its first microsecond since the epoch.
    pub fn start_us(self) -> i64 {
        self.days.saturating_mul(DAY_US)
    }

    /// Year, month and day.
    fn civil(self) -> (i64, i64, i64) {
        // Years are counted from March, so that a leap day is the last of its year.
        let days = self.days + 719_468;
        let era = days.div_euclid(146_097);
        let of_era = days.rem_euclid(146_097);
        let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let month = if month < 10 { month + 3 } else { month - 9 };
        (year_of_era + era * 400 + i64::from(month <= 2), month, day)
    }
}

/// Days from 1970-01-01 to a day of the Gregorian calendar.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + of_year - 719_468
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Hours of a day in UTC: `16:30-00:30` in files. The first minute is in, the last is not; they may pass midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    /// Minutes since midnight.
    from: u16,
    to: u16,
}

impl Hours {
    /// The hours as they stand in files; `None` when they are no such hours.
    pub fn parse(text: &str) -> Option<Hours> {
        let (from, to) = text.split_once('-')?;
        let hours = Hours { from: minute(from)?, to: minute(to)? };
        (hours.from != hours.to).then_some(hours)
    }

    /// Whether a time, in UTC microseconds since the epoch, falls in them.
    pub fn hold(self, at_us: i64) -> bool {
        let minute = at_us.rem_euclid(DAY_US) / MINUTE_US;
        let (from, to) = (i64::from(self.from), i64::from(self.to));
        if to < from { minute >= from || minute < to } else { (from..to).contains(&minute) }
    }
}

fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':').filter(|_| text.len() == 5)?;
    let is = |part: &str| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
    if !is(hours) || !is(minutes) {
        return None;
    }
    let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes).filter(|minute| *minute < DAY_MINUTES)
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [from, to] = [self.from, self.to].map(|minute| (minute / 60, minute % 60));
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.0, from.1, to.0, to.1)
    }
}

/// Serialization as text, by `Display` and `parse`.
macro_rules! as_text {
    ($name:ident, $expected:literal) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                $name::parse(&text).ok_or_else(|| {
                    serde::de::Error::custom(format_args!(concat!("{:?} is not ", $expected), text))
                })
            }
        }
    };
}

as_text!(Date, "a day such as 2026-03-13");
as_text!(Hours, "hours such as 16:30-00:30");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn days_are_days_of_the_calendar() {
        let start = |text: &str| Date::parse(text).map(Date::start_us);
        assert_eq!(start("1970-01-01"), Some(0));
        assert_eq!(start("2000-02-29"), Some(11_016 * DAY_US));
        assert_eq!(start("2026-11-26"), Some(20_783 * DAY_US));
        for wrong in [
            "2026-02-29",
            "2026-13-01",
            "2026-00-01",
            "2026-1-01",
            "26-01-01",
            "2026-01-32",
            "1969-12-31",
            "2026-01",
        ] {
            assert_eq!(Date::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn hours_may_pass_midnight() {
        let hold =
            |hours: &str, minute: i64| Hours::parse(hours).unwrap().hold(DAY_US * 9 + minute * MINUTE_US);
        assert_eq!(
            [989, 990, 1_439, 0, 29, 30].map(|at| hold("16:30-00:30", at)),
            [false, true, true, true, true, false]
        );
        assert_eq!([59, 60, 239, 240].map(|at| hold("01:00-04:00", at)), [false, true, true, false]);
        assert_eq!(Hours::parse("16:30-00:30").unwrap().to_string(), "16:30-00:30");
        for wrong in ["24:00-01:00", "01:60-02:00", "1:00-2:00", "01:00-01:00", "01:00", "+1:00-02:00"] {
            assert_eq!(Hours::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_a_file_does_not_know_is_refused() {
        let file = |model: &str| {
            let json = format!(
                r#"{{"format":1,"source":"s","date":"2026-11-26","providers":[{{"id":"p","models":[{model}]}}]}}"#
            );
            serde_json::from_str::<PriceFile>(&json)
        };
        assert!(file(r#"{"id":"m","prices":[{"rates":{"input":"1"}}]}"#).is_ok());
        for wrong in [
            r#"{"id":"m","prices":[{"rates":{"input":"1"},"form":"2026-01-01"}]}"#,
            r#"{"id":"m","prices":[{"rates":{"input":"1"},"from":"yesterday"}]}"#,
            r#"{"id":"m","prices":[{"rates":{"input":"1"},"mode":"slow"}]}"#,
            r#"{"id":"m","prices":[{}]}"#,
        ] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn days_read_back(days in 0_i64..2_932_896) {
            let date = Date { days };
            prop_assert_eq!(Date::parse(&date.to_string()), Some(date));
            prop_assert_eq!(Date::of(date.start_us() + DAY_US - 1), date);
        }
    }
}
