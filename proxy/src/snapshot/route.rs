//! A model's targets, and the choice among them.

use super::{Provider, Resolved};
use crate::config::pattern::Pattern;
use crate::config::settings::{self, OnClientGone, Retries, Timeouts};
use crate::targets::breaker::{Event, Pass, Phase};
use crate::targets::budget::Budget;
use crate::targets::health::{Health, Mode, Table, now_ms};
use crate::targets::rendezvous::{score, stable_hash};
use std::sync::Arc;
use std::time::Duration;

/// A model that can be asked for at several places.
pub(crate) struct Route {
    /// Names of models it serves.
    pub(crate) pattern: Pattern,
    /// By priority, then as in the file; at most [`settings::TARGETS_MAX`].
    pub(crate) targets: Vec<RouteTarget>,
    /// How its failures are repeated.
    pub(crate) retries: Retries,
    /// How many repetitions there may be.
    pub(crate) budget: Budget,
}

/// One place.
pub(crate) struct RouteTarget {
    /// Who is asked.
    pub(crate) provider: Arc<Provider>,
    /// The model asked for; `None` is the client's own.
    pub(crate) model: Option<Arc<str>>,
    weight: u32,
    priority: u32,
    /// Time-outs of an exchange with it.
    pub(crate) timeouts: Timeouts,
    /// What becomes of answers whose clients leave.
    pub(crate) on_client_gone: OnClientGone,
    /// How it does.
    pub(crate) health: Arc<Health>,
    /// What its score begins with: the hash of its name.
    seed: u64,
}

/// A set of targets: bit n stands for the nth.
pub(crate) type Set = u32;

/// A target that was chosen, and how it came to be admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Picked {
    pub(crate) index: usize,
    provider: Pass,
    target: Pass,
}

impl Picked {
    /// Whether it was admitted like everybody: neither it nor its provider had been set aside.
    pub(crate) fn is_usual(self) -> bool {
        (self.provider, self.target) == (Pass::Usual, Pass::Usual)
    }
}

/// What became of an attempt, as far as it says something about the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered, well or with the client's own mistake.
    Answered,
    /// It was answered with a failure of the model or the provider.
    Failed,
    /// It was reached and not answered.
    Unanswered,
    /// It could not be reached.
    Unreachable,
    /// It said how long to stay away.
    Aside(Duration),
    /// It refuses our credential for everything, or our account's quota is spent.
    AccountRefused,
    /// It refuses this request to our credential. Any caller can bring that about, by asking for what the account may
    /// not have: it says nothing about the target.
    RequestRefused,
    /// Nobody knows: the client left.
    Unknown,
}

impl Outcome {
    /// What it says of the provider and of the target.
    fn events(self) -> (Event, Event) {
        match self {
            Outcome::Answered => (Event::Success, Event::Success),
            Outcome::Failed => (Event::Success, Event::Failure),
            Outcome::Unanswered => (Event::Abandoned, Event::Failure),
            // The way to a provider is the same for all of its models.
            Outcome::Unreachable => (Event::Failure, Event::Abandoned),
            Outcome::Aside(time) => (Event::Success, Event::Aside(time)),
            Outcome::AccountRefused => (Event::Refused, Event::Abandoned),
            Outcome::RequestRefused => (Event::Success, Event::Abandoned),
            Outcome::Unknown => (Event::Abandoned, Event::Abandoned),
        }
    }
}

impl Route {
    /// The route that `settings` describe. `provider` finds a provider by its name. `before` is the route that it takes
    /// the place of.
    pub(crate) fn new(
        settings: &settings::Route,
        provider: impl Fn(&str) -> Option<Arc<Provider>>,
        table: &mut Table,
        previous: Option<&Table>,
        before: Option<&Route>,
    ) -> Route {
        let mut targets: Vec<RouteTarget> = settings
            .targets
            .iter()
            .filter_map(|target| {
                let model = target.model.as_deref().unwrap_or(settings.pattern.as_str());
                let name = format!("{}/{model}", target.provider);
                Some(RouteTarget {
                    provider: provider(&target.provider)?,
                    model: target.model.clone(),
                    weight: target.weight,
                    priority: target.priority,
                    timeouts: target.timeouts.clone(),
                    on_client_gone: target.on_client_gone,
                    seed: stable_hash(&[name.as_bytes()]),
                    health: table.of(&name, previous),
                })
            })
            .collect();
        targets.sort_by_key(|target| target.priority);
        Route {
            pattern: settings.pattern.clone(),
            targets,
            budget: Budget::after(settings.retries.budget, before.map(|route| &route.budget)),
            retries: settings.retries.clone(),
        }
    }

    /// The first of its targets, for lists of models.
    pub(crate) fn first(&self, model: &str) -> Option<Resolved> {
        let target = self.targets.first()?;
        let model = target.model.clone().unwrap_or_else(|| Arc::from(model));
        Some(Resolved { provider: Arc::clone(&target.provider), model })
    }

