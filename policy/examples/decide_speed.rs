//! What policies cost an exchange: `cargo run --release -p narrows-policy --example decide_speed`.
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a measurement for people at a terminal")]

use narrows_guard::{Class, RuleIndex, Tier};
use narrows_policy::names::Names;
use narrows_policy::rule::{Condition, Found, Then, Where};
use narrows_policy::{
    Action, Caller, Catalogue, Coverage, Dimension, Evidence, Facts, PolicySet, Rule, Seen, Stage, Surface,
};
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rules of detectors, about as many as the built-in ones.
const DETECTORS: usize = 900;

/// The best of several runs, in nanoseconds a call.
fn best(mut call: impl FnMut()) -> f64 {
    const CALLS: u32 = 20_000;
    let run = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed()
    };
    let least = (0..15).map(|_| run(&mut call)).min().unwrap_or(Duration::ZERO);
    least.as_secs_f64() * 1e9 / f64::from(CALLS)
}

fn detectors() -> Vec<narrows_guard::Rule> {
    let rule = |number: usize| narrows_guard::Rule {
        id: format!("vendor-{number}-key").into(),
        entity: format!("VENDOR_{number}").into(),
        class: if number.is_multiple_of(10) { Class::Pii } else { Class::Secret },
        tier: Tier::A,
        description: "".into(),
    };
    (0..DETECTORS).map(rule).collect()
}

/// As in an organization: a tenth holds for all, the others for a team, a model or an application each.
fn policies(count: usize) -> Vec<Rule> {
    let names = |text: String| Names::parse([text.as_str()]).expect("a name");
    let rule = |number: usize| {
        let mut place = Where::default();
        let demand = match number % 10 {
            0 => None,
            1..=4 => Some((Dimension::Team, format!("team-{}", number / 3))),
            5..=7 => Some((Dimension::Model, format!("vendor-{number}-*"))),
            _ => Some((Dimension::Application, format!("app-{number}"))),
        };
        place.names.extend(demand.map(|(dimension, text)| (dimension, names(text))));
        let class = if number.is_multiple_of(2) { Class::Secret } else { Class::Pii };
        let when = vec![Condition::Found(Found { classes: vec![class], ..Found::default() })];
        Rule {
            name: format!("rule-{number}"),
            description: String::new(),
            place,
            when,
            then: Then::act(Action::Mask),
        }
    };
    (0..count).map(rule).collect()
}

fn main() {
    let detectors = detectors();
    let caller = Caller {
        organization: "acme".to_owned(),
        team: Some("team-33".to_owned()),
        user: Some("jane".to_owned()),
        key_id: Some("k-1".to_owned()),
        ..Caller::default()
    };
    let models = ["claude-sonnet-4-5"];
    let facts = Facts {
        models: &models,
        providers: &["anthropic"],
        application: Some("app-8"),
        ..Facts::of(Surface::Gateway, &caller)
    };
    println!("policies  compile ms  scope ns  needs ns  decide ns: nothing  1 finding  100 findings");
    for count in [3, 10, 100, 1000] {
        let rules = policies(count);
        let catalogue = Catalogue { detectors: &detectors, guardrails: &[] };
        let start = Instant::now();
        let set = PolicySet::compile(rules, &catalogue).expect("good rules");
        let compile = start.elapsed().as_secs_f64() * 1e3;
        let scope = set.scope(&facts);
        let findings: Vec<Seen> =
            (0..100).map(|rule| Seen { rule: RuleIndex(rule), score: 90, maskable: true }).collect();
        let decide = |count: usize| {
            let evidence = Evidence::local(findings.get(..count).unwrap_or_default(), Coverage::Full);
            best(|| drop(black_box(set.decide(black_box(&scope), Stage::Request, &evidence))))
        };
        println!(
            "{count:8}  {compile:10.2}  {:8.0}  {:8.0}  {:18.0}  {:9.0}  {:12.0}",
            best(|| _ = black_box(set.scope(black_box(&facts)))),
            best(|| _ = black_box(set.needs(black_box(&scope), Stage::Request))),
            decide(0),
            decide(1),
            decide(100),
        );
    }
}
