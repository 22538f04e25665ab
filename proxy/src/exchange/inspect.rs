//! Step 6: what changes in the body before it goes upstream. Everything else stays byte for byte.

use super::admit::Admitted;
use super::choice::Choice;
use super::read::Body;
use super::route::{Target, Upstream};
use crate::buffers::Share;
use crate::respond::Refusal;
use bytes::Bytes;
use narrows_llm::request::{self, Edit, Segments};
use narrows_policy::Reason;

/// A request ready to be sent.
pub(crate) struct Inspected {
    pub(crate) target: Target,
    /// The body to send.
    pub(crate) segments: Segments,
    /// Whether `segments` are as compressed as the client sent them.
    pub(crate) compressed: bool,
    /// Held until the body is released.
    pub(crate) share: Share,
    /// Where else the request may go, if its model has targets.
    pub(crate) choice: Option<Box<Choice>>,
}

/// Settles the body's bytes. Edits are spliced into the text; a body without edits goes on as it came, compressed
/// or not.
pub(crate) fn inspect(admitted: Admitted) -> Result<Inspected, Refusal> {
    let Upstream { target, body, edits, choice } = admitted.0;
    let Body { wire, text, compressed, share } = body;
    let edited = !edits.is_empty();
    let segments = spliced(wire, &text, edits)?;
    Ok(Inspected { target, segments, compressed: compressed && !edited, share, choice })
}

/// The bytes to send: the text with its edits, or the body as it came if there are none.
pub(super) fn spliced(wire: Bytes, text: &Bytes, edits: Vec<Edit>) -> Result<Segments, Refusal> {
    if edits.is_empty() {
        return Ok(Segments::from(wire));
    }
    request::apply(text, edits)
        .map_err(|fault| Refusal::new(Reason::GatewayBug, format!("the body could not be edited: {fault}")))
}
