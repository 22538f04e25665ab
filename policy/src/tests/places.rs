//! Where rules apply.

use super::*;
use proptest::prelude::*;

fn deny(name: &str) -> Rule {
    rule(name, Vec::new(), Then::act(Action::Block))
}

fn denied(set: &PolicySet, facts: &Facts<'_>) -> bool {
    set.admit(&set.scope(facts), Stage::Request).refuses()
}

#[test]
fn a_model_is_denied_under_every_name_and_spelling() {
    let set = compile(vec![at(deny("no-gpt"), Dimension::Model, &["gpt-4*", "!gpt-4o-mini"])]);
    let caller = caller();
    let facts = Facts::of(Surface::Gateway, &caller);
    let models = |models: &[&str]| denied(&set, &Facts { models, ..facts });
    assert!(models(&["gpt-4o"]) && models(&["GPT-4O"]));
    assert!(models(&["smart", "gpt-4o"]) && models(&["gpt-4o", "smart"]));
    assert!(!models(&["gpt-4o-mini"]) && !models(&["o3"]) && !models(&[]));
}

#[test]
fn applications_teams_tags_and_streams_are_denied_by_place() {
    let mut tagged = deny("tagged");
    tagged.place.tags.insert("env".to_owned(), names(&["prod"]));
    let mut streams = deny("streams");
    streams.place.stages = vec![Stage::Stream];
    let caller = caller();
    let facts = Facts::of(Surface::Gateway, &caller);
    let other = Caller { team: None, metadata: Vec::new(), ..caller.clone() };
    let others = Facts::of(Surface::Endpoint, &other);

    let team = compile(vec![at(deny("team"), Dimension::Team, &["pay*"])]);
    assert!(denied(&team, &facts) && !denied(&team, &others));
    let not = compile(vec![at(deny("team"), Dimension::Team, &["!payments"])]);
    assert!(!denied(&not, &facts) && denied(&not, &others));
    let surface = compile(vec![at(deny("surface"), Dimension::Surface, &["gateway"])]);
    assert!(denied(&surface, &facts) && !denied(&surface, &others));
    let application = compile(vec![at(deny("app"), Dimension::Application, &["Cursor"])]);
    assert!(
        denied(&application, &Facts { application: Some("cursor"), ..facts })
            && !denied(&application, &facts)
    );
    let tags = compile(vec![tagged]);
    assert!(denied(&tags, &facts) && !denied(&tags, &others));
    let streams = compile(vec![streams]);
    assert!(!denied(&streams, &facts));
    let decision = streams.admit(&streams.scope(&facts), Stage::Stream);
    assert!(decision.refuses() && decision.enforceable);
}

#[test]
fn one_of_several_tags_of_a_key_is_enough() {
    let mut tagged = deny("tagged");
    tagged.place.tags.insert("env".to_owned(), names(&["prod"]));
    let set = compile(vec![tagged]);
    let pair = |value: &str| ("env".to_owned(), value.to_owned());
    let caller = Caller { metadata: vec![pair("test"), pair("prod"), pair("dev")], ..Caller::default() };
    assert!(denied(&set, &Facts::of(Surface::Gateway, &caller)));
}

#[test]
fn admission_and_content_are_decided_apart() {
    let set =
        compile(vec![deny("place"), rule("content", vec![class(Class::Secret)], Then::act(Action::Mask))]);
    assert_eq!(decide(&set, Stage::Request, &[seen(AWS)]).action, Some(Action::Mask));
    let admission = set.admit(&scope(&set), Stage::Request);
    assert_eq!((admission.fired.len(), admission.refuses()), (1, true));
    assert!(decide(&set, Stage::Request, &[]).is_nothing());
}

#[test]
fn only_what_is_in_scope_is_needed() {
    let secrets = rule("secrets", vec![class(Class::Secret)], Then::act(Action::Mask));
    let mut answers = at(secrets, Dimension::Team, &["payments"]);
    answers.place.stages = vec![Stage::Response];
    let set = compile(vec![
        answers,
        at(rule("aidr", vec![guardrail("first")], Then::act(Action::Block)), Dimension::Team, &["ops"]),
        rule("mail", vec![entity("EMAIL")], Then::act(Action::Log)),
    ]);
    let needs = set.needs(&scope(&set), Stage::Request);
    assert!(needs.detectors.any(Class::Pii) && !needs.detectors.any(Class::Secret));
    assert!(needs.validators.is_empty() && !needs.hold);
    let needs = set.needs(&scope(&set), Stage::Response);
    assert!(needs.detectors.contains(Class::Secret, Tier::A) && needs.hold);
    assert!(!needs.detectors.contains(Class::Secret, Tier::B));
    let caller = Caller { team: Some("ops".to_owned()), ..Caller::default() };
    let needs = set.needs(&set.scope(&Facts::of(Surface::Gateway, &caller)), Stage::Request);
    assert!(!needs.validators.is_empty() && needs.hold);
    assert!(set.wants(EMAIL) && set.wants(AWS) && !set.wants(IP) && !set.wants(RuleIndex(99)));
    assert!(compile(Vec::new()).needs(&scope(&set), Stage::Request).is_nothing());
}

/// A demand, as the configuration lists it.
fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "a*", "*b", "!a", "!*", "!b*", "*"]), 1..4)
}

fn accepted(names: &Names, values: &[&str], case: names::Case, cautious: bool) -> bool {
    let mut each = values.iter().map(|value| names.accept(Some(value), case));
    match values {
        [] => names.accept(None, case),
        _ if cautious => each.all(|yes| yes),
        _ => each.any(|yes| yes),
    }
}

proptest! {
    #[test]
    fn the_index_finds_what_a_walk_finds(
        demands in prop::collection::vec(
            (prop::option::of(some_names()), prop::option::of(some_names()), any::<bool>()), 1..100),
        models in prop::collection::vec(prop::sample::select(vec!["a", "b", "A", "ab", "c", ""]), 0..3),
        team in prop::option::of(prop::sample::select(vec!["a", "b", "A", "ab", "c"])),
    ) {
        let rules: Vec<Rule> = demands.iter().enumerate().map(|(number, (model, team, exempts))| {
            let then = if *exempts { exempt(&["target"]) } else { Then::act(Action::Log) };
            let mut rule = rule(&format!("r{number:03}"), Vec::new(), then);
            for (dimension, entries) in [(Dimension::Model, model), (Dimension::Team, team)] {
                if let Some(entries) = entries {
                    rule.place.names.insert(dimension, names(entries));
                }
            }
            rule
        }).collect();
        let mut all = rules.clone();
        all.push(rule("target", Vec::new(), Then::act(Action::Block)));
        let set = compile(all);
        let caller = Caller { team: team.map(str::to_owned), ..Caller::default() };
        let facts = Facts { models: &models, ..Facts::of(Surface::Gateway, &caller) };
        let scope = set.scope(&facts);
        for (number, (rule, (_, _, exempts))) in rules.iter().zip(&demands).enumerate() {
            let meets = |dimension: Dimension, values: &[&str]| {
                let demand = rule.place.names.get(&dimension);
                demand.is_none_or(|names| accepted(names, values, dimension.case(), *exempts))
            };
            let expected = meets(Dimension::Model, &models) && meets(Dimension::Team, team.as_slice());
            prop_assert_eq!(scope.rules.contains(number), expected, "{:?}", rule.place);
        }
    }
}
