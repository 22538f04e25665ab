//! Copies of content that are kept: secrets are masked in them, whatever policies say. Works on whole texts, beside the
//! requests.

use super::queue::{BLOCKS_MAX, Queue, Waiting};
use crate::guard::repeats::emptied;
use crate::guard::stream::speaker;
use crate::guard::table::TABLE;
use narrows_guard::body::{self, Forgetful, Found, Room, Splice, splice};
use narrows_guard::json::Spot;
use narrows_guard::{Class, Engine, Hit, Provenance, Scratch};
use narrows_llm::Dialect;
use narrows_llm::deltas::{Block, Part, deltas, parts};
use narrows_llm::stream::Documents;
use narrows_sse::{Frame, Framer};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Most secrets that are masked in one text. One that is fuller is not kept.
const SECRETS_MAX: usize = 1_000;

/// Masks secrets in copies. What it cannot look at whole it does not vouch for: that is not kept.
pub(crate) struct Scrubber {
    engines: Vec<Arc<Engine>>,
}

/// A secret in a text.
struct Secret {
    range: Range<usize>,
    with: String,
}

impl Scrubber {
    /// One that finds what any of these finds.
    pub(crate) fn new(engines: Vec<Arc<Engine>>) -> Scrubber {
        Scrubber { engines }
    }

    /// A copy of a body of JSON, or of any other text; `None` if it cannot be vouched for.
    pub(crate) fn body(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(bytes);
        let mut splices = self.splices(&text)?;
        if splices.is_empty() {
            return Some(text.into_owned().into_bytes());
        }
        splices.extend(emptied(&text));
        Some(splice(text.as_bytes(), splices))
    }

    /// A copy of a stream of events. A secret is found in the text that its pieces make, and masked in each.
    pub(crate) fn events(&self, dialect: Dialect, bytes: &[u8]) -> Option<Vec<u8>> {
        let text = String::from_utf8_lossy(bytes);
        let mut stream = Events {
            scrubber: self,
            dialect,
            queue: Queue::default(),
            texts: BTreeMap::new(),
            is_fine: true,
        };
        let mut framer = Framer::new();
        framer.push(text.as_bytes(), &mut |frame| stream.event(&frame));
        let whole = framer.position() - framer.pending().len() as u64;
        if framer.overflowed() || !stream.is_fine {
            return None;
        }
        let Events { mut queue, texts, .. } = stream;
        let mut count = 0;
        for (block, text) in &texts {
            for secret in self.secrets(text, speaker(*block))? {
                count += 1;
                if count > SECRETS_MAX {
                    return None;
                }
                queue.mask(block, &secret.range, &secret.with);
            }
        }
        let mut out = queue.release(text.as_bytes(), 0, whole);
        // What began and never came whole cannot be told from the beginning of a secret.
        let rest = text.get(usize::try_from(whole).unwrap_or(usize::MAX)..).unwrap_or_default();
        if rest.trim().is_empty() {
            out.extend_from_slice(rest.as_bytes());
        }
        Some(out)
    }

    /// A copy of a stream of JSON documents. A secret that stands in no document whole cannot be masked here; then nothing
    /// is vouched for.
    pub(crate) fn documents(&self, dialect: Dialect, bytes: &[u8]) -> Option<Vec<u8>> {
        let scrubbed = self.body(bytes)?;
        let mut texts: BTreeMap<Block, String> = BTreeMap::new();
        let mut documents = Documents::new(scrubbed.len());
        documents.push(&scrubbed, &mut |document| {
            deltas(dialect, document, &mut |block, text| texts.entry(block).or_default().push_str(text));
        });
        for (block, text) in &texts {
            if !self.secrets(text, speaker(*block))?.is_empty() {
                return None;
            }
        }
        Some(scrubbed)
    }