    /// The targets for which `is` holds.
    pub(crate) fn those(&self, is: impl Fn(&RouteTarget) -> bool) -> Set {
        let bits =
            self.targets.iter().enumerate().filter(|(_, target)| is(target)).map(|(index, _)| bit(index));
        bits.fold(0, |set, bit| set | bit)
    }

    /// Chooses among `among`: the lowest priority that has a target in use, and there the highest score for `key`.
    /// When all of them are set aside, the one whose time is over first: the last one is never taken away.
    pub(crate) fn pick(&self, key: u64, among: Set) -> Option<Picked> {
        self.pick_usable(key, among).or_else(|| self.least_bad(among))
    }

    /// As [`pick`](Self::pick), but none that is set aside.
    pub(crate) fn pick_usable(&self, key: u64, among: Set) -> Option<Picked> {
        let now = now_ms();
        let mut left = among;
        while let Some(index) = self.best(key, left) {
            left &= !bit(index);
            if let Some(picked) = self.targets.get(index).and_then(|target| target.admit(index, now)) {
                return Some(picked);
            }
        }
        None
    }

    /// Of those that are set aside the one whose time is over first.
    pub(crate) fn least_bad(&self, among: Set) -> Option<Picked> {
        let set = self.targets.iter().enumerate().filter(|(index, _)| among & bit(*index) != 0);
        let least_bad = set.min_by_key(|(_, target)| target.until_ms());
        least_bad.map(|(index, _)| Picked { index, provider: Pass::Forced, target: Pass::Forced })
    }

    /// Admits a request to one target, whether it is set aside or not.
    pub(crate) fn insist(&self, index: usize) -> Option<Picked> {
        let target = self.targets.get(index)?;
        let forced = Picked { index, provider: Pass::Forced, target: Pass::Forced };
        Some(target.admit(index, now_ms()).unwrap_or(forced))
    }

    /// The target in `among` that a key belongs to, however it does.
    pub(crate) fn home(&self, key: u64, among: Set) -> Option<usize> {
        self.best(key, among)
    }

    /// The place of the target with this name.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.targets.iter().position(|target| *target.health.name == *name)
    }

    /// The place of the first target of this provider, one of `among` before any other.
    pub(crate) fn place_at(&self, provider: &str, among: Set) -> Option<usize> {
        let here = self.those(|target| *target.provider.name == *provider);
        let best = if here & among == 0 { here } else { here & among };
        (best != 0).then_some(best.trailing_zeros() as usize)
    }

    fn best(&self, key: u64, among: Set) -> Option<usize> {
        let first = self.targets.get(among.trailing_zeros() as usize)?;
        let tier = self
            .targets
            .iter()
            .enumerate()
            .filter(|(index, target)| among & bit(*index) != 0 && target.priority == first.priority);
        let scored = tier.map(|(index, target)| (index, score(key, target.seed, target.weight)));
        scored.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(index, _)| index)
    }

    /// Takes what became of an attempt.
    pub(crate) fn tell(&self, picked: Picked, outcome: Outcome) {
        let Some(target) = self.targets.get(picked.index) else { return };
        let (now, (provider, own)) = (now_ms(), outcome.events());
        target.provider.health.tell(picked.provider, provider, now);
        target.health.tell(picked.target, own, now);
    }
}

impl RouteTarget {
    /// Whether new conversations may begin here.
    pub(crate) fn takes_new(&self) -> bool {
        self.weight > 0 && self.mode() == Mode::Enabled
    }

    /// Whether conversations that are bound to it may go on.
    pub(crate) fn takes_bound(&self) -> bool {
        self.mode() != Mode::Disabled
    }

    /// What operators have said of it or of its provider, the stricter.
    fn mode(&self) -> Mode {
        match (self.health.mode(), self.provider.health.mode()) {
            (Mode::Disabled, _) | (_, Mode::Disabled) => Mode::Disabled,
            (Mode::Draining, _) | (_, Mode::Draining) => Mode::Draining,
            (Mode::Enabled, Mode::Enabled) => Mode::Enabled,
        }
    }

    fn admit(&self, index: usize, now: u64) -> Option<Picked> {
        // The target is looked at first, so that a provider's only probe is not taken for nothing.
        if self.health.phase(now) == Phase::Open {
            return None;
        }
        let provider = self.provider.health.admit(now)?;
        match self.health.admit(now) {
            Some(target) => Some(Picked { index, provider, target }),
            None => {
                self.provider.health.tell(provider, Event::Abandoned, now);
                None
            }
        }
    }

    fn until_ms(&self) -> u64 {
        self.health.until_ms().max(self.provider.health.until_ms())
    }
}

fn bit(index: usize) -> Set {
    u32::try_from(index).ok().and_then(|index| 1_u32.checked_shl(index)).unwrap_or(0)
}

/// The set of one target.
pub(crate) fn only(index: usize) -> Set {
    bit(index)
}
