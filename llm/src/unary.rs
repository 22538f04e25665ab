//! Reading usage out of a buffered answer, by the same machines as a streamed one.

use crate::dialect::Dialect;
use crate::stream::documents::Documents;
use crate::stream::machine::Machine;
use crate::stream::{Reported, StreamEnd};
use narrows_meter::Usage;

/// What a buffered answer says.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// Usage the provider reported.
    pub usage: Usage,
    /// How much of it was reported.
    pub reported: Reported,
    /// The answer's own id.
    pub id: Option<Box<str>>,
    /// Ids of the items that the answer consists of (Responses); at most 256.
    pub items: Vec<Box<str>>,
    /// The model the provider says it used.
    pub model: Option<Box<str>>,
    /// Generated text, in bytes (an estimate; embeddings generate none).
    pub output_text_bytes: u64,
    /// Type of the error, when the body is (or carries) one.
    pub error: Option<Box<str>>,
    /// Figures contradicted each other; `usage` is the best reading.
    pub anomaly: bool,
}

/// Reads a whole JSON body. Never fails: of what is no JSON, nothing is known. A list of objects (Gemini) and objects one per
/// line are read like the stream they are.
pub fn read(dialect: Dialect, body: &[u8]) -> Answer {
    let mut machine = Machine::new(dialect);
    if !machine.whole(body) {
        Documents::new(body.len()).push(body, &mut |json| machine.document(json));
    }
    let (usage, reported, anomaly) = machine.reading();
    let error = match machine.end(false) {
        StreamEnd::ErrorEvent { kind } => Some(kind),
        _ => None,
    };
    let output_text_bytes = machine.facts().text;
    let (id, items) = (machine.facts().id.clone(), machine.facts().items.clone());
    Answer { usage, reported, id, items, model: machine.into_model(), output_text_bytes, error, anomaly }
}
