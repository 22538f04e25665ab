//! Which rules apply to an exchange: its facts against an index of every place that rules name.

use crate::facts::{Caller, Surface};
use crate::names::{Case, Names};
use crate::rule::Where;
use crate::set::RuleSet;
use std::cmp::Ordering;

macro_rules! dimensions {
    ($($(#[doc = $doc:literal])+ $variant:ident = $word:literal, $case:ident, $origin:ident;)+) => {
        /// A kind of fact that a rule's place may make demands on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Dimension {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Dimension {
            /// Every dimension, in order of declaration.
            pub const ALL: &'static [Dimension] = &[$(Dimension::$variant,)+];

            /// The word used in configuration and explanations.
            pub const fn as_str(self) -> &'static str {
                match self { $(Dimension::$variant => $word,)+ }
            }

            /// How names are compared: those that a client writes are folded, so that spelling them otherwise evades
            /// nothing.
            pub const fn case(self) -> Case {
                match self { $(Dimension::$variant => Case::$case,)+ }
            }

            /// Whether the gateway knows the fact itself, or takes the client's word for it.
            pub const fn origin(self) -> Origin {
                match self { $(Dimension::$variant => Origin::$origin,)+ }
            }
        }
    };
}

/// Who vouches for a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The gateway: it is written on the key, or it is what the gateway does.
    Proved,
    /// The client, which may say what it likes.
    Claimed,
}

dimensions! {
    /// The door the exchange came through.
    Surface = "surface", Exact, Proved;
    /// The client program, from what it says about itself (`claude-code`).
    Integration = "integration", Folded, Claimed;
    /// The application.
    Application = "application", Folded, Claimed;
    /// The organization that owns the key.
    Organization = "organization", Exact, Proved;
    /// The team on the key.
    Team = "team", Exact, Proved;
    /// The user on the key.
    User = "user", Exact, Proved;
    /// The service account on the key.
    ServiceAccount = "service_account", Exact, Proved;
    /// The project on the key.
    Project = "project", Exact, Proved;
    /// The key's public id.
    Key = "key", Exact, Proved;
    /// The model: as the client asked for it, and as every provider that may be asked calls it.
    Model = "model", Folded, Claimed;
    /// The configured name of every provider that may be asked.
    Provider = "provider", Exact, Proved;
    /// How client and gateway speak (`anthropic.messages`).
    Dialect = "dialect", Exact, Claimed;
}

/// What is known about an exchange. Facts with several values (a model and its aliases, providers to fall back to) meet
/// a demand if one of them does; for an exemption all of them must.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The word of the surface.
    pub surface: &'a str,
    /// The client program.
    pub integration: Option<&'a str>,
    /// The application.
    pub application: Option<&'a str>,
    /// The organization that owns the key.
    pub organization: Option<&'a str>,
    /// The team on the key.
    pub team: Option<&'a str>,
    /// The user on the key.
    pub user: Option<&'a str>,
    /// The service account on the key.
    pub service_account: Option<&'a str>,
    /// The project on the key.
    pub project: Option<&'a str>,
    /// The key's public id.
    pub key: Option<&'a str>,
    /// The model, under every name it has here.
    pub models: &'a [&'a str],
    /// The providers that may be asked.
    pub providers: &'a [&'a str],
    /// The dialect's word.
    pub dialect: Option<&'a str>,
    /// Metadata of the caller.
    pub tags: &'a [(String, String)],
}

impl<'a> Facts<'a> {
    /// What is known from the door and the caller; the rest is added as it becomes known.
    pub fn of(surface: Surface, caller: &'a Caller) -> Facts<'a> {
        Facts {
            surface: surface.as_str(),
            integration: None,
            application: None,
            organization: Some(&caller.organization),
            team: caller.team.as_deref(),
            user: caller.user.as_deref(),
            service_account: caller.service_account.as_deref(),
            project: caller.project.as_deref(),
            key: caller.key_id.as_deref(),
            models: &[],
            providers: &[],
            dialect: None,
            tags: &caller.metadata,
        }
    }

    /// What is known of a dimension: nothing, one value, or several.
    pub fn values(&self, dimension: Dimension) -> &[&'a str] {
        match dimension {
            Dimension::Surface => std::slice::from_ref(&self.surface),
            Dimension::Integration => self.integration.as_slice(),
            Dimension::Application => self.application.as_slice(),
            Dimension::Organization => self.organization.as_slice(),
            Dimension::Team => self.team.as_slice(),
            Dimension::User => self.user.as_slice(),
            Dimension::ServiceAccount => self.service_account.as_slice(),
            Dimension::Project => self.project.as_slice(),
            Dimension::Key => self.key.as_slice(),
            Dimension::Model => self.models,
            Dimension::Provider => self.providers,
            Dimension::Dialect => self.dialect.as_slice(),
        }
    }
}

/// The rules that apply to an exchange, at whatever stage. Made once an exchange, by [`PolicySet::scope`].
///
/// [`PolicySet::scope`]: crate::PolicySet::scope
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    pub(crate) rules: RuleSet,
}

/// The places of all rules.
#[derive(Debug)]
pub(crate) struct Index {
    facts: Vec<(Dimension, Column)>,
    tags: Vec<(Box<str>, Column)>,
    every: RuleSet,
    /// Rules that apply only if every value of a fact meets their demand.
    cautious: RuleSet,
}

/// The demands of all rules on one fact.
#[derive(Debug)]
struct Column {
    case: Case,
    /// Names that rules write out, in order, each with the rules that accept it.
    literals: Vec<(Box<str>, RuleSet)>,
    /// Rules that accept any other name.
    others: RuleSet,
    /// Rules whose globs must be tried on any other name, each with the bytes that such a name begins with.
    globs: Vec<(usize, Names, FirstBytes)>,
    /// Rules that accept the absence of the fact.
    absent: RuleSet,
}

