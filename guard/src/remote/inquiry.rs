//! One question to a guardrail, over as many calls as it takes.

use super::Remote;
use super::call::{Answer, Call, Step};
use super::error::RemoteError;
use super::input::Input;
use super::verdict::{MAX_FINDINGS, Verdict};

/// Most calls of one question, in calls.
pub const MAX_CALLS: usize = 64;

/// A question under way: calls go out, answers come in, and the end is one verdict. An error of any call is the
/// question's, for nothing is allowed because a part of it was; only a block holds whatever became of the other calls.
/// So whoever drives it may go on after an error, and ask [`Inquiry::finish`] in the end.
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

    /// The verdict on what was answered so far, which later answers can make stricter and never milder.
    pub fn so_far(&self) -> &Verdict {
        &self.verdict
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::remote::testing::{facts, user};
    use crate::remote::{RemoteError, Stage};
    use serde_json::json;

    const PASS: &[u8] = br#"{"action":"allow","category":"benign"}"#;
    const FLAG: &[u8] = br#"{"action":"allow","category":"benign","prompt_detected":{"dlp":true}}"#;
    const BLOCK: &[u8] = br#"{"action":"block","category":"malicious"}"#;

    /// The end of a question of two calls, answered with these.
    fn end(answers: [(u16, &[u8]); 2]) -> Result<Verdict, RemoteError> {
        let remote = Remote::configure("prisma_airs", json!({"profile": "p", "mask": true})).unwrap();
        let segments = [user("a", "one"), user("b", "two")];
        let input = Input { stage: Stage::Input, segments: &segments, facts: facts() };
        let (mut inquiry, calls) = Inquiry::begin(&remote, input).unwrap();
        assert!(!inquiry.is_decided());
        for (call, (status, body)) in calls.iter().zip(answers) {
            let before = inquiry.so_far().clone();
            let answered = inquiry.answer(call, &Answer { status, body });
            assert!(answered.is_ok() || *inquiry.so_far() == before, "an error changes nothing");
        }
        inquiry.finish()
    }

    #[test]
    fn a_block_holds_whatever_became_of_the_other_call() {
        for other in [(200, PASS), (200, FLAG), (500, b""), (200, b"{}")] {
            assert_eq!(end([(200, BLOCK), other]).unwrap().as_str(), "block");
            assert_eq!(end([other, (200, BLOCK)]).unwrap().as_str(), "block");
        }
    }

    #[test]
    fn nothing_else_holds_beside_an_error() {
        for other in [(200, PASS), (200, FLAG)] {
            assert_eq!(end([other, (500, b"")]), Err(RemoteError::Unanswered));
            assert_eq!(end([(200, b"{}"), other]), Err(RemoteError::Unanswered));
        }
        assert_eq!(end([(200, PASS), (200, FLAG)]).unwrap().as_str(), "flag");
        assert_eq!(end([(200, PASS), (200, PASS)]), Ok(Verdict::Pass));
    }
}
