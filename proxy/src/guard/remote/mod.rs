//! External guardrails, asked: the one place that does the I/O for all of their kinds.
//!
//! The codecs say what goes out and what an answer means (`narrows_guard::remote`), the policies say whom to ask and what
//! follows. Here are the connections, which are kept and used again, the deadline, the credential, and the breaker.
//! Nothing of an answer is kept but names, places and scores.

mod ask;
mod consult;
mod head;
mod passed;
mod rewrite;
mod way;

pub(crate) use ask::About;
pub(crate) use consult::{Consulted, Subject};
pub(crate) use rewrite::Said;

use super::Guard;
use crate::config::guard::credential;
use crate::config::settings::{External, Settings};
use crate::targets::health::{Health, Table, now_ms};
use crate::upstream::dns::Dns;
use narrows_guard::remote::{Auth, RemoteError, Service};
use narrows_policy::{Gap, GuardrailIndex, PolicySet, Stage};
use passed::Passed;
use std::sync::Arc;
use std::time::Duration;
use way::Way;

/// The guardrails that policies can ask.
#[derive(Default)]
pub(crate) struct Guardrails {
    /// Few: looked through from the front.
    list: Vec<(GuardrailIndex, Arc<Guardrail>)>,
    /// How each does.
    health: Table,
}

/// A guardrail, ready to be asked.
pub(crate) struct Guardrail {
    pub(crate) settings: External,
    main: Way,
    anonymizer: Option<Way>,
    health: Arc<Health>,
    /// What it has let pass, where that is remembered.
    passed: Option<Passed>,
    /// Everything else that its connections depend on.
    idle: Idle,
}

/// How connections are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Idle {
    most: usize,
    time: Duration,
}

/// Time after which a guardrail that failed once may be there again.
const RETRY_SOON: Duration = Duration::from_secs(1);

/// Why a guardrail gave no verdict. Holds nothing of what was asked or answered.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It failed too often of late, and is not asked for a while.
    #[error("it failed too often of late and is not asked for a while")]
    Open,
    /// It was not done in time.
    #[error("it gave no verdict within {0:?}")]
    Late(Duration),
    /// There was no whole answer.
    #[error("{0}")]
    Wire(#[from] crate::upstream::Fault),
    /// Its answer is compressed in a way that cannot be undone.
    #[error("its answer cannot be decompressed")]
    Coding,
    /// What is to be sent cannot be a head.
    #[error("the call cannot be sent: {0}")]
    Unsendable(&'static str),
    /// Its answer, or what we would ask, makes no sense.
    #[error("{0}")]
    Remote(#[from] RemoteError),
    /// There is nothing to show it.
    #[error("the text cannot be read ({})", .0.as_str())]
    Unread(Gap),
}

impl Failure {
    /// The word in metrics and answers.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Failure::Open => "breaker_open",
            Failure::Late(_) => "timeout",
            Failure::Wire(fault) if fault.is_unreachable() => "unreachable",
            Failure::Wire(_) => "cut",
            Failure::Coding => "malformed",
            Failure::Unsendable(_) => "unsendable",
            Failure::Remote(error) => error.as_str(),
            Failure::Unread(_) => "unread",
        }
    }

    /// How long to wait until there may be a verdict; `None` where waiting changes nothing.
    fn retry(&self, health: &Health) -> Option<Duration> {
        match self {
            Failure::Open => {
                let left = health.until_ms().saturating_sub(now_ms());
                Some(Duration::from_millis(left).max(RETRY_SOON))
            }
            failure => failure.is_outage().then_some(RETRY_SOON),
        }
    }

    /// Whether it speaks of the guardrail's health.
    fn is_outage(&self) -> bool {
        match self {
            Failure::Late(_) | Failure::Wire(_) => true,
            Failure::Remote(error) => error.is_outage(),
            Failure::Open | Failure::Coding | Failure::Unsendable(_) | Failure::Unread(_) => false,
        }
    }

    /// The word that policies know.
    fn gap(&self) -> Gap {
        match self {
            Failure::Late(_) => Gap::Timeout,
            Failure::Unread(gap) => *gap,
            Failure::Remote(RemoteError::TooLarge { .. }) => Gap::TooLarge,
            Failure::Open
            | Failure::Wire(_)
            | Failure::Coding
            | Failure::Unsendable(_)
            | Failure::Remote(_) => Gap::Error,
        }
    }
}

