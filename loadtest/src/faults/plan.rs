//! One exchange of any kind, with any fate: what is sent, how provider and client behave, what has to come of it.

use crate::exchange::{Leave, post};
use crate::gateway::Gateway;
use crate::mix::Mix;

/// Largest body that the gateway of a fault run takes, in bytes; see `SETUP`.
pub(super) const BODY_LIMIT: usize = 4 << 20;

/// A way to ask for text.
struct Kind {
    name: &'static str,
    path: &'static str,
    stream_path: &'static str,
    model: &'static str,
    /// The body up to its text.
    before: &'static str,
    /// The body after its text, but for the word about streaming and the brace.
    after: &'static str,
    streams: &'static str,
}

const KINDS: &[Kind] = &[
    Kind {
        name: "openai.chat",
        path: "/v1/chat/completions",
        stream_path: "/v1/chat/completions",
        model: "gpt-4o",
        before: "{\"model\":\"gpt-4o\",\"messages\":[{\"role\":\"user\",\"content\":\"",
        after: "\"}]",
        streams: ",\"stream\":true",
    },
    Kind {
        name: "openai.completions",
        path: "/v1/completions",
        stream_path: "/v1/completions",
        model: "gpt-3.5-turbo-instruct",
        before: "{\"model\":\"gpt-3.5-turbo-instruct\",\"prompt\":\"",
        after: "\"",
        streams: ",\"stream\":true",
    },
    Kind {
        name: "openai.responses",
        path: "/v1/responses",
        stream_path: "/v1/responses",
        model: "gpt-5",
        before: "{\"model\":\"gpt-5\",\"input\":\"",
        after: "\"",
        streams: ",\"stream\":true",
    },
    Kind {
        name: "anthropic.messages",
        path: "/v1/messages",
        stream_path: "/v1/messages",
        model: "claude-sonnet-4-5",
        before: "{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":64,\"messages\":[{\"role\":\"user\",\"content\":\"",
        after: "\"}]",
        streams: ",\"stream\":true",
    },
    Kind {
        name: "gemini.generate",
        path: "/v1beta/models/gemini-2.5-flash:generateContent",
        stream_path: "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        model: "gemini-2.5-flash",
        before: "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"",
        after: "\"}]}]",
        streams: "",
    },
];

/// How the provider behaves, and with which reason a streamed and a whole answer then end.
struct Fate {
    knobs: &'static str,
    streamed: &'static [&'static str],
    whole: &'static [&'static str],
    /// Whether usage is reported whole, so that it has to be recorded exactly.
    exact: bool,
}

const fn fate(
    knobs: &'static str,
    streamed: &'static [&'static str],
    whole: &'static [&'static str],
    exact: bool,
) -> Fate {
    Fate { knobs, streamed, whole, exact }
}

const DONE: &[&str] = &["completed"];
const CUT: &[&str] = &["provider_cut"];
const FAILED: &[&str] = &["provider_error"];
const LIMITED: &[&str] = &["provider_rate_limited"];
const REFUSED: &[&str] = &["provider_credential_refused"];
const SILENT: &[&str] = &["provider_idle_timeout"];

/// Nothing goes wrong, though it may be slow, in odd pieces, or compressed.
const HEALTHY: &[Fate] = &[
    fate("", DONE, DONE, true),
    fate("reasoning=9", DONE, DONE, true),
    fate("cached=3", DONE, DONE, true),
    fate("burst=1", DONE, DONE, true),
    fate("gap_ms=1", DONE, DONE, true),
    fate("chunked=1", DONE, DONE, true),
    fate("write_bytes=1", DONE, DONE, true),
    fate("write_bytes=13", DONE, DONE, true),
    fate("first_ms=5", DONE, DONE, true),
    fate("fault=slow_head:1", DONE, DONE, true),
    fate("fault=gzip", DONE, DONE, true),
    fate("fault=no_usage", DONE, DONE, false),
];

