//! Policies as they are written, and the rules they come to.

use super::super::forms::{Count, Map};
use super::super::macros::{settings, words};
use super::forms::{NameList, Several, Stringency};
use narrows_guard::{Class, Tier};
use narrows_policy::names::Names;
use narrows_policy::rule::{
    self, Condition, Effect, Found, OnError, Operation, SCORE_DEFAULT, Then, Verdict,
};
use narrows_policy::{Action, Dimension, Mode, PolicySet, Rule, Stage, Streams};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Most findings that a condition may ask for.
const COUNT_MAX: usize = 1_000_000;

settings! {
    /// A policy: where it applies, when it fires, what it does. Policies add up, and the strictest action wins: block, then
    /// mask, then log. None weakens another, but for exemptions, which name those they exempt from.
    pub(crate) struct PolicyDocument {
        /// Its name in decisions, records and alerts; lower-case letters, digits, dashes, underscores and dots.
        pub(super) name: String = required,
        /// What it is for.
        pub(super) description: Option<String> = optional,
        /// Where it applies; without it everywhere.
        pub(super) r#where: PlaceDocument = "{}",
        /// When it fires: any of these. Without it by its place alone, which denies an application, a model, a team or
        /// streams.
        pub(super) when: Vec<ConditionDocument> = "[]",
        /// What it does.
        pub(super) then: ThenDocument = required,
    }

    /// Where a policy applies. Each key is a name or a list of names; `*` stands for any text, and `!` before a name excludes
    /// it. All keys must be met.
    pub(crate) struct PlaceDocument {
        /// The stages; without it all three.
        pub(super) stage: Option<Vec<Stage>> as Option<Several<Stage>> = optional,
        /// The door: `gateway`, `endpoint`, `swg`, `reroute`, `mcp`.
        pub(super) surface: Option<NameList> = optional,
        /// The client program (`claude-code`), as it says itself. Upper and lower case are the same.
        pub(super) integration: Option<NameList> = optional,
        /// The application. Upper and lower case are the same.
        pub(super) application: Option<NameList> = optional,
        /// The organization of the key.
        pub(super) organization: Option<NameList> = optional,
        /// The team of the key.
        pub(super) team: Option<NameList> = optional,
        /// The user of the key.
        pub(super) user: Option<NameList> = optional,
        /// The service account of the key.
        pub(super) service_account: Option<NameList> = optional,
        /// The project of the key.
        pub(super) project: Option<NameList> = optional,
        /// The key's public id.
        pub(super) key: Option<NameList> = optional,
        /// The model, as it is asked for or as a provider calls it. Upper and lower case are the same.
        pub(super) model: Option<NameList> = optional,
        /// The name of the provider.
        pub(super) provider: Option<NameList> = optional,
        /// How the client speaks (`anthropic.messages`).
        pub(super) dialect: Option<NameList> = optional,
        /// Metadata of the key, by its name.
        pub(super) tags: Vec<(String, NameList)> as Map<NameList> = "{}",
    }

    /// What makes a policy fire: findings of our own detectors, or the verdict of an external guardrail. All keys must be met.
    pub(crate) struct ConditionDocument {
        /// Families of findings; without it all.
        pub(super) class: Option<Vec<Class>> as Option<Several<Class>> = optional,
        /// Tiers; without it A and B, and every tier where `entity` or `rule` is given.
        pub(super) tier: Option<Vec<Tier>> as Option<Several<Tier>> = optional,
        /// Entities (`EMAIL`).
        pub(super) entity: Option<NameList> = optional,
        /// Ids of rules (`github-pat`).
        pub(super) rule: Option<NameList> = optional,
        /// Least number of findings.
        pub(super) count: Option<usize> as Option<Count<1, COUNT_MAX>> = optional,
        /// Name of an external guardrail that must object.
        pub(super) guardrail: Option<String> = optional,
        /// What the guardrail must say, in its own words; without it anything but a pass.
        pub(super) category: Option<NameList> = optional,
        /// Least score, 0 to 100. Without it: 50 for findings, any for guardrails.
        pub(super) score: Option<usize> as Option<Count<0, 100>> = optional,
    }

    /// What a policy does.
    pub(crate) struct ThenDocument {
        /// What happens.
        pub(super) action: ActionWord = required,
        /// Whether it happens, or is only written down.
        pub(super) mode: Mode = "enforce",
        /// What happens when something could not be inspected. Without it: as the guardrail's own setting says; else
        /// policies that mask or block refuse, and those that log let pass.
        pub(super) on_error: Option<OnError> as Option<Stringency> = optional,
        /// Whether the policy judges content (`validate`: it logs or blocks) or changes it (`mutate`: it masks, or takes over
        /// what an external guardrail wrote). Without it: `mutate` where the action is `mask`.
        pub(super) operation: Option<Operation> = optional,
        /// Whether masked values are put back into the answer.
        pub(super) restore: bool = "false",
        /// What a policy that masks or blocks may do to streams.
        pub(super) streams: Streams = "observe",
        /// What the caller is told when the policy refuses, in one line.
        pub(super) message: Option<String> = optional,
        /// Whether it raises an alert. Without it: when it refuses, when it could not do what it should, and when something
        /// passed that could not be inspected.
        pub(super) alert: Option<bool> = optional,
        /// For `allow` only: the policies that it exempts from. What its conditions select does not count for them; without
        /// conditions they do not apply where this one does. What could not be inspected is never exempt by a condition.
        pub(super) exempts: Vec<String> = "[]",
    }
}

