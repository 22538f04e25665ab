//! Where in an exchange content is inspected, and how much of it was.
//!
//! Nothing is ever reported as checked that was not: what was not looked at, or not to its end, says why, in a word of
//! one closed list.

use serde::{Deserialize, Serialize};

/// A part of an exchange that is inspected by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The request's body, held whole before a byte goes to the provider.
    Request,
    /// An answer that is held whole before a byte goes to the caller.
    Response,
    /// An answer that is passed on as it comes.
    Stream,
}

impl Stage {
    /// Every stage, in order of declaration.
    pub const ALL: [Stage; 3] = [Stage::Request, Stage::Response, Stage::Stream];

    /// The stable word used in configuration, records, metrics and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Stage::Request => "request",
            Stage::Response => "response",
            Stage::Stream => "stream",
        }
    }

    /// The stage with this word.
    pub fn from_word(word: &str) -> Option<Stage> {
        Stage::ALL.into_iter().find(|stage| stage.as_str() == word)
    }
}

/// What a policy does with what it decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Decide and write down; change and refuse nothing.
    Audit,
    /// Carry the decision out; a failure to inspect counts as the policy says (a Block policy refuses).
    #[default]
    Enforce,
    /// Carry the decision out; what cannot be inspected passes, and the record says so.
    EnforceIgnoreErrors,
}

impl Mode {
    /// Every mode, in order of declaration.
    pub const ALL: [Mode; 3] = [Mode::Audit, Mode::Enforce, Mode::EnforceIgnoreErrors];

    /// The stable word used in configuration, records and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Mode::Audit => "audit",
            Mode::Enforce => "enforce",
            Mode::EnforceIgnoreErrors => "enforce_ignore_errors",
        }
    }
}

macro_rules! gaps {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal;)+) => {
        /// Why something was not inspected, or not all of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Gap {
            $($(#[doc = $doc])+ #[serde(rename = $word)] $variant,)+
        }

        impl Gap {
            /// Every gap, in order of declaration.
            pub const ALL: &'static [Gap] = &[$(Gap::$variant,)+];

            /// The stable word used in records, metrics and reports.
            pub const fn as_str(self) -> &'static str {
                match self { $(Gap::$variant => $word,)+ }
            }

            /// The gap with this word.
            pub fn from_word(word: &str) -> Option<Gap> {
                match word { $($word => Some(Gap::$variant),)+ _ => None }
            }
        }
    };
}

gaps! {
    /// No policy asks for this stage to be inspected.
    Off = "off";
    /// The bytes are not text that is understood: media, an unknown format.
    NotText = "not_text";
    /// The bytes claim to be text and cannot be read: an unknown or broken coding, JSON that ends early.
    Undecodable = "undecodable";
    /// More bytes than are inspected.
    TooLarge = "too_large";
    /// A compressed body became larger than a body may.
    ExpansionCap = "expansion_cap";
    /// Texts nested deeper, or in more pieces, than are followed.
    DepthCap = "depth_cap";
    /// More findings than are kept; there are those that are listed and others.
    FindingsCap = "findings_cap";
    /// The scanner of a stream did not keep up, and the stream was not made to wait.
    QueueFull = "queue_full";
    /// A detector or an external guardrail did not answer in time.
    Timeout = "timeout";
    /// A detector or an external guardrail failed.
    Error = "error";
    /// Messages of a WebSocket are not inspected.
    Websocket = "websocket";
    /// The path is passed through uninspected, as the configuration says.
    PassThrough = "pass_through";
    /// The exchange ended before all of it had come.
    Cut = "cut";
    /// An external guardrail is not asked about content of this kind.
    NotAsked = "not_asked";
    /// It streamed through because no policy masks or refuses it, and more of it came than is copied to be looked at.
    Streamed = "streamed";
}

/// How much of a stage's content was inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "extent", content = "gap", rename_all = "snake_case")]
pub enum Coverage {
    /// All of it.
    Full,
    /// A part, and why not the rest.
    Partial(Gap),
    /// Nothing, and why.
    None(Gap),
}

impl Coverage {
    /// `full`, `partial` or `none`.
    pub const fn extent(self) -> &'static str {
        match self {
            Coverage::Full => "full",
            Coverage::Partial(_) => "partial",
            Coverage::None(_) => "none",
        }
    }

    /// Why something is missing; `None` when nothing is.
    pub const fn gap(self) -> Option<Gap> {
        match self {
            Coverage::Full => None,
            Coverage::Partial(gap) | Coverage::None(gap) => Some(gap),
        }
    }

    /// What is known when two parts of one stage were covered so: a gap stays a gap, and the first one names it.
    #[must_use]
    pub const fn and(self, other: Coverage) -> Coverage {
        match (self, other) {
            (Coverage::Full, Coverage::Full) => Coverage::Full,
            (Coverage::None(gap), Coverage::None(_)) => Coverage::None(gap),
            (Coverage::Partial(gap) | Coverage::None(gap), _)
            | (Coverage::Full, Coverage::Partial(gap) | Coverage::None(gap)) => Coverage::Partial(gap),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_unique_and_read_back() {
        for gap in Gap::ALL {
            assert_eq!(Gap::from_word(gap.as_str()), Some(*gap));
            assert_eq!(serde_json::to_string(gap).unwrap(), format!("\"{}\"", gap.as_str()));
        }
        for stage in Stage::ALL {
            assert_eq!(Stage::from_word(stage.as_str()), Some(stage));
            assert_eq!(serde_json::to_string(&stage).unwrap(), format!("\"{}\"", stage.as_str()));
        }
        for mode in Mode::ALL {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{}\"", mode.as_str()));
        }
        assert_eq!((Gap::from_word("full"), Stage::from_word("answer")), (None, None));
    }

    #[test]
    fn parts_are_covered_as_their_worst() {
        let (full, partial, none) =
            (Coverage::Full, Coverage::Partial(Gap::QueueFull), Coverage::None(Gap::NotText));
        let table = [
            (full, full, full),
            (full, partial, partial),
            (full, none, Coverage::Partial(Gap::NotText)),
            (partial, full, partial),
            (partial, none, partial),
            (none, full, Coverage::Partial(Gap::NotText)),
            (none, partial, Coverage::Partial(Gap::NotText)),
            (none, Coverage::None(Gap::Off), none),
        ];
        for (one, other, both) in table {
            assert_eq!(one.and(other), both, "{one:?} and {other:?}");
        }
    }
}