impl Guardrails {
    /// Those of `settings` that policies name. Connections and what was learnt of a guardrail stay with it: the first
    /// as long as nothing about it has changed.
    ///
    /// # Errors
    /// A trust bundle that cannot be used.
    pub(super) fn new(
        settings: &Settings,
        policies: &PolicySet,
        dns: &Dns,
        previous: Option<&Guardrails>,
    ) -> anyhow::Result<Guardrails> {
        let mut made = Guardrails::default();
        let idle = Idle { most: settings.limits.keepalive_pool, time: settings.timeouts.keepalive };
        for external in &settings.guardrails {
            let Some(index) = policies.guardrail(&external.name) else { continue };
            let health = made
                .health
                .of(&format!("guardrails.{}", external.name), previous.map(|previous| &previous.health));
            let kept = previous.and_then(|previous| previous.find(external, idle));
            let guardrail = match kept {
                Some(kept) => Arc::clone(kept),
                None => Arc::new(Guardrail::new(external, dns, health, idle)?),
            };
            made.list.push((index, guardrail));
        }
        Ok(made)
    }

    fn find(&self, external: &External, idle: Idle) -> Option<&Arc<Guardrail>> {
        let mut all = self.iter();
        all.find(|guardrail| guardrail.settings == *external && guardrail.idle == idle)
    }

    /// The guardrail in this place.
    fn get(&self, index: GuardrailIndex) -> Option<&Arc<Guardrail>> {
        self.list.iter().find(|(own, _)| *own == index).map(|(_, guardrail)| guardrail)
    }

    /// Every guardrail.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Guardrail>> {
        self.list.iter().map(|(_, guardrail)| guardrail)
    }

    /// Closes connections that were idle for too long.
    pub(crate) fn sweep(&self) {
        self.iter().flat_map(|guardrail| guardrail.ways()).for_each(|way| way.pool.sweep());
    }

    /// Lets go of the connections that `successor` does not use.
    pub(crate) fn retire(&self, successor: &Guardrails) {
        for guardrail in self.iter() {
            if !successor.iter().any(|other| Arc::ptr_eq(other, guardrail)) {
                guardrail.ways().for_each(|way| way.pool.retire());
            }
        }
    }
}

impl Guardrail {
    fn new(external: &External, dns: &Dns, health: Arc<Health>, idle: Idle) -> anyhow::Result<Guardrail> {
        let way = |url| Way::new(external, url, dns.clone(), idle);
        Ok(Guardrail {
            main: way(&external.url)?,
            anonymizer: external.anonymizer_url.as_ref().map(way).transpose()?,
            settings: external.clone(),
            passed: external.remember.and_then(Passed::new),
            health,
            idle,
        })
    }

    fn ways(&self) -> impl Iterator<Item = &Way> {
        std::iter::once(&self.main).chain(&self.anonymizer)
    }

    fn way(&self, service: Service) -> &Way {
        match service {
            Service::Main => &self.main,
            Service::Anonymizer => self.anonymizer.as_ref().unwrap_or(&self.main),
        }
    }

    /// Its credential, in the form that a call needs.
    fn credential(&self, auth: &Auth) -> Result<Option<credential::Credential<'_>>, Failure> {
        let Some(secret) = &self.settings.credential else { return Ok(None) };
        credential::Credential::new(auth, secret.reveal()).map(Some).map_err(Failure::Unsendable)
    }

    /// How it does.
    pub(crate) fn health(&self) -> &Health {
        &self.health
    }

    /// Connections made, and times one was used again.
    pub(crate) fn connections(&self) -> (u64, u64) {
        use std::sync::atomic::Ordering::Relaxed;
        let count = |count: (u64, u64), way: &Way| {
            (count.0 + way.pool.opened.load(Relaxed), count.1 + way.pool.reused.load(Relaxed))
        };
        self.ways().fold((0, 0), count)
    }
}

impl Guard {
    /// This guard, with the guardrails that its policies name.
    ///
    /// # Errors
    /// A trust bundle that cannot be used.
    pub(crate) fn asking(
        self,
        settings: &Settings,
        dns: &Dns,
        previous: Option<&Guard>,
    ) -> anyhow::Result<Guard> {
        let previous = previous.map(|previous| &previous.remote);
        Ok(Guard { remote: Guardrails::new(settings, &self.policies, dns, previous)?, ..self })
    }
}
