//! What is wrong with a body, and where.

use std::fmt;

/// Why a body is not the JSON object that model APIs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyCause {
    /// There is nothing but blanks.
    Empty,
    /// The body is JSON of another kind, or no JSON at all: it does not begin with `{`.
    NotAnObject,
    /// The body ends inside a value.
    UnexpectedEnd,
    /// The body ends inside a string.
    UnterminatedString,
    /// A character below U+0020 stands unescaped in a string.
    ControlCharacter,
    /// A backslash is followed by something that is no escape.
    InvalidEscape,
    /// The bytes of a string are not UTF-8.
    InvalidUtf8,
    /// A bare word other than `true`, `false` and `null`.
    InvalidLiteral,
    /// A number that JSON's grammar does not know.
    InvalidNumber,
    /// Something else stands where this was expected.
    Expected(&'static str),
    /// Something follows the object.
    TrailingData,
    /// Arrays and objects are nested deeper than [`MAX_DEPTH`](super::head::MAX_DEPTH).
    TooDeep,
    /// This member occurs twice, so two readers could see two different requests.
    Duplicate(&'static str),
    /// This member has a type other than the one named.
    WrongType {
        /// The member.
        member: &'static str,
        /// What it must be, such as `a string`.
        want: &'static str,
    },
    /// The model's name is longer than [`MAX_MODEL_BYTES`](super::head::MAX_MODEL_BYTES).
    ModelTooLong,
    /// The model's name is not text: it has a lone surrogate or a control character.
    ModelNotText,
}

/// What is wrong with a body, and at which byte (counted from 0).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyFault {
    /// What is wrong.
    pub cause: BodyCause,
    /// Offset of the offending byte, or the body's length when it ends too early.
    pub at: usize,
}

impl BodyFault {
    #[cold]
    pub(super) fn new(cause: BodyCause, at: usize) -> BodyFault {
        BodyFault { cause, at }
    }
}

impl fmt::Display for BodyFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.cause {
            BodyCause::Empty => return f.write_str("the body is empty; a JSON object is expected"),
            BodyCause::Duplicate(member) => {
                return write!(f, "the body names `{member}` twice, again at byte {}", self.at);
            }
            BodyCause::WrongType { member, want } => {
                return write!(f, "`{member}` must be {want}, at byte {}", self.at);
            }
            BodyCause::ModelTooLong => {
                return write!(f, "`model` is longer than {} bytes", super::head::MAX_MODEL_BYTES);
            }
            BodyCause::ModelNotText => return f.write_str("`model` is not text"),
            BodyCause::NotAnObject => {
                return write!(f, "the body is not a JSON object: `{{` is expected at byte {}", self.at);
            }
            BodyCause::TooDeep => {
                return write!(
                    f,
                    "the body is nested deeper than {} levels at byte {}",
                    super::head::MAX_DEPTH,
                    self.at
                );
            }
            BodyCause::UnexpectedEnd => "it ends too early",
            BodyCause::UnterminatedString => "unterminated string",
            BodyCause::ControlCharacter => "unescaped control character in a string",
            BodyCause::InvalidEscape => "invalid escape",
            BodyCause::InvalidUtf8 => "a string is not UTF-8",
            BodyCause::InvalidLiteral => "unknown literal",
            BodyCause::InvalidNumber => "invalid number",
            BodyCause::Expected(what) => {
                return write!(f, "the body is not valid JSON: {what} expected at byte {}", self.at);
            }
            BodyCause::TrailingData => "something follows the object",
        };
        write!(f, "the body is not valid JSON: {what} at byte {}", self.at)
    }
}

impl std::error::Error for BodyFault {}