/// Faults. `N` becomes the number of a chunk of the answer.
const FAULTS: &[Fate] = &[
    fate("status=429;retry_after=1", LIMITED, LIMITED, false),
    fate("status=400", FAILED, FAILED, false),
    fate("status=500", FAILED, FAILED, false),
    fate("status=503", FAILED, FAILED, false),
    fate("status=529", FAILED, FAILED, false),
    fate("status=401", REFUSED, REFUSED, false),
    fate("fault=html", FAILED, FAILED, false),
    // What is broken may be the event that tells the end.
    fate("fault=bad_json", &["completed", "provider_cut"], DONE, false),
    fate("fault=cut_after:N", CUT, CUT, false),
    fate("fault=cut_after:N;within=1", CUT, CUT, false),
    fate("fault=cut_after:N;write_bytes=1", CUT, CUT, false),
    fate("fault=reset:N", CUT, CUT, false),
    fate("fault=reset", CUT, CUT, false),
    fate("fault=close_before_head", CUT, CUT, false),
    fate("fault=error_event:N", &["provider_error_event"], FAILED, false),
    fate("fault=bad_chunk:N", &["provider_protocol"], CUT, false),
];

/// Faults that take their time-out's time.
const SLOW: &[Fate] = &[
    fate("fault=stall_after:N", SILENT, SILENT, false),
    fate("fault=stall_after:N;within=1", SILENT, SILENT, false),
    fate("first_ms=600000", &["provider_first_byte_timeout"], &["provider_first_byte_timeout"], false),
    fate("chunks=1000;gap_ms=100", &["total_timeout"], DONE, false),
];

/// An exchange to be made.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) request: Vec<u8>,
    pub(crate) leave: Leave,
    /// Words of the reasons with which its record may end.
    pub(super) reasons: Vec<&'static str>,
    /// Whether the provider's report has to be recorded exactly.
    pub(super) exact: bool,
    /// What it is, for tables.
    pub(super) name: String,
    /// The dialect, if text is generated as a stream.
    pub(super) streamed: Option<&'static str>,
}

/// What the makers of exchanges share.
pub(crate) struct Maker<'g> {
    pub(crate) gateway: &'g Gateway,
    pub(crate) seed: u64,
    /// Of a hundred exchanges that generate, how many meet a fault.
    pub(crate) faulty: u64,
    /// Whether faults that take seconds are among them.
    pub(crate) slow: bool,
}