    /// What is to be masked in a text that may be JSON.
    fn splices(&self, text: &str) -> Option<Vec<Splice>> {
        let (mut all, mut room) = (Vec::new(), Room::default());
        for engine in &self.engines {
            match body::search(engine, text, &TABLE, &Forgetful, &mut room) {
                Ok(report) if report.more_texts || report.more_found => return None,
                Ok(report) => all.extend(report.found.iter().filter_map(|found| found_in(engine, found))),
                // No JSON, or too deep to be followed: then it is one text.
                Err(_) => {
                    let secrets = secrets(engine, text, Provenance::User)?;
                    all.extend(secrets.map(|secret| Splice { range: secret.range, with: secret.with }));
                }
            }
        }
        (all.len() <= SECRETS_MAX).then_some(all)
    }

    fn secrets(&self, text: &str, provenance: Provenance) -> Option<Vec<Secret>> {
        let mut all = Vec::new();
        for engine in &self.engines {
            all.extend(secrets(engine, text, provenance)?);
        }
        Some(all)
    }
}

fn secrets(engine: &Engine, text: &str, provenance: Provenance) -> Option<impl Iterator<Item = Secret>> {
    let (mut hits, mut scratch) = (Vec::new(), Scratch::default());
    let scanned = engine.scan(text, provenance, &mut scratch, &mut hits);
    let secret = |hit: Hit| Some(Secret { with: placeholder(engine, hit.rule)?, range: hit.range });
    (!scanned.capped).then(|| hits.into_iter().filter_map(secret).collect::<Vec<_>>().into_iter())
}

fn found_in(engine: &Engine, found: &Found) -> Option<Splice> {
    let with = placeholder(engine, found.rule)?;
    let with = if found.spot == Spot::Number { "null".to_owned() } else { with };
    Some(Splice { range: found.raw.clone(), with })
}

/// What stands in the place of a secret; `None` for what is none.
fn placeholder(engine: &Engine, rule: narrows_guard::RuleIndex) -> Option<String> {
    let rule = engine.rule(rule).filter(|rule| rule.class == Class::Secret)?;
    Some(format!("[{}]", rule.entity))
}

/// What was said in a body that is kept, as it reads: the texts of JSON, the texts that a stream's pieces make, or else the
/// bytes themselves. For looking through, not for showing.
pub(crate) fn words(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start = text.trim_start();
    if ["data:", "event:", "id:", ":"].iter().any(|word| start.starts_with(word)) {
        return words_of_events(&text);
    }
    match body::Passages::of(&text, &TABLE) {
        Ok(passages) => {
            let texts: Vec<&str> = passages.list.iter().map(|passage| passage.text.as_str()).collect();
            texts.join("\n")
        }
        Err(_) => text.into_owned(),
    }
}

/// Which dialect a stream is in is not kept with it; pieces of text are told by their shape.
fn words_of_events(text: &str) -> String {
    let dialects =
        [Dialect::OpenaiChat, Dialect::AnthropicMessages, Dialect::OpenaiResponses, Dialect::GeminiGenerate];
    let mut texts: BTreeMap<Block, String> = BTreeMap::new();
    let mut take = |frame: Frame<'_>| {
        for dialect in dialects {
            let mut found = false;
            deltas(dialect, &frame.data(), &mut |block, piece| {
                found = true;
                texts.entry(block).or_default().push_str(piece);
            });
            if found {
                break;
            }
        }
    };
    let mut framer = Framer::new();
    framer.push(text.as_bytes(), &mut take);
    framer.finish(&mut take);
    texts.into_values().collect::<Vec<_>>().join("\n")
}

struct Events<'a> {
    scrubber: &'a Scrubber,
    dialect: Dialect,
    queue: Queue,
    /// The texts, as far as they came.
    texts: BTreeMap<Block, String>,
    /// Whether all of it could be looked at.
    is_fine: bool,
}

