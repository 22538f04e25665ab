//! The JSON form of a record: the same in JSON lines, the admin API and reports. Names are stable; `schema` counts up
//! when one changes. What is not known is `null`.

use crate::record::{Attempt, Record, SCHEMA_VERSION, Used};
use narrows_policy::CapabilitySet;
use serde::ser::{SerializeMap, SerializeSeq, SerializeStruct};
use serde::{Serialize, Serializer};
use std::fmt;

/// Fields of a record, `schema` included.
const FIELDS: usize = 53;

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let caller = &*self.caller;
        let mut out = serializer.serialize_struct("Record", FIELDS)?;
        out.serialize_field("schema", &SCHEMA_VERSION)?;
        out.serialize_field("id", &Text(uuid::Uuid::from_u128(self.id)))?;
        out.serialize_field("started_at", &time(self.started_at_us))?;
        out.serialize_field("duration_us", &self.duration_us)?;
        out.serialize_field("upstream_wait_us", &self.upstream_wait_us)?;
        out.serialize_field("overhead_us", &self.duration_us.saturating_sub(self.upstream_wait_us))?;
        out.serialize_field("first_byte_us", &self.first_byte_us)?;
        out.serialize_field("organization", &caller.organization)?;
        out.serialize_field("team", &caller.team)?;
        out.serialize_field("user", &caller.user)?;
        out.serialize_field("service_account", &caller.service_account)?;
        out.serialize_field("project", &caller.project)?;
        out.serialize_field("key_id", &caller.key_id)?;
        out.serialize_field("caller_kind", &caller.kind)?;
        out.serialize_field("metadata", &Pairs(&caller.metadata))?;
        out.serialize_field("class", &self.class)?;
        out.serialize_field("capabilities", &Capabilities(self.capabilities))?;
        out.serialize_field("surface", &self.surface)?;
        out.serialize_field("dialect", &self.dialect)?;
        out.serialize_field("client", &self.client)?;
        out.serialize_field("client_address", &self.client_address)?;
        out.serialize_field("conversation", &self.conversation)?;
        out.serialize_field("model_requested", &self.model_requested)?;
        out.serialize_field("provider", &self.provider)?;
        out.serialize_field("model_sent", &self.model_sent)?;
        out.serialize_field("model_answered", &self.model_answered)?;
        out.serialize_field("provider_request_id", &self.provider_request_id)?;
        // 0 stands for "no head was sent", which is not a status.
        out.serialize_field("status", &Some(self.status).filter(|status| *status != 0))?;
        out.serialize_field("reason", &self.reason)?;
        out.serialize_field("streamed", &self.streamed)?;
        self.serialize_figures(&mut out)?;
        out.serialize_field("attempts", &self.attempts)?;
        out.serialize_field("snapshot", &Text(format_args!("{:016x}", self.snapshot)))?;
        out.serialize_field("decisions", &self.inspections)?;
        let content = Some(self.content).filter(|states| !states.is_none());
        out.serialize_field("content", &content)?;
        out.end()
    }
}

impl Record {
    fn serialize_figures<S: SerializeStruct>(&self, out: &mut S) -> Result<(), S::Error> {
        let usage = &self.usage;
        out.serialize_field("input", &usage.input())?;
        out.serialize_field("input_uncached", &usage.input_uncached)?;
        out.serialize_field("cache_read", &usage.cache_read)?;
        out.serialize_field("cache_write", &usage.cache_write())?;
        out.serialize_field("cache_write_5m", &usage.cache_write_5m)?;
        out.serialize_field("cache_write_1h", &usage.cache_write_1h)?;
        out.serialize_field("audio_in", &usage.audio_in)?;
        out.serialize_field("output", &usage.output())?;
        out.serialize_field("output_text", &usage.output_text)?;
        out.serialize_field("reasoning", &usage.reasoning)?;
        out.serialize_field("audio_out", &usage.audio_out)?;
        out.serialize_field("web_searches", &usage.web_searches)?;
        out.serialize_field("origin", &self.origin)?;
        out.serialize_field("cost_nanousd", &self.cost)?;
        out.serialize_field("mode", &self.mode)?;
        out.serialize_field("also_used", &self.also_used)?;
        let prices = Some(self.prices).filter(|prices| *prices != 0);
        out.serialize_field("prices", &prices.map(|prices| Text(format!("{prices:016x}"))))?;
        out.serialize_field("request_bytes", &self.request_bytes)?;
        out.serialize_field("response_bytes", &self.response_bytes)
    }

