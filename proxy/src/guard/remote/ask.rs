//! One question to one guardrail: over all of its calls, within its deadline, if its breaker lets it pass.

use super::head::head;
use super::{Failure, Guardrail};
use crate::exchange::Account;
use crate::targets::breaker::{Event, Pass};
use crate::targets::health::{Health, now_ms};
use bytes::Bytes;
use futures_util::stream::{FuturesUnordered, StreamExt};
use narrows_guard::body::Passage;
use narrows_guard::remote::{Answer, Call, Facts, Input, Inquiry, Segment, Stage as Way, Verdict};
use narrows_policy::Stage;
use std::time::Instant;

/// Calls of one question that are open at a time.
pub(crate) const CALLS_AT_ONCE_MAX: usize = 8;

/// About whom and what guardrails are asked, and where that is counted. Costs nothing until one is.
#[derive(Clone, Copy)]
pub(crate) struct About<'a>(&'a Account);

impl<'a> About<'a> {
    /// About an exchange.
    pub(crate) fn of(account: &'a Account) -> About<'a> {
        About(account)
    }

    /// Whose texts they are.
    pub(crate) fn organization(&self) -> &'a str {
        &self.0.caller.organization
    }

    pub(super) fn facts<'f>(&self, request_id: &'f str) -> Facts<'f>
    where
        'a: 'f,
    {
        let Account { caller, model_requested, provider, .. } = self.0;
        Facts {
            organization: Some(&caller.organization).filter(|name| !name.is_empty()).map(String::as_str),
            team: caller.team.as_deref(),
            user: caller.user.as_deref().or(caller.service_account.as_deref()),
            application: self.0.facts().application,
            conversation: self.0.conversation(),
            model: model_requested.as_deref(),
            provider: provider.as_ref().map(|provider| &*provider.name),
            request_id: Some(request_id),
        }
    }
}

impl Guardrail {
    /// Asks about texts, unless they are remembered to have passed. The answer is counted.
    pub(super) async fn ask(
        &self,
        about: &About<'_>,
        stage: Stage,
        passages: &[Passage],
    ) -> Result<Verdict, Failure> {
        let Some(passed) = &self.passed else { return self.ask_counted(about, stage, passages).await };
        let question = passed.question(about, stage, passages);
        if passed.knows(&question, Instant::now()) {
            return Ok(Verdict::Pass);
        }
        let verdict = self.ask_counted(about, stage, passages).await?;
        if verdict == Verdict::Pass {
            passed.keep(question, Instant::now());
        }
        Ok(verdict)
    }

    async fn ask_counted(
        &self,
        about: &About<'_>,
        stage: Stage,
        passages: &[Passage],
    ) -> Result<Verdict, Failure> {
        let begun = Instant::now();
        let asked = self.ask_admitted(about, stage, passages).await;
        let word = match &asked {
            Ok(verdict) => verdict.as_str(),
            Err(failure) => failure.as_str(),
        };
        // What was not asked took no time that could be told of.
        let took = (!matches!(asked, Err(Failure::Open | Failure::Unread(_)))).then(|| begun.elapsed());
        about.0.gateway().metrics.guardrail_asked(&self.settings.name, word, took);
        if let Err(failure) = asked.as_ref()
            && !matches!(failure, Failure::Open)
        {
            tracing::warn!(
                guardrail = %self.settings.name, exchange = %about.0.id_text(), "a guardrail gave no verdict: {failure}"
            );
        }
        asked
    }

    async fn ask_admitted(
        &self,
        about: &About<'_>,
        stage: Stage,
        passages: &[Passage],
    ) -> Result<Verdict, Failure> {
        let Some(pass) = self.health.admit(now_ms()) else { return Err(Failure::Open) };
        let mut telling = Telling { health: &self.health, pass, event: Event::Abandoned };
        let limit = self.settings.timeout;
        let mut sent = false;
        let inquiring = self.inquire(about, stage, passages, &mut sent);
        let asked = match tokio::time::timeout(limit, inquiring).await {
            Ok(asked) => asked,
            Err(_elapsed) => Err(Failure::Late(limit)),
        };
        telling.event = match &asked {
            Err(failure) if failure.is_outage() => Event::Failure,
            // Where there was nothing to ask, or it could not be sent, nothing is learnt.
            _ if !sent => Event::Abandoned,
            // It is there and answers; that the answer makes no sense does not get better by waiting.
            Ok(_) | Err(_) => Event::Success,
        };
        asked
    }

    /// Drives the question over its calls, as many at once as may be open. Notes whether any was `sent`.
    async fn inquire(
        &self,
        about: &About<'_>,
        stage: Stage,
        passages: &[Passage],
        sent: &mut bool,
    ) -> Result<Verdict, Failure> {
        let segments: Vec<Segment<'_>> = passages
            .iter()
            .map(|passage| Segment {
                path: &passage.path,
                provenance: passage.provenance,
                text: &passage.text,
            })
            .collect();
        let way = match stage {
            Stage::Request => Way::Input,
            Stage::Response | Stage::Stream => Way::Output,
        };
        let request_id = about.0.id_text();
        let input = Input { stage: way, segments: &segments, facts: about.facts(&request_id) };
        let (mut inquiry, mut waiting) = Inquiry::begin(&self.settings.remote, input)?;
        waiting.reverse();
        let mut open = FuturesUnordered::new();
        let mut failed: Option<Failure> = None;
        loop {
            while open.len() < CALLS_AT_ONCE_MAX
                && failed.is_none()
                && let Some(call) = waiting.pop()
            {
                open.push(self.call(call));
            }
            // What is open already may still say block, and that holds whatever became of another call.
            let Some((call, answered)) = open.next().await else { break };
            *sent |= !matches!(answered, Err(Failure::Unsendable(_)));
            let read = answered.and_then(|answer| {
                let answer = Answer { status: answer.status, body: &answer.body };
                Ok(inquiry.answer(&call, &answer)?)
            });
            match read {
                Ok(more) => waiting.extend(more),
                Err(failure) => failed = failed.or(Some(failure)),
            }
            if matches!(inquiry.so_far(), Verdict::Block { .. }) {
                break;
            }
        }
        match (inquiry.finish(), failed) {
            (Ok(verdict), _) => Ok(verdict),
            (Err(_), Some(failure)) => Err(failure),
            (Err(error), None) => Err(error.into()),
        }
    }

    async fn call(&self, mut call: Call) -> (Call, Result<super::way::Answer, Failure>) {
        let way = self.way(call.service);
        let answered = match head(self, way, &call) {
            Ok(head) => way.send(&head, &Bytes::from(std::mem::take(&mut call.body))).await,
            Err(failure) => Err(failure),
        };
        (call, answered)
    }
}

/// Tells the breaker what became of a question, also of one that nobody waits for any more.
struct Telling<'a> {
    health: &'a Health,
    pass: Pass,
    event: Event,
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        self.health.tell(self.pass, self.event, now_ms());
    }
}
