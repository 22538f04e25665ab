//! Works: what is asked, how the provider behaves, and what a good answer looks like.

use crate::bodies;
use anyhow::{Context, Result, bail};
use serde::Deserialize;

/// One kind of work.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Path and query, without the base URL.
    pub path: String,
    /// Header lines beside host, length and credential.
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// The request's body.
    pub body: String,
    /// Knobs of the fake provider, sent as `x-fake`; empty for real providers.
    #[serde(default)]
    pub knobs: String,
    /// Text that every whole answer contains near its end; empty if its length says enough.
    #[serde(default)]
    pub end_marker: String,
    /// Text that shows usage is there; empty to expect none.
    #[serde(default)]
    pub usage_marker: String,
    /// Stamped chunks in each answer; 0 if chunks carry no stamps.
    #[serde(default)]
    pub chunks: u64,
    /// Connections unless the command line says otherwise.
    #[serde(default = "default_connections")]
    pub connections: usize,
    /// Whether client and provider are spoken to under TLS. Only `compare` can.
    #[serde(default)]
    pub tls: bool,
    /// How long one answer takes by design, in milliseconds; starts are spread over it.
    #[serde(default)]
    pub paced_ms: u64,
}

fn default_connections() -> usize {
    32
}

/// Names of the built-in works.
pub const SCENARIOS: &[&str] = &[
    "small-chat",
    "agent-body",
    "agent-stream",
    "stream-100",
    "stream-burst",
    "paced-streams",
    "idle-streams",
    "failover",
    "small-tls",
    "agent-tls",
    "stream-tls",
];

/// The model that has two targets.
pub const FAILOVER_MODEL: &str = "with-targets";

/// Path prefix of the provider that is spoken to under TLS. The fake provider answers under any prefix.
const TLS_PREFIX: &str = "/over-tls";

/// Answer text of `small-chat`, in bytes: about 1 KB of JSON with its frame.
const SMALL_ANSWER_BYTES: usize = 460;

impl Scenario {
    /// The built-in work of this name, or the work described in the JSON file of this name.
    ///
    /// # Errors
    /// There is neither.
    pub fn load(name: &str) -> Result<Scenario> {
        if let Some(scenario) = Scenario::built_in(name) {
            return Ok(scenario);
        }
        if !std::path::Path::new(name).exists() {
            bail!("no scenario `{name}`; built in are {}, or name a JSON file", SCENARIOS.join(", "));
        }
        let text = std::fs::read_to_string(name).with_context(|| format!("cannot read {name}"))?;
        let mut scenario: Scenario = serde_json::from_str(&text).with_context(|| format!("in {name}"))?;
        if scenario.name.is_empty() {
            name.clone_into(&mut scenario.name);
        }
        Ok(scenario)
    }

    fn built_in(name: &str) -> Option<Scenario> {
        let chat = |body: String, knobs: &str| Scenario {
            name: name.to_owned(),
            path: "/v1/chat/completions".to_owned(),
            headers: Vec::new(),
            body,
            knobs: knobs.to_owned(),
            end_marker: String::new(),
            usage_marker: "\"usage\":{".to_owned(),
            chunks: 0,
            connections: 32,
            tls: false,
            paced_ms: 0,
        };
        let stream = |knobs: &str, chunks: u64| Scenario {
            end_marker: "data: [DONE]".to_owned(),
            chunks,
            ..chat(bodies::small_chat(true), knobs)
        };
        Some(match name {
            "small-chat" => chat(bodies::small_chat(false), &format!("body_bytes={SMALL_ANSWER_BYTES}")),
            "agent-body" => {
                let scenario = chat(bodies::agent_chat(), &format!("body_bytes={SMALL_ANSWER_BYTES}"));
                Scenario { connections: 16, ..scenario }
            }
            "agent-stream" => Scenario {
                path: "/v1/messages".to_owned(),
                headers: vec![
                    ("anthropic-version".to_owned(), "2023-06-01".to_owned()),
                    (
                        "anthropic-beta".to_owned(),
                        "claude-code-20250219,interleaved-thinking-2025-05-14".to_owned(),
                    ),
                ],
                body: bodies::agent_messages(),
                end_marker: "\"message_stop\"".to_owned(),
                connections: 16,
                ..stream("chunks=20;chunk_bytes=40;stamp=1", 20)
            },
            "stream-100" => stream("chunks=100;chunk_bytes=30;stamp=1", 100),
            "stream-burst" => stream("chunks=100;chunk_bytes=30;stamp=1;burst=1", 100),
            "paced-streams" => Scenario {
                connections: 200,
                paced_ms: 1_000,
                ..stream("chunks=50;chunk_bytes=30;stamp=1;gap_ms=20", 50)
            },
            "idle-streams" => Scenario {
                connections: 1_000,
                paced_ms: 60_000,
                ..stream("chunks=2;chunk_bytes=30;stamp=1;gap_ms=30000", 2)
            },
            // The first target fails, the second one overrides the knob: see the gateway's configuration.
            "failover" => {
                let body = bodies::small_chat(false).replace(bodies::SMALL_MODEL, FAILOVER_MODEL);
                Scenario { connections: 4, ..chat(body, "status=503") }
            }
            "small-tls" => Scenario::built_in("small-chat")?.under_tls(name),
            "agent-tls" => Scenario::built_in("agent-body")?.under_tls(name),
            "stream-tls" => Scenario::built_in("stream-100")?.under_tls(name),
            _ => return None,
        })
    }

    /// The same work with TLS on both sides.
    fn under_tls(self, name: &str) -> Scenario {
        Scenario { name: name.to_owned(), path: format!("{TLS_PREFIX}{}", self.path), tls: true, ..self }
    }

    /// The request as bytes on the wire.
    pub fn request(
        &self,
        host: &str,
        base_path: &str,
        key: Option<&str>,
        extra: &[(String, String)],
    ) -> Vec<u8> {
        let mut head = format!(
            "POST {base_path}{} HTTP/1.1\r\nhost: {host}\r\nuser-agent: narrows-loadtest\r\n\
             content-type: application/json\r\naccept: */*\r\n",
            self.path
        );
        let mut add = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        if !self.knobs.is_empty() {
            add("x-fake", &self.knobs);
        }
        if let Some(key) = key {
            add("authorization", &format!("Bearer {key}"));
        }
        self.headers.iter().chain(extra).for_each(|(name, value)| add(name, value));
        add("content-length", &self.body.len().to_string());
        head.push_str("\r\n");
        head.push_str(&self.body);
        head.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_a_scenario_whose_knobs_and_body_hold() {
        for name in SCENARIOS {
            let scenario = Scenario::load(name).unwrap();
            let knobs = narrows_fake::Knobs::parse(&scenario.knobs).unwrap();
            assert!(scenario.chunks == 0 || scenario.chunks == knobs.chunks as u64, "{name}");
            serde_json::from_str::<serde_json::Value>(&scenario.body).unwrap();
        }
        assert!(Scenario::load("no-such").is_err());
    }

    #[test]
    fn sizes_are_as_named() {
        let size = |name| Scenario::load(name).unwrap().body.len();
        assert!((280..=400).contains(&size("small-chat")), "{}", size("small-chat"));
        for name in ["agent-body", "agent-stream"] {
            assert!((107_000..=111_000).contains(&size(name)), "{}", size(name));
        }
    }
}
