//! The JSON form of a key: the same in the administration API and on the command line.

use crate::directory::EntryKind;
use crate::json::times;
use crate::key::KeyInfo;
use serde::de::{MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// A key as it is written. Texts are owned so that one declaration reads and writes.
#[derive(Serialize, Deserialize)]
struct Wire {
    id: String,
    name: String,
    /// What follows from the rest at the moment of writing; not read back.
    #[serde(default, skip_deserializing)]
    state: &'static str,
    organization: String,
    team: Option<String>,
    user: Option<String>,
    service_account: Option<String>,
    project: Option<String>,
    metadata: Pairs,
    models: Option<Vec<String>>,
    #[serde(with = "times")]
    created_at: Option<i64>,
    #[serde(with = "times")]
    expires_at: Option<i64>,
    disabled: bool,
    #[serde(with = "times")]
    previous_secret_until: Option<i64>,
    #[serde(with = "times")]
    deleted_at: Option<i64>,
    #[serde(default)]
    declared_in: Option<String>,
    #[serde(default)]
    blocked_by: Option<EntryKind>,
}

impl Serialize for KeyInfo {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let state = self.state(crate::now_us());
        let info = self.clone();
        let wire = Wire {
            id: info.id,
            name: info.name,
            state,
            organization: info.organization,
            team: info.team,
            user: info.user,
            service_account: info.service_account,
            project: info.project,
            metadata: Pairs(info.metadata),
            models: info.models,
            created_at: Some(info.created_at_us),
            expires_at: info.expires_at_us,
            disabled: info.disabled,
            previous_secret_until: info.previous_secret_until_us,
            deleted_at: info.deleted_at_us,
            declared_in: info.declared_in,
            blocked_by: info.blocked_by,
        };
        wire.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for KeyInfo {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<KeyInfo, D::Error> {
        let wire = Wire::deserialize(deserializer)?;
        Ok(KeyInfo {
            id: wire.id,
            name: wire.name,
            organization: wire.organization,
            team: wire.team,
            user: wire.user,
            service_account: wire.service_account,
            project: wire.project,
            metadata: wire.metadata.0,
            models: wire.models,
            created_at_us: wire.created_at.unwrap_or_default(),
            expires_at_us: wire.expires_at,
            disabled: wire.disabled,
            previous_secret_until_us: wire.previous_secret_until,
            deleted_at_us: wire.deleted_at,
            declared_in: wire.declared_in,
            blocked_by: wire.blocked_by,
        })
    }
}

/// A JSON object whose order is kept.
struct Pairs(Vec<(String, String)>);

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| out.serialize_entry(name, value))?;
        out.end()
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_written() {
        let info = KeyInfo {
            id: "4kX0bYw2mQ7d".into(),
            name: "ci".into(),
            organization: "acme".into(),
            team: Some("red".into()),
            user: None,
            service_account: Some("nightly".into()),
            project: None,
            metadata: vec![("b".into(), "2".into()), ("a".into(), "1".into())],
            models: Some(vec!["gpt-*".into()]),
            created_at_us: 1_770_000_000_000_001,
            expires_at_us: Some(1_770_000_000_000_002),
            disabled: false,
            previous_secret_until_us: None,
            deleted_at_us: None,
            declared_in: Some("keys.yaml".into()),
            blocked_by: None,
        };
        let text = serde_json::to_string(&info).unwrap();
        assert!(text.contains(r#""metadata":{"b":"2","a":"1"}"#), "{text}");
        assert!(text.contains(r#""created_at":"2026-02-02T02:40:00.000001Z""#), "{text}");
        assert!(text.contains(r#""state":"expired""#), "{text}");
        assert_eq!(serde_json::from_str::<KeyInfo>(&text).unwrap(), info);
        let blocked = KeyInfo { blocked_by: Some(EntryKind::Team), ..info };
        let text = serde_json::to_string(&blocked).unwrap();
        assert!(text.contains(r#""state":"disabled""#) && text.contains(r#""blocked_by":"team""#), "{text}");
        assert_eq!(serde_json::from_str::<KeyInfo>(&text).unwrap(), blocked);
    }
}
