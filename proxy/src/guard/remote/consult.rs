//! Everybody that a decision needs is asked: beside our own detectors those whose verdict counts, after them, one by
//! one, those whose rewriting does.

use super::super::search::{Reading, Sight};
use super::super::{Guard, Judging, Pieces, Values};
use super::ask::About;
use super::rewrite::{Came, Rewriting, Shown};
use super::{Failure, Said};
use bytes::Bytes;
use futures_util::future::join_all;
use narrows_guard::body::{Passages, Splice, splice};
use narrows_guard::placeholder::Minter;
use narrows_policy::{
    Answer, Coverage, Decision, Evidence, Gap, GuardrailIndex, GuardrailSet, Needs, PolicySet, Scope, Seen,
    Stage,
};
use std::sync::Arc;
use std::time::Duration;

/// What guardrails said of the content of a stage.
#[derive(Debug)]
pub(crate) struct Consulted {
    /// In the order in which they were asked.
    pub(crate) said: Vec<Said>,
    /// Whether everybody who is needed was asked, so that whoever said nothing has failed.
    complete: bool,
}

impl Consulted {
    /// Nobody was there to be asked: who is needed has failed.
    pub(crate) fn nobody() -> Consulted {
        Consulted { said: Vec::new(), complete: true }
    }

    /// Nobody is asked, on purpose: what guardrails would say is left open.
    pub(crate) fn unasked() -> Consulted {
        Consulted { said: Vec::new(), complete: false }
    }

    /// What policies say.
    pub(crate) fn decide(
        &self,
        policies: &PolicySet,
        scope: &Scope,
        stage: Stage,
        findings: &[Seen],
        coverage: Coverage,
    ) -> Decision {
        let words: Vec<Vec<&str>> = self.said.iter().map(Said::words).collect();
        let answers: Vec<Answer<'_>> =
            self.said.iter().zip(&words).map(|(said, words)| said.answer(words)).collect();
        let evidence = Evidence { findings, coverage, answers: &answers, complete: self.complete };
        policies.decide(scope, stage, &evidence)
    }

    /// What a guardrail's rewriting puts in the place of what.
    pub(crate) fn rewriting(&self, guardrail: GuardrailIndex) -> Option<&[Splice]> {
        self.said.iter().find_map(|said| match &said.outcome {
            Came::Rewritten(splices, _) if said.guardrail == guardrail => Some(splices.as_slice()),
            _ => None,
        })
    }

    /// How long to wait until all of those who gave no verdict may have one; `None` where waiting changes nothing.
    pub(crate) fn retry(&self) -> Option<Duration> {
        let failed = self.said.iter().filter(|said| matches!(said.outcome, Came::Failed(_)));
        let waits: Option<Vec<Duration>> = failed.map(|said| said.retry).collect();
        waits?.into_iter().max()
    }

    /// Whether guardrails found something.
    pub(crate) fn found(&self) -> bool {
        self.said.iter().any(|said| !said.findings.is_empty())
    }
}

/// What is looked at: a stage's content, in the place that policies know it by.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) scope: &'a Scope,
    pub(crate) stage: Stage,
    pub(crate) text: &'a Bytes,
    pub(crate) reading: Reading,
}

impl Guard {
    /// Looks at content: our own detectors, and the guardrails that policies need.
    pub(crate) async fn look(
        self: &Arc<Self>,
        about: &About<'_>,
        subject: &Subject<'_>,
        minter: &mut Option<Minter>,
    ) -> (Sight, Consulted) {
        let needs = self.policies.needs(subject.scope, subject.stage);
        if needs.is_nothing() {
            return (Sight::none(Gap::Off), Consulted::nobody());
        }
        if needs.validators.is_empty() && needs.mutators.is_empty() {
            let sight = self.read(about.organization(), subject.text, subject.reading).await;
            return (sight, Consulted::nobody());
        }
        // Its future is large, and most exchanges do without it.
        Box::pin(self.consult(about, subject, needs, minter)).await
    }

    async fn consult(
        self: &Arc<Self>,
        about: &About<'_>,
        subject: &Subject<'_>,
        needs: Needs,
        minter: &mut Option<Minter>,
    ) -> (Sight, Consulted) {
        let organization = about.organization();
        let passages = self.passages(subject.text, subject.reading).await;
        let body = std::str::from_utf8(subject.text).unwrap_or_default();
        let asking = self.ask_all(about, subject.stage, needs.validators, body, &passages);
        // What is asked is on its way before our own detectors begin.
        let (said, sight) = tokio::join!(asking, self.read(organization, subject.text, subject.reading));
        let mut consulted = Consulted { said, complete: false };
        if !needs.mutators.is_empty() {
            let mut rewriting =
                Mutating { guard: self, about, subject, sight: &sight, consulted: &mut consulted, minter };
            if !rewriting.run(needs.mutators, body, passages).await {
                return (sight, consulted);
            }
        }
        consulted.complete = true;
        (sight, consulted)
    }

    /// Looks at a body that is no JSON of a dialect: our own detectors, and the guardrails whose verdict policies need.
    /// Those that rewrite are not asked.
    pub(crate) async fn look_at_pieces(
        self: &Arc<Self>,
        about: &About<'_>,
        scope: &Scope,
        stage: Stage,
        pieces: &Arc<Pieces>,
    ) -> (Sight, Consulted) {
        let asking = self.ask_of_pieces(about, scope, stage, Some(pieces));
        let (sight, consulted) = tokio::join!(self.search_pieces(about.organization(), pieces), asking);
        (sight, consulted)
    }

