//! One question to a guardrail, over as many calls as it takes.

use super::Remote;
use super::call::{Answer, Call, Step};
use super::error::RemoteError;
use super::input::Input;
use super::verdict::{MAX_FINDINGS, Verdict};

/// Most calls of one question, in calls.
pub const MAX_CALLS: usize = 64;

/// A question under way: calls go out, answers come in, and the end is one verdict. An error of any call is the
/// question's; nothing is allowed because a part of it was.
#[derive(Debug)]
pub struct Inquiry<'a> {
    remote: &'a Remote,
    input: Input<'a>,
    verdict: Verdict,
    made: usize,
    open: usize,
}

impl<'a> Inquiry<'a> {
    /// Begins: the calls to make, which may be made at once. None, when there is no text to ask about.
    ///
    /// # Errors
    /// There is more text than the guardrail takes.
    pub fn begin(remote: &'a Remote, input: Input<'a>) -> Result<(Inquiry<'a>, Vec<Call>), RemoteError> {
        let calls = remote.calls(&input)?;
        let mut inquiry = Inquiry { remote, input, verdict: Verdict::Pass, made: 0, open: 0 };
        inquiry.opened(&calls)?;
        Ok((inquiry, calls))
    }

    /// Takes an answer: the calls that follow from it, mostly none.
    ///
    /// # Errors
    /// The answer is no verdict, or the question takes too many calls.
    pub fn answer(&mut self, call: &Call, answer: &Answer<'_>) -> Result<Vec<Call>, RemoteError> {
        let more = match self.remote.read(&self.input, call, answer)? {
            Step::Ask(calls) => calls,
            Step::Done(verdict) => {
                if verdict.findings().len() > MAX_FINDINGS {
                    return Err(RemoteError::TooManyFindings(MAX_FINDINGS));
                }
                let before = std::mem::replace(&mut self.verdict, Verdict::Pass);
                self.verdict = before.and(verdict)?;
                Vec::new()
            }
        };
        self.open = self.open.saturating_sub(1);
        self.opened(&more)?;
        Ok(more)
    }

    /// Whether the answers so far decide it: nothing that is still open can make a block milder.
    pub fn is_decided(&self) -> bool {
        self.open == 0 || matches!(self.verdict, Verdict::Block { .. })
    }

    /// The verdict on the whole input.
    ///
    /// # Errors
    /// Calls are still open and the verdict may change.
    pub fn finish(self) -> Result<Verdict, RemoteError> {
        match self.is_decided() {
            true => Ok(self.verdict),
            false => Err(RemoteError::Unanswered),
        }
    }

    fn opened(&mut self, calls: &[Call]) -> Result<(), RemoteError> {
        self.made += calls.len();
        self.open += calls.len();
        match self.made > MAX_CALLS {
            true => Err(RemoteError::TooLarge { got: self.made, limit: MAX_CALLS, unit: "calls" }),
            false => Ok(()),
        }
    }
}