impl Maker<'_> {
    /// The exchange with this number.
    pub(crate) fn make(&self, number: u64) -> Plan {
        let mut mix = Mix::new(self.seed, number);
        let roll = if self.faulty == 0 { mix.below(80) } else { mix.below(100) };
        match roll {
            0..72 => self.generate(&mut mix, number),
            72..77 => self.embed(&mut mix, number),
            77..80 => self.count(&mut mix, number),
            80..96 => self.refused(&mut mix, number),
            96..98 => self.abandoned(&mut mix, number),
            _ => self.listing(number),
        }
    }

    fn generate(&self, mix: &mut Mix, number: u64) -> Plan {
        let kind = mix.pick(KINDS);
        let stream = mix.percent(65);
        let chunks = 2 + mix.below(30);
        let fates = match mix.below(1_000) {
            roll if roll >= self.faulty * 10 => HEALTHY,
            roll if roll < 40 && self.slow => SLOW,
            _ => FAULTS,
        };
        let fate = mix.pick(fates);
        // A byte at a time is slow for everybody: such answers are short.
        let chunks = if fate.knobs.contains("write_bytes=1") { chunks.min(4) } else { chunks };
        let cut_at = mix.below(chunks);
        // A reset before the head is another fate than one after it.
        let cut_at = if fate.knobs.starts_with("fault=reset:") { cut_at.max(1) } else { cut_at };
        let mut knobs = format!("chunks={chunks};{}", fate.knobs.replace('N', &cut_at.to_string()));
        let mut reasons = if stream { fate.streamed.to_vec() } else { fate.whole.to_vec() };
        let mut exact = fate.exact;
        let mut leave = leave(mix, self.faulty);
        // Responses repeats its whole text in its last events: megabytes of that keep the provider from everybody else.
        if stream && self.slow && kind.name != "openai.responses" && mix.below(1_000) < 2 {
            leave = Leave::Stalled;
            "chunks=96;chunk_bytes=65536;burst=1".clone_into(&mut knobs);
            (reasons, exact) = (vec!["client_timeout", "client_gone"], false);
        } else if leave != Leave::Never {
            // It may be gone before, or see the end in spite of it.
            reasons.extend(["client_gone", "completed"]);
        }
        let text = text(mix);
        let streams = if stream { kind.streams } else { "" };
        let body = format!("{}{text}{}{streams}}}", kind.before, kind.after);
        let path = if stream { kind.stream_path } else { kind.path };
        let way = if stream { "streamed" } else { "whole" };
        Plan {
            request: self.wire(path, number, &knobs, body.as_bytes(), true),
            leave,
            reasons,
            exact,
            name: format!("{} {way}", kind.name),
            streamed: stream.then_some(kind.name),
        }
    }

    fn embed(&self, mix: &mut Mix, number: u64) -> Plan {
        let body = format!("{{\"model\":\"text-embedding-3-small\",\"input\":[\"{}\",\"b\"]}}", text(mix));
        let failed = self.faulty > 0 && mix.percent(20);
        let (knobs, reasons) = if failed { ("status=500", FAILED) } else { ("", DONE) };
        self.plain(
            "openai.embeddings",
            self.wire("/v1/embeddings", number, knobs, body.as_bytes(), true),
            reasons,
            !failed,
        )
    }

    fn count(&self, mix: &mut Mix, number: u64) -> Plan {
        let text = text(mix);
        let (path, body) = if mix.percent(50) {
            (
                "/v1/messages/count_tokens",
                format!(
                    "{{\"model\":\"claude-sonnet-4-5\",\"messages\":[{{\"role\":\"user\",\"content\":\"{text}\"}}]}}"
                ),
            )
        } else {
            (
                "/v1beta/models/gemini-2.5-flash:countTokens",
                format!("{{\"contents\":[{{\"role\":\"user\",\"parts\":[{{\"text\":\"{text}\"}}]}}]}}"),
            )
        };
        self.plain("count tokens", self.wire(path, number, "", body.as_bytes(), true), DONE, false)
    }

    fn refused(&self, mix: &mut Mix, number: u64) -> Plan {
        let kind = mix.pick(KINDS);
        let body = format!("{}{}{}}}", kind.before, text(mix), kind.after);
        let bytes = body.as_bytes();
        match mix.below(8) {
            0 => {
                self.plain("no key", self.wire(kind.path, number, "", bytes, false), &["key_missing"], false)
            }
            1 => {
                let wire = self.with_key(kind.path, number, Some("Bearer nrw_nobody_knows_this_one"), bytes);
                self.plain("unknown key", wire, &["key_unknown"], false)
            }
            2 => {
                let body = body.replace(kind.model, "no-such-model");
                let path = kind.path.replace(kind.model, "no-such-model");
                self.plain(
                    "unknown model",
                    self.wire(&path, number, "", body.as_bytes(), true),
                    &["model_unknown"],
                    false,
                )
            }
            3 => self.plain(
                "unknown path",
                self.wire("/v1/nowhere", number, "", bytes, true),
                &["path_unknown"],
                false,
            ),
            4 => {
                let broken = bytes.get(..bytes.len() / 2).unwrap_or_default();
                // Gemini's model stands in the path, and what is not read passes: the provider says what it thinks of it.
                let reasons: &[&str] = &["body_malformed", "model_missing", "provider_error"];
                self.plain("broken body", self.wire(kind.path, number, "", broken, true), reasons, false)
            }
            5 => {
                let wire = self.wire(kind.path, number, "", bytes, true);
                let wire = [b"PUT ", wire.get(5..).unwrap_or_default()].concat();
                self.plain("wrong method", wire, &["method_not_allowed", "path_unknown"], false)
            }
            6 => self.plain(
                "empty body",
                self.wire("/v1/chat/completions", number, "", b"", true),
                &["body_malformed", "model_missing"],
                false,
            ),
            _ => {
                let huge = vec![b' '; BODY_LIMIT + 1];
                self.plain(
                    "huge body",
                    self.wire(kind.path, number, "", &huge, true),
                    &["body_too_large"],
                    false,
                )
            }
        }
    }

    /// A client that leaves before it has sent its whole request.
    fn abandoned(&self, mix: &mut Mix, number: u64) -> Plan {
        let kind = mix.pick(KINDS);
        let body = format!("{}{}{}}}", kind.before, text(mix), kind.after);
        let request = self.wire(kind.path, number, "", body.as_bytes(), true);
        let head = request.len() - body.len();
        let leave = Leave::AfterBytes(head + mix.index(body.len()));
        Plan { leave, ..self.plain("left within its request", request, &["client_gone"], false) }
    }

    fn listing(&self, number: u64) -> Plan {
        let wire = self.wire("/v1/models", number, "", b"", true);
        // A GET has no body to tell the length of.
        let wire = [b"GET ", wire.get(5..).unwrap_or_default()].concat();
        self.plain("list of models", wire, DONE, false)
    }

    fn plain(&self, name: &str, request: Vec<u8>, reasons: &[&'static str], exact: bool) -> Plan {
        Plan {
            request,
            leave: Leave::Never,
            reasons: reasons.to_vec(),
            exact,
            name: name.to_owned(),
            streamed: None,
        }
    }

    fn wire(&self, path: &str, number: u64, knobs: &str, body: &[u8], with_key: bool) -> Vec<u8> {
        let bearer = self.gateway.bearer().filter(|_| with_key);
        let id = conversation(self.seed, number);
        let mut headers = vec![("x-conversation-id", id.as_str())];
        headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
        if !knobs.is_empty() {
            headers.push(("x-fake", knobs));
        }
        post(&self.gateway.host, &format!("{}{path}", self.gateway.base), &headers, body)
    }

    fn with_key(&self, path: &str, number: u64, bearer: Option<&str>, body: &[u8]) -> Vec<u8> {
        let id = conversation(self.seed, number);
        let mut headers = vec![("x-conversation-id", id.as_str())];
        headers.extend(bearer.map(|bearer| ("authorization", bearer)));
        post(&self.gateway.host, &format!("{}{path}", self.gateway.base), &headers, body)
    }
}

