//! Our own detectors, as the configuration puts them together: one engine, compiled when it is first asked for.

use super::super::path::Path;
use super::super::problem::did_you_mean;
use super::super::resolve::Check;
use super::{CustomDetector, Guard, PiiDetector, Report, SecretDetector, TextFile};
use narrows_guard::detector::custom::{Custom, CustomError, CustomRule, Find, Part};
use narrows_guard::detector::injection::{self, Injection};
use narrows_guard::detector::pii::{self, Mode, Pii};
use narrows_guard::detector::secret;
use narrows_guard::rules::RuleSet;
use narrows_guard::{Builder, Class, Detector, Engine, Rule, RuleIndex, Tier};
use narrows_policy::PolicySet;
use narrows_policy::names::{Case, Glob};
use narrows_policy::rule::Condition;
use sha2::{Digest, Sha256};
use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

/// The engine of a configuration. Compiling a thousand expressions takes its time, so it is done when the engine is first
/// asked for, and not again as long as an engine of the same detectors is in use anywhere in the process: a
/// configuration that is read again with the same detectors keeps its engine.
#[derive(Clone)]
pub struct Detection(Arc<Lazy>);

struct Lazy {
    key: [u8; 32],
    engine: LazyLock<Compiled, Box<dyn FnOnce() -> Compiled + Send>>,
}

/// An engine, or why there is none.
type Compiled = Result<Arc<Engine>, String>;

/// The built-in rules, read once.
static BUILT_IN: LazyLock<Result<RuleSet, String>> =
    LazyLock::new(|| secret::built_in().map_err(|error| error.to_string()));

/// The rules of the detector of personal data, which no setting changes.
static PII: LazyLock<Vec<Rule>> = LazyLock::new(|| {
    let off = pii::Settings { a: Mode::Off, b: Mode::Off, c: Mode::Off, ..pii::Settings::default() };
    Pii::new(off).rules()
});

/// The rules of the detector of injections, which no setting changes.
static INJECTION: LazyLock<Vec<Rule>> =
    LazyLock::new(|| Injection::new(injection::Settings::default()).rules());

/// The engines in use.
static IN_USE: Mutex<Vec<([u8; 32], Weak<Engine>)>> = Mutex::new(Vec::new());

impl Detection {
    fn new(key: [u8; 32], builder: Box<dyn FnOnce() -> Builder + Send>) -> Detection {
        let build = move || match in_use(&key) {
            Some(engine) => Ok(engine),
            None => {
                let engine = Arc::new(builder().build().map_err(|error| error.to_string())?);
                let mut known = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
                known.retain(|(_, engine)| engine.strong_count() > 0);
                known.push((key, Arc::downgrade(&engine)));
                Ok(engine)
            }
        };
        Detection(Arc::new(Lazy { key, engine: LazyLock::new(Box::new(build)) }))
    }

    /// The engine. Findings name its rules by position, and so do the policies of the same settings.
    ///
    /// # Errors
    /// Rules that cannot be used. Those of files are tried when the configuration is loaded, and the built-in ones in
    /// tests.
    pub fn engine(&self) -> Result<Arc<Engine>, String> {
        LazyLock::force(&self.0.engine).clone()
    }
}

fn in_use(key: &[u8; 32]) -> Option<Arc<Engine>> {
    let known = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().find(|(other, _)| other == key).and_then(|(_, engine)| engine.upgrade())
}

/// Two are the same if they find the same.
impl PartialEq for Detection {
    fn eq(&self, other: &Detection) -> bool {
        self.0.key == other.0.key
    }
}

impl fmt::Debug for Detection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, ..] = self.0.key;
        write!(f, "Detection({:08x})", u32::from_be_bytes([a, b, c, d]))
    }
}

/// Detectors that were not compiled yet.
pub(super) struct Parts {
    builder: Box<dyn FnOnce() -> Builder + Send>,
    /// Every rule, in the order of the engine. One that is disabled has no name that a policy could mean.
    pub(super) rules: Vec<Rule>,
    /// Everything that decides what is found, but for the choice of rules.
    recipe: Sha256,
    /// Whether some rules are not ours, and may be unusable.
    foreign: bool,
}

/// Whether there is a detector's rule for any condition of a policy.
pub(super) fn finds_something(policy: &narrows_policy::Rule, detectors: &[Rule]) -> bool {
    policy.when.iter().any(|condition| match condition {
        Condition::Found(found) => detectors.iter().any(|rule| found.selects(rule)),
        Condition::Guardrail(_) => true,
    })
}

