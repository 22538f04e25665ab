//! Step 6: what changes in the body before it goes upstream. Everything else stays byte for byte.

use super::admit::Admitted;
use super::read::Body;
use super::route::{Target, Upstream};
use crate::buffers::Share;
use crate::respond::Refusal;
use narrows_llm::request::{self, Segments};
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
}

/// Settles the body's bytes. Edits are spliced into the text; a body without edits goes on as it came, compressed
/// or not.
pub(crate) fn inspect(admitted: Admitted) -> Result<Inspected, Refusal> {
    let Upstream { target, body, edits } = admitted.0;
    let Body { wire, text, compressed, share } = body;
    if edits.is_empty() {
        return Ok(Inspected { target, segments: Segments::from(wire), compressed, share });
    }
    let segments = request::apply(&text, edits).map_err(|fault| {
        Refusal::new(Reason::GatewayBug, format!("the body could not be edited: {fault}"))
    })?;
    Ok(Inspected { target, segments, compressed: false, share })
}