/// The id by which an exchange's record is found, whatever became of its answer.
pub(crate) fn conversation(seed: u64, number: u64) -> String {
    format!("run-{seed:x}-{number}")
}

/// Whether a conversation is of the run with this seed.
pub(super) fn is_of_run(conversation: &str, seed: u64) -> bool {
    conversation.starts_with(&format!("run-{seed:x}-"))
}

fn leave(mix: &mut Mix, faulty: u64) -> Leave {
    let often = if faulty > 0 { 12 } else { 2 };
    if mix.percent(often) { Leave::AfterReads(mix.below(6)) } else { Leave::Never }
}

/// A prompt: mostly short, now and then long.
fn text(mix: &mut Mix) -> String {
    let words = match mix.below(200) {
        0 => 60_000 + mix.index(40_000),
        1..20 => 500 + mix.index(8_000),
        _ => 1 + mix.index(40),
    };
    "Wörter für den Anbieter. ".repeat(words.div_ceil(4))
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_fake::Knobs;

    #[test]
    fn the_provider_knows_every_fate() {
        for fate in HEALTHY.iter().chain(FAULTS).chain(SLOW) {
            assert!(Knobs::parse(&fate.knobs.replace('N', "3")).is_ok(), "{}", fate.knobs);
        }
    }
}