impl Check<'_, '_> {
    /// The detectors, and what of theirs `policies` ask for by name.
    pub(super) fn parts(&mut self, guard: &Guard, policies: &[narrows_policy::Rule]) -> Parts {
        let mut recipe = Sha256::new();
        recipe.update(format!("{:?} {:?} {:?}", guard.secrets, guard.pii, guard.injection));
        let (builder, disabled) = self.secrets(&guard.secrets, &mut recipe);
        let pii = self.pii(&guard.pii, policies);
        recipe.update(format!("{pii:?}"));
        let threshold = u8::try_from(guard.injection.threshold).unwrap_or(injection::THRESHOLD);
        let custom = self.custom(&guard.custom, &mut recipe);
        let mut rules = builder.rules();
        rules.extend(PII.iter().chain(&*INJECTION).cloned());
        rules.extend(custom.iter().flat_map(Detector::rules));
        let builder = move || {
            let injection = Injection::new(injection::Settings { threshold });
            let builder = builder.detector(Pii::new(pii)).detector(injection);
            custom.into_iter().fold(builder, |builder, custom| builder.detector(custom))
        };
        let builder = Box::new(builder);
        for rule in rules.iter_mut().filter(|rule| rule.class == Class::Secret && disabled.contains(&rule.id))
        {
            (rule.id, rule.entity, rule.tier) = ("".into(), "".into(), Tier::C);
        }
        Parts { builder, rules, recipe, foreign: !guard.secrets.gitleaks.is_empty() }
    }

    fn secrets(&mut self, secrets: &SecretDetector, recipe: &mut Sha256) -> (Builder, HashSet<Box<str>>) {
        let path = Path::of(&["guard", "secrets"]);
        let mut builder = Engine::builder();
        if secrets.builtin {
            match &*BUILT_IN {
                Ok(set) => builder = builder.secrets(set.clone()),
                Err(error) => self.problem(&path.key("builtin"), error.clone(), "write `builtin: false`"),
            }
        }
        for (at, file) in secrets.gitleaks.iter().enumerate() {
            recipe.update(file.text.as_bytes());
            match RuleSet::gitleaks(&file.text) {
                Ok(set) => builder = builder.secrets(set),
                Err(error) => {
                    let suggestion = "use a file of gitleaks' rules, in TOML";
                    self.problem(&path.key("gitleaks").index(at), error.to_string(), suggestion);
                }
            }
        }
        let rules = builder.rules();
        let mut disabled = HashSet::new();
        for (at, name) in secrets.disabled.iter().enumerate() {
            let glob = Glob::new(name);
            let meant = |rule: &&Rule| glob.as_ref().is_some_and(|glob| glob.matches(&rule.id, Case::Exact));
            let before = disabled.len();
            disabled.extend(rules.iter().filter(meant).map(|rule| rule.id.clone()));
            if disabled.len() == before {
                let path = path.key("disabled").index(at);
                self.problem(&path, format!("there is no rule `{name}` that is in use"), "remove it");
            }
        }
        (builder, disabled)
    }

    /// The detector of what an operator named, if anything is.
    fn custom(&mut self, written: &[(String, CustomDetector)], recipe: &mut Sha256) -> Option<Custom> {
        if written.is_empty() {
            return None;
        }
        let path = Path::of(&["guard", "custom"]);
        let mut rules = Vec::new();
        for (name, custom) in written {
            match custom.rule(name) {
                Some(rule) => rules.push(rule),
                // A file that cannot be read has been named already.
                None if self.has_problem_in(&path.key(name)) => {}
                None => self.problem(
                    &path.key(name),
                    "it looks for nothing, or for things of several kinds",
                    "give one of: `words` and `dictionaries`, `names`, `regex`",
                ),
            }
        }
        recipe.update(format!("{rules:?}"));
        match Custom::new(rules) {
            Ok(custom) => Some(custom),
            Err(CustomError::Rule { rule, part, cause }) => {
                let custom = written.iter().find(|(name, _)| *name == rule);
                let (path, cause) = place(path.key(&rule), custom.map(|(_, custom)| custom), part, cause);
                self.problem(&path, cause, "see docs/policies.md, “Your own words”");
                None
            }
            Err(CustomError::Rules(cause)) => {
                self.problem(&path, cause, "write fewer of them");
                None
            }
        }
    }

    /// The settings of the detector: what policies ask for by name is looked for, in context if nothing else is said.
    fn pii(&mut self, settings: &PiiDetector, policies: &[narrows_policy::Rule]) -> pii::Settings {
        let rules = &*PII;
        for (id, _) in &settings.rules {
            if !rules.iter().any(|rule| *rule.id == **id) {
                let known: Vec<&str> = rules.iter().map(|rule| &*rule.id).collect();
                let path = Path::of(&["guard", "pii", "rules", id]);
                self.problem(&path, format!("there is no rule `{id}`"), did_you_mean(id, &known));
            }
        }
        let mut all = settings.settings();
        let found = policies.iter().flat_map(|policy| &policy.when).filter_map(|condition| match condition {
            Condition::Found(found) => Some(found),
            Condition::Guardrail(_) => None,
        });
        for found in found {
            for rule in rules.iter().filter(|rule| found.selects(rule)) {
                let mode = match rule.tier {
                    Tier::A => all.a,
                    Tier::B => all.b,
                    Tier::C => all.c,
                };
                // An entity that is looked for already needs no weaker rule for it: who means that one names it.
                let named = !found.rules.any.is_empty() || found.tiers.contains(&rule.tier);
                let other = |other: &Rule| {
                    let mode = match other.tier {
                        Tier::A => all.a,
                        Tier::B => all.b,
                        Tier::C => all.c,
                    };
                    other.entity == rule.entity && mode != Mode::Off
                };
                if mode == Mode::Off && (named || !rules.iter().any(other)) {
                    all.rules.entry(rule.id.clone()).or_insert(Mode::InContext);
                }
            }
        }
        all
    }

