//! What an external guardrail is asked about: text in pieces, where it stands, and who sent it.

use crate::finding::Provenance;
use std::fmt;

/// When in an exchange the text is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// On its way to the model.
    Input,
    /// On its way back.
    Output,
}

impl Stage {
    /// The stable word.
    pub fn as_str(self) -> &'static str {
        match self {
            Stage::Input => "input",
            Stage::Output => "output",
        }
    }
}

/// One text of a request or an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Segment<'a> {
    /// The field it stands in, such as `messages[3].content[1].text`; no two segments of an input have the same.
    pub path: &'a str,
    /// Who wrote it.
    pub provenance: Provenance,
    /// The text, with every escape of its wire format undone.
    pub text: &'a str,
}

impl fmt::Debug for Segment<'_> {
    /// Where it stands and how long it is; never what it says.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Segment { path, provenance, text } = self;
        f.debug_struct("Segment")
            .field("path", path)
            .field("provenance", provenance)
            .field("bytes", &text.len())
            .finish()
    }
}

/// What may be told about an exchange. A guardrail is told what is known and its contract has a place for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts<'a> {
    /// The organization.
    pub organization: Option<&'a str>,
    /// The team.
    pub team: Option<&'a str>,
    /// The user's or service account's name.
    pub user: Option<&'a str>,
    /// The application.
    pub application: Option<&'a str>,
    /// The conversation.
    pub conversation: Option<&'a str>,
    /// The model asked for.
    pub model: Option<&'a str>,
    /// Who serves it.
    pub provider: Option<&'a str>,
    /// Our own id of the request.
    pub request_id: Option<&'a str>,
}

/// The question to a guardrail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Input<'a> {
    /// Which way the text goes.
    pub stage: Stage,
    /// The texts, in the order of the conversation.
    pub segments: &'a [Segment<'a>],
    /// About whom and what.
    pub facts: Facts<'a>,
}

impl<'a> Input<'a> {
    /// The text of a segment.
    pub(crate) fn text(&self, segment: usize) -> Option<&'a str> {
        self.segments.get(segment).map(|segment| segment.text)
    }
}

/// The role that chat interfaces know a text's author by.
pub(crate) fn role(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::System | Provenance::ToolDefinition => "system",
        Provenance::User | Provenance::Document => "user",
        Provenance::Assistant | Provenance::ToolInput => "assistant",
        Provenance::ToolResult => "tool",
    }
}

/// The stable word for who wrote a text.
pub(crate) fn author(provenance: Provenance) -> &'static str {
    match provenance {
        Provenance::System => "system",
        Provenance::User => "user",
        Provenance::Assistant => "assistant",
        Provenance::ToolInput => "tool_input",
        Provenance::ToolResult => "tool_result",
        Provenance::Document => "document",
        Provenance::ToolDefinition => "tool_definition",
    }
}