impl Events<'_> {
    fn event(&mut self, frame: &Frame<'_>) {
        let data = frame.data();
        let mut event = Waiting::new(frame);
        let Events { queue, texts, is_fine, .. } = self;
        parts(self.dialect, &data, &mut |part| {
            let Part::Piece(piece) = part else { return };
            if !texts.contains_key(&piece.block) && texts.len() >= BLOCKS_MAX {
                *is_fine = false;
            } else if let Some(text) = queue.note(&mut event, &piece) {
                texts.entry(piece.block).or_default().push_str(&text);
            }
        });
        self.queue.push(event);
        // What stands whole in one event, also beside its pieces of text.
        let found = std::str::from_utf8(&data).ok().and_then(|data| self.scrubber.splices(data));
        match found {
            Some(found) => found.into_iter().for_each(|splice| self.queue.mask_last(splice)),
            None => self.is_fine = false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use narrows_guard::detector::secret;
    use std::sync::LazyLock;

    /// Shaped like a token of GitHub, and none.
    const TOKEN: &str = concat!("ghp", "_", "x7Qm2Lr9Tz4Vb8Kd1Nw6Ys3Hc5Jf0Pg2Ra8e");

    static SCRUBBER: LazyLock<Scrubber> = LazyLock::new(|| {
        let engine = Engine::builder().secrets(secret::built_in().unwrap()).build().unwrap();
        Scrubber::new(vec![Arc::new(engine)])
    });

    fn text(bytes: Option<Vec<u8>>) -> String {
        String::from_utf8(bytes.unwrap()).unwrap()
    }

    #[test]
    fn secrets_are_masked_and_the_rest_stays() {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"use {TOKEN} now"}}],"n":1}}"#);
        let scrubbed = text(SCRUBBER.body(body.as_bytes()));
        let wanted = body.replace(TOKEN, "[GITHUB_TOKEN]");
        assert_eq!(scrubbed, wanted);
        let plain = format!("no JSON: {TOKEN}.");
        assert_eq!(text(SCRUBBER.body(plain.as_bytes())), "no JSON: [GITHUB_TOKEN].");
        let clean = r#"{"messages":[{"content":"mail jane@corp.com"}]}"#;
        assert_eq!(text(SCRUBBER.body(clean.as_bytes())), clean, "personal data is what policies mask");
    }

    #[test]
    fn a_secret_in_pieces_is_masked_in_each() {
        let event = |piece: &str| {
            format!(
                "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{piece}\"}}}}]}}\n\n"
            )
        };
        for size in [1, 3, 7, TOKEN.len()] {
            let said = format!("It is {TOKEN} as ever.");
            let bytes: Vec<char> = said.chars().collect();
            let mut stream: String =
                bytes.chunks(size).map(|piece| event(&piece.iter().collect::<String>())).collect();
            stream.push_str("data: [DONE]\n\n");
            let scrubbed = text(SCRUBBER.events(Dialect::OpenaiChat, stream.as_bytes()));
            let mut read = String::new();
            let mut framer = Framer::new();
            framer.push(scrubbed.as_bytes(), &mut |frame| {
                deltas(Dialect::OpenaiChat, &frame.data(), &mut |_, piece| read.push_str(piece));
            });
            assert_eq!(read, "It is [GITHUB_TOKEN] as ever.", "{size}");
            assert!(scrubbed.ends_with("data: [DONE]\n\n"));
        }
    }

    #[test]
    fn the_beginning_of_an_event_is_left_out() {
        let stream = "data: {\"choices\":[]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"ghp_x7Qm2";
        assert_eq!(
            text(SCRUBBER.events(Dialect::OpenaiChat, stream.as_bytes())),
            "data: {\"choices\":[]}\n\n"
        );
    }

    #[test]
    fn what_is_fuller_than_can_be_masked_is_not_kept() {
        let many = |count: usize| vec![TOKEN; count].join(" , ");
        assert!(SCRUBBER.body(many(SECRETS_MAX).as_bytes()).is_some());
        assert!(SCRUBBER.body(many(SECRETS_MAX + 1).as_bytes()).is_none());
    }
}