    /// The record as one JSON object, without a line end.
    pub fn to_json(&self) -> String {
        let mut line = Vec::with_capacity(1_536);
        self.write_json(&mut line);
        String::from_utf8(line).unwrap_or_default()
    }

    /// Appends the record as one JSON object.
    pub(crate) fn write_json(&self, out: &mut Vec<u8>) {
        // Every key is a text and a vector takes every byte, so there is nothing that could fail.
        drop(serde_json::to_writer(out, self));
    }
}

impl Serialize for Attempt {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_struct("Attempt", 6)?;
        out.serialize_field("provider", &*self.provider)?;
        // Only where it differs from the record's.
        match &self.model {
            Some(model) => out.serialize_field("model", &**model)?,
            None => out.skip_field("model")?,
        }
        out.serialize_field("status", &self.status)?;
        out.serialize_field("reason", &self.reason)?;
        out.serialize_field("duration_us", &self.duration_us)?;
        out.serialize_field("reused", &self.reused)?;
        out.end()
    }
}

impl Serialize for Used {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let usage = &self.usage;
        let mut out = serializer.serialize_struct("Used", 9)?;
        out.serialize_field("provider", &*self.provider)?;
        out.serialize_field("model", &self.model)?;
        out.serialize_field("input", &usage.input())?;
        out.serialize_field("cache_read", &usage.cache_read)?;
        out.serialize_field("cache_write", &usage.cache_write())?;
        out.serialize_field("output", &usage.output())?;
        out.serialize_field("reasoning", &usage.reasoning)?;
        out.serialize_field("origin", &self.origin)?;
        out.serialize_field("cost_nanousd", &self.cost)?;
        out.end()
    }
}

/// UTC microseconds as RFC 3339, always with six digits; `None` outside the years −9999 to 9999. The one form of times
/// in JSON: in records, the administration API and `--json`.
pub fn time(at_us: i64) -> Option<String> {
    let time = jiff::Timestamp::from_microsecond(at_us).ok()?;
    Some(time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())
}

/// The other way round; `None` for a text that is no time of RFC 3339.
pub fn read_time(text: &str) -> Option<i64> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_microsecond)
}

/// Times of structures whose JSON form is derived.
pub(crate) mod times {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(crate) fn serialize<S: Serializer>(at_us: &Option<i64>, out: S) -> Result<S::Ok, S::Error> {
        at_us.and_then(super::time).serialize(out)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<i64>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let wrong = || serde::de::Error::custom("not a time of RFC 3339");
        super::read_time(&text).map(Some).ok_or_else(wrong)
    }
}

struct Text<T>(T);

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

struct Pairs<'a>(&'a [(String, String)]);

impl Serialize for Pairs<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.0 {
            out.serialize_entry(name, value)?;
        }
        out.end()
    }
}

struct Capabilities(CapabilitySet);

impl Serialize for Capabilities {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_seq(None)?;
        for capability in self.0.iter() {
            out.serialize_element(&capability)?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use crate::sample;

    #[test]
    fn a_record_has_the_golden_form() {
        let golden = include_str!("golden/record.json");
        assert_eq!(serde_json::to_string_pretty(&sample::record(6)).unwrap(), golden.trim_end());
    }

    #[test]
    fn what_is_not_known_is_null() {
        let mut record = sample::record(5);
        record.status = 0;
        let json: serde_json::Value = serde_json::from_str(&record.to_json()).unwrap();
        for field in ["input", "output", "cost_nanousd", "first_byte_us", "provider", "status", "dialect"] {
            assert!(json[field].is_null(), "{field}: {}", json[field]);
        }
        assert_eq!(json["attempts"], serde_json::json!([]));
        assert_eq!(json.as_object().unwrap().len(), super::FIELDS);
    }
}
