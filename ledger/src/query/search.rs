//! Which single records are wanted.

use super::Filter;
use crate::record::Record;
use narrows_policy::{Action, Blame, TrafficClass};
use std::ops::RangeInclusive;

/// What was decided about an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decided {
    /// It was inspected, and nothing was decided about it.
    Allowed,
    /// This was the strictest action of a stage.
    Action(Action),
}

impl Decided {
    /// The decision with this word: an action's, or `allow`.
    pub fn from_word(word: &str) -> Option<Decided> {
        match word {
            "allow" => Some(Decided::Allowed),
            word => Action::from_word(word).map(Decided::Action),
        }
    }
}

/// Which records are wanted. An absent field matches everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// By what sums are kept by.
    pub filter: Filter,
    /// Of this conversation or session, as the client named it.
    pub conversation: Option<String>,
    /// The model the caller asked for.
    pub model_requested: Option<String>,
    /// With this decision.
    pub decision: Option<Decided>,
    /// A rule of a policy, or of a detector, that had a part in a decision.
    pub rule: Option<String>,
    /// What was found.
    pub entity: Option<String>,
    /// Whose doing the end was; [`Blame::Nobody`] is success.
    pub outcome: Option<Blame>,
    /// Status that the caller got.
    pub status: Option<RangeInclusive<u16>>,
    /// Known cost at least this, in nano-dollars.
    pub cost_from_nanousd: Option<u64>,
    /// Known cost below this, in nano-dollars.
    pub cost_to_nanousd: Option<u64>,
    /// Traffic class.
    pub class: Option<TrafficClass>,
}

impl Search {
    /// Whether a record is wanted.
    pub(crate) fn matches(&self, record: &Record) -> bool {
        let same = |wanted: &Option<String>, name: Option<&str>| {
            wanted.as_deref().is_none_or(|wanted| name == Some(wanted))
        };
        of_sums(&self.filter, record)
            && same(&self.conversation, record.conversation.as_deref())
            && same(&self.model_requested, record.model_requested.as_deref())
            && self.outcome.is_none_or(|outcome| record.reason.blame() == outcome)
            && self.status.as_ref().is_none_or(|statuses| statuses.contains(&record.status))
            && self.class.is_none_or(|class| record.class == class)
            && self.costs(record)
            && self.decided(record)
    }

    fn costs(&self, record: &Record) -> bool {
        if self.cost_from_nanousd.is_none() && self.cost_to_nanousd.is_none() {
            return true;
        }
        // What is not known is neither much nor little.
        record.total_cost().nano_usd().is_some_and(|cost| {
            self.cost_from_nanousd.is_none_or(|from| cost >= from)
                && self.cost_to_nanousd.is_none_or(|to| cost < to)
        })
    }

    fn decided(&self, record: &Record) -> bool {
        let stages = || record.inspections.iter().map(|(_, inspection)| inspection);
        let details = || stages().filter_map(|inspection| inspection.detail.as_deref());
        let decision = match self.decision {
            None => true,
            Some(Decided::Allowed) => {
                !record.inspections.is_empty() && stages().all(|inspection| inspection.action.is_none())
            }
            Some(Decided::Action(action)) => stages().any(|inspection| inspection.action == Some(action)),
        };
        decision
            && self.rule.as_deref().is_none_or(|rule| {
                details().any(|detail| {
                    detail.rules.iter().any(|known| **known == *rule)
                        || detail.findings.iter().any(|finding| *finding.rule == *rule)
                })
            })
            && self.entity.as_deref().is_none_or(|entity| {
                details().any(|detail| detail.findings.iter().any(|finding| *finding.entity == *entity))
            })
    }
}

fn of_sums(filter: &Filter, record: &Record) -> bool {
    let caller = &*record.caller;
    let same = |wanted: &Option<String>, name: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| name.unwrap_or_default() == wanted)
    };
    filter.from_us.is_none_or(|from| record.started_at_us >= from)
        && filter.to_us.is_none_or(|to| record.started_at_us < to)
        && same(&filter.organization, Some(&caller.organization))
        && same(&filter.team, caller.team.as_deref())
        && same(&filter.user, caller.user.as_deref())
        && same(&filter.service_account, caller.service_account.as_deref())
        && same(&filter.project, caller.project.as_deref())
        && same(&filter.key, caller.key_id.as_deref())
        && same(&filter.model, record.model_sent.as_deref())
        && same(&filter.provider, record.provider.as_deref())
        && same(&filter.client, record.client)
        && same(&filter.dialect, record.dialect)
        && filter.reason.is_none_or(|reason| record.reason == reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn found(search: &Search) -> Vec<u64> {
        (0..40).filter(|number| search.matches(&sample::record(*number))).collect()
    }

    #[test]
    fn every_field_narrows_alone() {
        let none = Search::default;
        let of = |filter: Filter| Search { filter, ..none() };
        let text = |text: &str| Some(text.to_owned());
        let all = 0..40_u64;
        let those = |wanted: &dyn Fn(u64) -> bool| all.clone().filter(|n| wanted(*n)).collect::<Vec<_>>();
        let known = |n: u64| !n.is_multiple_of(5);
        let masked = |n: u64| n % 8 == 6;
        let inspected = |n: u64| n % 4 == 2;
        let rows: [(Search, Vec<u64>); 17] = [
            (none(), those(&|_| true)),
            (of(Filter { client: text("claude-code"), ..Filter::default() }), those(&|n| n % 3 == 2)),
            (of(Filter { dialect: text("anthropic.messages"), ..Filter::default() }), those(&known)),
            (
                of(Filter { reason: Some(narrows_policy::Reason::ModelUnknown), ..Filter::default() }),
                those(&|n| !known(n)),
            ),
            (
                Search { conversation: text("0c7f2a4e-5d3b-4f8a-9a51-0d9b6f2f7f10"), ..none() },
                those(&|_| true),
            ),
            (Search { conversation: text("other"), ..none() }, Vec::new()),
            (Search { model_requested: text("sonnet"), ..none() }, those(&|_| true)),
            (Search { decision: Some(Decided::Action(Action::Mask)), ..none() }, those(&masked)),
            (Search { decision: Some(Decided::Action(Action::Block)), ..none() }, Vec::new()),
            (Search { decision: Some(Decided::Allowed), ..none() }, those(&|n| inspected(n) && !masked(n))),
            (Search { rule: text("no-secrets"), ..none() }, those(&masked)),
            (Search { rule: text("github-pat"), ..none() }, those(&masked)),
            (Search { entity: text("GITHUB_TOKEN"), ..none() }, those(&masked)),
            (Search { outcome: Some(Blame::Nobody), ..none() }, those(&known)),
            (Search { status: Some(400..=499), ..none() }, those(&|n| !known(n))),
            (Search { class: Some(TrafficClass::OwnApplication), ..none() }, Vec::new()),
            (Search { class: Some(TrafficClass::ManagedClient), ..none() }, those(&|_| true)),
        ];
        for (search, wanted) in rows {
            assert_eq!(found(&search), wanted, "{search:?}");
        }
    }

    #[test]
    fn costs_are_a_range_of_what_is_known() {
        let of = |number| sample::record(number).total_cost().nano_usd().unwrap();
        let search =
            Search { cost_from_nanousd: Some(of(11)), cost_to_nanousd: Some(of(17)), ..Search::default() };
        let found = found(&search);
        assert!(found.contains(&11) && !found.contains(&17), "from on, and before: {found:?}");
        assert!(!found.iter().any(|number| number % 5 == 0), "what is unknown is in no range");
    }
}
