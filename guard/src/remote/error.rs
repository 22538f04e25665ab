//! Why there is no verdict.

use thiserror::Error;

/// Why an external guardrail gave no verdict. Never holds anything that the guardrail or a caller said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// There is more text than the guardrail takes.
    #[error("{got} {unit} of text, and it takes {limit}")]
    TooLarge {
        /// What was to be sent.
        got: usize,
        /// The most it takes.
        limit: usize,
        /// Counted in what.
        unit: &'static str,
    },
    /// Two segments have one path, and the contract tells them apart by it.
    #[error("two texts have the same path")]
    AmbiguousPath,
    /// A status that is no verdict.
    #[error("it answered with status {0}")]
    Status(u16),
    /// It refuses our credential (401, 403).
    #[error("it refuses the credential (status {0})")]
    Refused(u16),
    /// It wants fewer requests (429).
    #[error("it is rate limited")]
    RateLimited,
    /// It is not well (500 and above).
    #[error("it failed with status {0}")]
    Unavailable(u16),
    /// It will tell later, which is too late.
    #[error("it put the verdict off")]
    Pending,
    /// An answer without a body.
    #[error("it answered with an empty body")]
    Empty,
    /// A body longer than any verdict.
    #[error("it answered with {got} bytes, and a verdict has at most {limit}")]
    TooLong {
        /// Bytes of the body.
        got: usize,
        /// [`MAX_ANSWER_BYTES`](super::MAX_ANSWER_BYTES).
        limit: usize,
    },
    /// A body that does not follow the contract.
    #[error("its answer is malformed: {0}")]
    Malformed(&'static str),
    /// A word that the contract does not know, where the verdict depends on it.
    #[error("its answer has an unknown {0}")]
    UnknownWord(&'static str),
    /// It says itself that it did not look at everything.
    #[error("it did not look at everything")]
    Incomplete,
    /// It says it masked something, and the mask cannot be applied.
    #[error("its mask cannot be applied: {0}")]
    BadMask(&'static str),
    /// More findings than can be kept; those beyond would be lost silently.
    #[error("it found more than {0} things")]
    TooManyFindings(usize),
    /// A round ended before every call was answered.
    #[error("a call was not answered")]
    Unanswered,
}

impl RemoteError {
    /// A word for metrics and records.
    pub fn as_str(&self) -> &'static str {
        match self {
            RemoteError::TooLarge { .. } => "too_large",
            RemoteError::AmbiguousPath => "ambiguous_path",
            RemoteError::Status(_) => "status",
            RemoteError::Refused(_) => "refused",
            RemoteError::RateLimited => "rate_limited",
            RemoteError::Unavailable(_) => "unavailable",
            RemoteError::Pending => "pending",
            RemoteError::Empty => "empty",
            RemoteError::TooLong { .. } => "too_long",
            RemoteError::Malformed(_) => "malformed",
            RemoteError::UnknownWord(_) => "unknown_word",
            RemoteError::Incomplete => "incomplete",
            RemoteError::BadMask(_) => "bad_mask",
            RemoteError::TooManyFindings(_) => "too_many_findings",
            RemoteError::Unanswered => "unanswered",
        }
    }

    /// Whether it speaks of the guardrail's health, so that a breaker counts it. What we sent, or a credential that is
    /// refused, does not get better by waiting.
    pub fn is_outage(&self) -> bool {
        matches!(self, RemoteError::RateLimited | RemoteError::Unavailable(_) | RemoteError::Unanswered)
    }
}