words! {
    /// What a policy does.
    pub enum ActionWord {
        /// Exempt from the policies that `exempts` names, and from no other.
        Allow = "allow",
        /// Write it down.
        Log = "log",
        /// Put placeholders in the place of what was found, or take over what a guardrail wrote.
        Mask = "mask",
        /// Refuse: 403, in the caller's dialect.
        Block = "block",
    }
}

/// The policies in force. Two are the same if they decide the same.
#[derive(Clone)]
pub struct Policies(pub(super) Arc<PolicySet>);

impl Policies {
    /// The policies, for an exchange that outlives a reload.
    pub fn shared(&self) -> Arc<PolicySet> {
        Arc::clone(&self.0)
    }
}

impl Deref for Policies {
    type Target = PolicySet;

    fn deref(&self) -> &PolicySet {
        &self.0
    }
}

impl PartialEq for Policies {
    fn eq(&self, other: &Policies) -> bool {
        self.0.version() == other.0.version()
    }
}

impl fmt::Debug for Policies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policies({}, {})", self.0.len(), self.0.version())
    }
}

impl PolicyDocument {
    /// The rule. Conditions that are neither about findings nor about a guardrail, or about both, are given by position.
    pub(super) fn rule(&self) -> (Rule, Vec<usize>) {
        let conditions = self.when.iter().map(ConditionDocument::condition);
        let mixed =
            conditions.clone().enumerate().filter(|(_, one)| one.is_none()).map(|(at, _)| at).collect();
        let rule = Rule {
            name: self.name.clone(),
            description: self.description.clone().unwrap_or_default(),
            place: self.r#where.place(),
            when: conditions.flatten().collect(),
            then: self.then.then(),
        };
        (rule, mixed)
    }

    /// The policies that are in force unless `guard.default_policies` says otherwise.
    pub(super) fn defaults() -> [Rule; 3] {
        let log = |name: &str, class, tiers: &[Tier], description: &str| Rule {
            name: name.to_owned(),
            description: description.to_owned(),
            place: rule::Where::default(),
            when: vec![Condition::Found(Found {
                classes: vec![class],
                tiers: tiers.to_vec(),
                ..Found::default()
            })],
            then: Then::act(Action::Log),
        };
        [
            log("default-secrets", Class::Secret, &[], "credentials are noted"),
            log("default-pii", Class::Pii, &[Tier::A], "data about people is noted"),
            log("default-injection", Class::Injection, &[], "attempts to take the model over are noted"),
        ]
    }
}

impl PlaceDocument {
    fn place(&self) -> rule::Where {
        let names = [
            (Dimension::Surface, &self.surface),
            (Dimension::Integration, &self.integration),
            (Dimension::Application, &self.application),
            (Dimension::Organization, &self.organization),
            (Dimension::Team, &self.team),
            (Dimension::User, &self.user),
            (Dimension::ServiceAccount, &self.service_account),
            (Dimension::Project, &self.project),
            (Dimension::Key, &self.key),
            (Dimension::Model, &self.model),
            (Dimension::Provider, &self.provider),
            (Dimension::Dialect, &self.dialect),
        ];
        rule::Where {
            stages: self.stage.clone().unwrap_or_default(),
            names: names
                .into_iter()
                .filter_map(|(of, list)| Some((of, list.as_ref()?.names.clone())))
                .collect(),
            tags: self.tags.iter().map(|(key, list)| (key.clone(), list.names.clone())).collect(),
        }
    }
}

impl ConditionDocument {
    fn condition(&self) -> Option<Condition> {
        let score = self.score.and_then(|score| u8::try_from(score).ok());
        let found =
            self.class.is_some() || self.tier.is_some() || self.entity.is_some() || self.rule.is_some();
        match &self.guardrail {
            Some(guardrail) if !found && self.count.is_none() => Some(Condition::Guardrail(Verdict {
                guardrail: guardrail.clone(),
                categories: names(self.category.as_ref()),
                score: score.unwrap_or_default(),
            })),
            None if found && self.category.is_none() => Some(Condition::Found(Found {
                classes: self.class.clone().unwrap_or_default(),
                tiers: self.tier.clone().unwrap_or_default(),
                entities: names(self.entity.as_ref()),
                rules: names(self.rule.as_ref()),
                score: score.unwrap_or(SCORE_DEFAULT),
                count: self.count.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            })),
            _ => None,
        }
    }
}

/// What a list comes to; everything without one.
fn names(list: Option<&NameList>) -> Names {
    list.map(|list| list.names.clone()).unwrap_or_default()
}

impl ThenDocument {
    fn then(&self) -> Then {
        let effect = match self.action {
            ActionWord::Allow => Effect::Exempt(self.exempts.clone()),
            ActionWord::Log => Effect::Act(Action::Log),
            ActionWord::Mask => Effect::Act(Action::Mask),
            ActionWord::Block => Effect::Act(Action::Block),
        };
        Then {
            effect,
            mode: self.mode,
            on_error: self.on_error,
            operation: self.operation,
            restore: self.restore,
            streams: self.streams,
            message: self.message.clone(),
            alert: self.alert,
        }
    }
}