    /// The engine of what policies look at.
    pub(super) fn detection(&mut self, parts: Parts, policies: &PolicySet) -> Detection {
        let Parts { builder, rules, mut recipe, foreign } = parts;
        let wanted: HashSet<String> = (0u32..)
            .zip(&rules)
            .filter(|(at, rule)| !rule.id.is_empty() && policies.wants(RuleIndex(*at)))
            .map(|(_, rule)| name(rule))
            .collect();
        for rule in &rules {
            recipe.update([u8::from(wanted.contains(&name(rule)))]);
        }
        let builder = Box::new(move || builder().only(move |rule| wanted.contains(&name(rule))));
        let detection = Detection::new(recipe.finalize().into(), builder);
        if foreign && let Err(cause) = detection.engine() {
            let suggestion = "correct the rule in its file, or leave it out with `disabled`";
            self.problem(&Path::of(&["guard", "secrets", "gitleaks"]), cause, suggestion);
        }
        detection
    }
}

/// Where a part of a rule is written, and what is wrong with it there: a word of a file is named by its line.
fn place(path: Path, custom: Option<&CustomDetector>, part: Part, cause: String) -> (Path, String) {
    let named = |key: &str, cause| (path.key(key), cause);
    match (part, custom) {
        (Part::Entity, Some(custom)) if custom.entity.is_some() => named("entity", cause),
        (Part::Score, _) => named("score", cause),
        (Part::Expression, _) => named("regex", cause),
        (Part::Group, Some(custom)) if custom.group > 0 => named("group", cause),
        (Part::Group, _) => named("regex", cause),
        (Part::Word(at), Some(custom)) if !custom.names.is_empty() => (path.key("names").index(at), cause),
        (Part::Word(at), Some(custom)) => match at.checked_sub(custom.words.len()) {
            None => (path.key("words").index(at), cause),
            Some(at) => {
                let lines = |(file, text): (usize, &TextFile)| {
                    dictionary(text).map(move |(line, _)| (file, line)).collect::<Vec<_>>()
                };
                let (file, line) =
                    custom.dictionaries.iter().enumerate().flat_map(lines).nth(at).unwrap_or_default();
                (path.key("dictionaries").index(file), format!("line {line}: {cause}"))
            }
        },
        _ => (path, cause),
    }
}

/// The words of a file with their lines, from 1. Empty lines are none.
fn dictionary(file: &TextFile) -> impl Iterator<Item = (usize, &str)> {
    // A mark of byte order is what some editors put before a text.
    let text = file.text.strip_prefix('\u{FEFF}').unwrap_or(&file.text);
    (1..).zip(text.lines().map(str::trim)).filter(|(_, word)| !word.is_empty())
}

/// The name of a rule among those of all classes.
fn name(rule: &Rule) -> String {
    format!("{}/{}", rule.class.as_str(), rule.id)
}

impl CustomDetector {
    /// The rule; `None` if it is not about things of one kind.
    fn rule(&self, name: &str) -> Option<CustomRule> {
        let words = self.words.iter().map(String::as_str);
        let lines = self.dictionaries.iter().flat_map(dictionary).map(|(_, word)| word);
        let words: Vec<Box<str>> = words.chain(lines).map(Box::from).collect();
        let find = match (words.is_empty(), self.names.is_empty(), &self.regex) {
            (false, true, None) => Find::Words { words, exact: self.exact },
            (true, false, None) => Find::Names(self.names.iter().map(|name| name.as_str().into()).collect()),
            (true, true, Some(regex)) => {
                Find::Expression { pattern: regex.as_str().into(), group: self.group }
            }
            _ => return None,
        };
        let capital = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
        Some(CustomRule {
            id: name.into(),
            entity: self.entity.clone().unwrap_or_else(|| name.chars().map(capital).collect()).into(),
            description: self.description.as_deref().unwrap_or_default().into(),
            score: u8::try_from(self.score).unwrap_or(u8::MAX),
            find,
            allow: self.allow.iter().map(|value| value.as_str().into()).collect(),
        })
    }
}

impl PiiDetector {
    /// The settings of the detector, as they are written.
    fn settings(&self) -> pii::Settings {
        let mode = |report| match report {
            Report::Always => Mode::Always,
            Report::InContext => Mode::InContext,
            Report::Off => Mode::Off,
        };
        pii::Settings {
            a: mode(self.tier_a),
            b: mode(self.tier_b),
            c: mode(self.tier_c),
            rules: self.rules.iter().map(|(id, report)| (id.as_str().into(), mode(*report))).collect(),
        }
    }
}
