//! Lists and descriptions of models, in each family's shape.

use crate::dialect::Family;
use crate::request::text::push_string;

/// A model as a caller may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelEntry<'a> {
    /// The name to put into a request.
    pub id: &'a str,
    /// Who serves it, such as a provider's name.
    pub owner: &'a str,
    /// When it was made available, UTC seconds since the epoch; 0 when that is not known.
    pub created: i64,
}

/// The answer to a list request: everything on one page.
pub fn list(family: Family, entries: &[ModelEntry<'_>]) -> Vec<u8> {
    let mut out = Vec::with_capacity(64 + 160 * entries.len());
    out.extend_from_slice(match family {
        Family::Openai => b"{\"object\":\"list\",\"data\":[".as_slice(),
        Family::Anthropic => b"{\"data\":[",
        Family::Gemini => b"{\"models\":[",
    });
    for (i, entry) in entries.iter().enumerate() {
        if i > 0 {
            out.push(b',');
        }
        push_model(&mut out, family, entry);
    }
    out.push(b']');
    if family == Family::Anthropic {
        out.extend_from_slice(b",\"has_more\":false,\"first_id\":");
        push_id(&mut out, entries.first());
        out.extend_from_slice(b",\"last_id\":");
        push_id(&mut out, entries.last());
    }
    out.push(b'}');
    out
}

/// The answer to a request for one model.
pub fn get(family: Family, entry: &ModelEntry<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    push_model(&mut out, family, entry);
    out
}

fn push_id(out: &mut Vec<u8>, entry: Option<&ModelEntry<'_>>) {
    match entry {
        Some(entry) => push_string(out, entry.id),
        None => out.extend_from_slice(b"null"),
    }
}

fn push_model(out: &mut Vec<u8>, family: Family, entry: &ModelEntry<'_>) {
    match family {
        Family::Openai => {
            out.extend_from_slice(b"{\"id\":");
            push_string(out, entry.id);
            out.extend_from_slice(b",\"object\":\"model\",\"created\":");
            out.extend_from_slice(entry.created.to_string().as_bytes());
            out.extend_from_slice(b",\"owned_by\":");
            push_string(out, entry.owner);
        }
        Family::Anthropic => {
            out.extend_from_slice(b"{\"type\":\"model\",\"id\":");
            push_string(out, entry.id);
            out.extend_from_slice(b",\"display_name\":");
            push_string(out, entry.id);
            out.extend_from_slice(b",\"created_at\":");
            push_string(out, &rfc3339(entry.created));
        }
        Family::Gemini => {
            out.extend_from_slice(b"{\"name\":");
            let named = entry.id.starts_with("models/") || entry.id.starts_with("tunedModels/");
            push_string(out, &if named { entry.id.to_owned() } else { format!("models/{}", entry.id) });
            out.extend_from_slice(b",\"displayName\":");
            push_string(out, entry.id);
            out.extend_from_slice(b",\"description\":");
            push_string(out, &format!("Served by {}", entry.owner));
            out.extend_from_slice(b",\"supportedGenerationMethods\":[\"generateContent\",\"countTokens\"]");
        }
    }
    out.push(b'}');
}

/// UTC seconds since the epoch as `2025-02-19T00:00:00Z`. Years outside 0 to 9999 are clamped to the epoch.
fn rfc3339(seconds: i64) -> String {
    const DAY: i64 = 86_400;
    /// 0000-01-01 and the end of 9999, in seconds since the epoch.
    const RANGE: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;
    let seconds = if RANGE.contains(&seconds) { seconds } else { 0 };
    let (days, time) = (seconds.div_euclid(DAY), seconds.rem_euclid(DAY));
    // Civil date from days, after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const TWO: [ModelEntry<'static>; 2] = [
        ModelEntry { id: "claude-sonnet-4-5", owner: "anthropic", created: 1_739_923_200 },
        ModelEntry { id: "a \"quoted\"/name", owner: "acme", created: 0 },
    ];

    fn read(bytes: &[u8]) -> Value {
        serde_json::from_slice(bytes).unwrap()
    }

    #[test]
    fn openai_lists_have_its_four_fields() {
        let list = read(&list(Family::Openai, &TWO));
        assert_eq!(list["object"], "list");
        assert_eq!(
            list["data"][1],
            json!({"id": TWO[1].id, "object": "model", "created": 0, "owned_by": "acme"})
        );
        assert_eq!(read(&get(Family::Openai, &TWO[0])), list["data"][0]);
    }

    #[test]
    fn anthropic_lists_are_one_page_with_first_and_last() {
        let list = read(&list(Family::Anthropic, &TWO));
        assert_eq!(list["data"][0]["created_at"], "2025-02-19T00:00:00Z");
        assert_eq!(list["data"][0]["type"], "model");
        assert_eq!(list["data"][0]["display_name"], TWO[0].id);
        assert_eq!((&list["first_id"], &list["last_id"]), (&TWO[0].id.into(), &TWO[1].id.into()));
        assert_eq!(list["has_more"], false);
    }

    #[test]
    fn gemini_lists_carry_resource_names() {
        let tuned = ModelEntry { id: "tunedModels/mine", owner: "google", created: 0 };
        let list = read(&list(Family::Gemini, &[TWO[0], tuned]));
        assert_eq!(list["models"][0]["name"], "models/claude-sonnet-4-5");
        assert_eq!(list["models"][1]["name"], "tunedModels/mine");
        assert_eq!(
            list["models"][0]["supportedGenerationMethods"],
            json!(["generateContent", "countTokens"])
        );
    }

    #[test]
    fn empty_lists_are_lists() {
        assert_eq!(read(&list(Family::Openai, &[])), json!({"object": "list", "data": []}));
        let empty = json!({"data": [], "has_more": false, "first_id": null, "last_id": null});
        assert_eq!(read(&list(Family::Anthropic, &[])), empty);
        assert_eq!(read(&list(Family::Gemini, &[])), json!({"models": []}));
    }

    #[test]
    fn dates_are_right_across_leap_years_and_ends() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "1970-01-01T00:00:00Z"),
            (i64::MIN, "1970-01-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds), text);
        }
    }
}