/// The bytes that a name may begin with which a list accepts: most lists are ruled out by one look.
#[derive(Debug, Clone, Copy)]
struct FirstBytes([u64; 4]);

impl FirstBytes {
    fn of(names: &Names, case: Case) -> FirstBytes {
        let mut set = FirstBytes([0; 4]);
        for glob in &names.any {
            match glob.as_str().bytes().next() {
                None | Some(b'*') => return FirstBytes([u64::MAX; 4]),
                Some(byte) => {
                    set.insert(byte);
                    if case == Case::Folded {
                        set.insert(byte.to_ascii_lowercase());
                        set.insert(byte.to_ascii_uppercase());
                    }
                }
            }
        }
        if names.any.is_empty() { FirstBytes([u64::MAX; 4]) } else { set }
    }

    fn insert(&mut self, byte: u8) {
        if let Some(word) = self.0.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }

    fn has(self, byte: u8) -> bool {
        self.0.get(usize::from(byte >> 6)).is_some_and(|word| word & (1 << (byte & 63)) != 0)
    }
}

impl Index {
    /// The index of `places`, in the order of rules; `cautious` are the exemptions among them.
    pub(crate) fn new(places: &[&Where], cautious: RuleSet) -> Index {
        let every = RuleSet::first(places.len());
        let column = |case, demand: &dyn Fn(&Where) -> Option<Names>| {
            let demands: Vec<Option<Names>> = places.iter().map(|place| demand(place)).collect();
            Column::new(case, &demands)
        };
        let facts = Dimension::ALL.iter().filter_map(|dimension| {
            let demand = |place: &Where| place.names.get(dimension).cloned();
            Some((*dimension, column(dimension.case(), &demand)?))
        });
        let mut keys: Vec<&String> = places.iter().flat_map(|place| place.tags.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        let tags = keys.into_iter().filter_map(|key| {
            let demand = |place: &Where| place.tags.get(key).cloned();
            Some((key.as_str().into(), column(Case::Exact, &demand)?))
        });
        Index { facts: facts.collect(), tags: tags.collect(), every, cautious }
    }

    /// The rules whose every demand is met.
    pub(crate) fn scope(&self, facts: &Facts<'_>) -> Scope {
        let mut rules = self.every;
        for (dimension, column) in &self.facts {
            let accepted = match facts.values(*dimension) {
                [] => column.absent,
                [value] => column.accepting(value),
                values => self.several(column, values.iter().copied()),
            };
            rules = rules.and(&accepted);
        }
        for (key, column) in &self.tags {
            let mut values =
                facts.tags.iter().filter(|(name, _)| **name == **key).map(|(_, value)| value.as_str());
            let accepted = match (values.next(), values.next()) {
                (None, _) => column.absent,
                (Some(value), None) => column.accepting(value),
                (Some(one), Some(two)) => self.several(column, [one, two].into_iter().chain(values)),
            };
            rules = rules.and(&accepted);
        }
        Scope { rules }
    }

    /// Rules that accept one of `values`, and of the cautious ones those that accept all.
    fn several<'v>(&self, column: &Column, values: impl Iterator<Item = &'v str>) -> RuleSet {
        let (mut one, mut all) = (RuleSet::EMPTY, self.every);
        for value in values {
            let accepting = column.accepting(value);
            one = one.or(&accepting);
            all = all.and(&accepting);
        }
        one.without(&self.cautious).or(&all.and(&self.cautious))
    }
}

impl Column {
    /// The column of `demands`, in the order of rules; `None` if there are none.
    fn new(case: Case, demands: &[Option<Names>]) -> Option<Column> {
        demands.iter().flatten().next()?;
        let accepting = |value: Option<&str>| {
            let mut set = RuleSet::EMPTY;
            for (rule, demand) in demands.iter().enumerate() {
                if demand.as_ref().is_none_or(|names| names.accept(value, case)) {
                    set.insert(rule);
                }
            }
            set
        };
        let mut names: Vec<&str> =
            demands.iter().flatten().flat_map(Names::entries).map(|glob| glob.as_str()).collect();
        names.retain(|name| !name.contains('*'));
        names.sort_unstable_by(|one, other| case.compare(one, other));
        names.dedup_by(|one, other| case.compare(one, other) == Ordering::Equal);
        let literals = names.into_iter().map(|name| (name.into(), accepting(Some(name)))).collect();
        let (mut others, mut globs) = (RuleSet::EMPTY, Vec::new());
        for (rule, demand) in demands.iter().enumerate() {
            match demand {
                None => others.insert(rule),
                Some(names) if names.entries().any(|glob| !glob.is_literal()) => {
                    globs.push((rule, names.clone(), FirstBytes::of(names, case)));
                }
                Some(names) if names.any.is_empty() => others.insert(rule),
                Some(_) => {}
            }
        }
        Some(Column { case, literals, others, globs, absent: accepting(None) })
    }

    fn accepting(&self, value: &str) -> RuleSet {
        match self.literals.binary_search_by(|(name, _)| self.case.compare(name, value)) {
            Ok(at) => self.literals.get(at).map_or(RuleSet::EMPTY, |(_, rules)| *rules),
            Err(_) => {
                let mut rules = self.others;
                let first = value.bytes().next();
                for (rule, names, begin) in &self.globs {
                    if first.is_none_or(|first| begin.has(first)) && names.accept(Some(value), self.case) {
                        rules.insert(*rule);
                    }
                }
                rules
            }
        }
    }
}