    /// Asks about the texts of a body that is no JSON of a dialect; `None` for one that was lost.
    pub(crate) async fn ask_of_pieces(
        &self,
        about: &About<'_>,
        scope: &Scope,
        stage: Stage,
        pieces: Option<&Pieces>,
    ) -> Consulted {
        let needs = self.policies.needs(scope, stage);
        if needs.validators.is_empty() {
            return Consulted::nobody();
        }
        let passages = pieces.map_or(Err(Gap::Error), Pieces::passages);
        let said = Box::pin(self.ask_all(about, stage, needs.validators, "", &passages)).await;
        Consulted { said, complete: true }
    }

    /// Asks about the texts of a stream that has ended. Of a stream that was not seen whole nothing passes.
    pub(crate) async fn ask_of_stream(
        &self,
        about: &About<'_>,
        scope: &Scope,
        passages: Result<Passages, Gap>,
    ) -> Consulted {
        let needs = self.policies.needs(scope, Stage::Stream);
        if needs.validators.is_empty() {
            return Consulted::nobody();
        }
        let said = Box::pin(self.ask_all(about, Stage::Stream, needs.validators, "", &passages)).await;
        Consulted { said, complete: true }
    }

    /// Asks those whose verdict counts, all at once.
    async fn ask_all(
        &self,
        about: &About<'_>,
        stage: Stage,
        all: GuardrailSet,
        body: &str,
        passages: &Result<Passages, Gap>,
    ) -> Vec<Said> {
        join_all(all.iter().map(|index| self.ask_one(about, stage, index, body, passages, None))).await
    }

    async fn ask_one(
        &self,
        about: &About<'_>,
        stage: Stage,
        index: GuardrailIndex,
        body: &str,
        passages: &Result<Passages, Gap>,
        rewriting: Option<Rewriting<'_>>,
    ) -> Said {
        let Some(guardrail) = self.remote.get(index) else {
            let name = self.policies.guardrail_name(index).into();
            return Said::failed(index, name, &Failure::Unread(Gap::Error));
        };
        let asked = match passages {
            Ok(passages) if !passages.more => guardrail.ask(about, stage, &passages.list).await,
            Ok(_) => Err(Failure::Unread(Gap::DepthCap)),
            Err(gap) => Err(Failure::Unread(*gap)),
        };
        let list = passages.as_ref().map(|passages| passages.list.as_slice()).unwrap_or_default();
        let shown = Shown { body, passages: list, key: self.keys.of(about.organization()) };
        Said::new(index, guardrail, asked, &shown, rewriting)
    }
}

/// Those that rewrite, one after the other, each reading what the one before it wrote.
struct Mutating<'a, 'b> {
    guard: &'a Arc<Guard>,
    about: &'a About<'b>,
    subject: &'a Subject<'a>,
    sight: &'a Sight,
    consulted: &'a mut Consulted,
    minter: &'a mut Option<Minter>,
}

impl Mutating<'_, '_> {
    /// Asks them. `false` when the content is refused before all were asked.
    async fn run(&mut self, mutators: GuardrailSet, body: &str, passages: Result<Passages, Gap>) -> bool {
        let (decision, masks) = self.so_far(body);
        if decision.refuses() {
            return false;
        }
        let (mut after, mut passages) = (u32::from(!decision.masks.is_empty()), passages);
        // Whoever rewrites reads what we have masked, and not what stood there.
        let mut current = self.subject.text.clone();
        if !masks.is_empty() {
            current = Bytes::from(splice(&current, masks));
            passages = self.guard.passages(&current, self.subject.reading).await;
        }
        // What is put in for guardrails is not kept: it is never put back.
        let mut theirs = Minter::new(self.guard.keys.of(self.about.organization()));
        for index in mutators.iter() {
            let text = std::str::from_utf8(&current).unwrap_or_default();
            let rewriting = Some(Rewriting { after, minter: &mut theirs });
            let stage = self.subject.stage;
            let said = self.guard.ask_one(self.about, stage, index, text, &passages, rewriting).await;
            self.consulted.said.push(said);
            let (decision, _) = self.so_far(body);
            if decision.refuses() {
                return false;
            }
            let rewriting = self.consulted.rewriting(index).filter(|_| decision.adopted.contains(&index));
            if let Some(splices) = rewriting {
                current = Bytes::from(splice(&current, splices.to_vec()));
                passages = self.guard.passages(&current, self.subject.reading).await;
                after += 1;
            }
        }
        true
    }

    /// What is decided by what is known by now, and what our own masks come to.
    fn so_far(&mut self, body: &str) -> (Decision, Vec<Splice>) {
        let judging = Judging {
            guard: self.guard,
            scope: self.subject.scope,
            organization: self.about.organization(),
            stage: self.subject.stage,
            sight: self.sight,
            values: Values::In(body),
            consulted: self.consulted,
        };
        let decision = judging.decide();
        let masks = judging.masks(&decision, self.minter);
        (decision, masks)
    }
}
