use super::super::tests::read;
use super::*;
use narrows_meter::Period;

const HEAD: &str = "version: 1\nproviders:\n  openai: {kind: openai, api_key: \"${KEY}\"}\n";

fn problems(text: &str) -> Vec<(String, String, String)> {
    let problems = read(&format!("{HEAD}{text}")).unwrap_err();
    let told = problems.as_slice().iter();
    told.map(|problem| (problem.path.clone(), problem.message.clone(), problem.suggestion.clone())).collect()
}

#[test]
fn budgets_are_read_with_their_scopes() {
    let text = "budgets:\n  team-month:\n    per: [team, tags.cost_center]\n    where: {model: [gpt-*, \"!gpt-4o\"], tags: {env: prod}}\n    \
                usd: 12.5\n    window: month\n    time_zone: Europe/Zurich\n    thresholds: [100, 50]\n  \
                all: {tokens: 1000, window: 30d, at_limit: warn}\n";
    let settings = read(&format!("{HEAD}{text}")).unwrap().settings;
    let [team, all] = &settings.budgets[..] else { panic!("two budgets") };
    assert_eq!((team.unit, team.budget.limit), (Unit::Usd, 12_500_000_000));
    assert_eq!(team.budget.window, Window::Calendar(Calendar::new(Period::Month, "Europe/Zurich").unwrap()));
    assert_eq!(team.budget.thresholds, [50, 100]);
    assert_eq!((team.at_limit, team.on_error), (AtLimit::Block, OnLimitError::Block));
    assert!(team.scope.names_target());
    assert_eq!(
        team.scope.written(),
        "per team, tags.cost_center where model gpt-*, !gpt-4o and tags.env prod"
    );
    assert_eq!((all.unit, all.budget.window), (Unit::Tokens, Window::Rolling(30 * 86_400_000_000)));
    assert_eq!((all.on_error, all.scope.names_target()), (OnLimitError::Allow, false));
    assert_eq!(all.scope.written(), "all together");
}

#[test]
fn rate_limits_are_read() {
    let text = "rate_limits:\n  each: {per: key, requests: 60, tokens: 1000, concurrent: 4, every: hour}\n";
    let settings = read(&format!("{HEAD}{text}")).unwrap().settings;
    let [each] = &settings.rate_limits[..] else { panic!("one limit") };
    let limit =
        RateLimit { requests: Some(60), tokens: Some(1_000), concurrent: Some(4), length_us: 3_600_000_000 };
    assert_eq!(each.limit, limit);
    assert_eq!(each.scope.per, [Facet::Fact(Dimension::Key)]);
}

#[test]
fn what_is_shown_reads_back() {
    let text =
        "budgets:\n  b: {per: [key, tags.x], usd: 0.05, window: 36h}\nrate_limits:\n  r: {concurrent: 1}\n";
    let first = read(&format!("{HEAD}{text}")).unwrap();
    let again = read(&first.to_yaml()).unwrap();
    assert_eq!(
        (&first.settings.budgets, &first.settings.rate_limits),
        (&again.settings.budgets, &again.settings.rate_limits)
    );
}

#[test]
fn an_unknown_scope_is_refused_with_the_one_that_was_meant() {
    let found = problems("budgets: {b: {per: [teem], usd: 1, window: day}}\n");
    assert_eq!(found.len(), 1);
    assert_eq!(
        (found[0].0.as_str(), found[0].1.as_str()),
        ("budgets.b.per[0]", "`teem` is not what counters can be kept apart by")
    );
    assert!(found[0].2.contains("team"), "{}", found[0].2);
    let found = problems("budgets: {b: {where: {teem: x}, usd: 1, window: day}}\n");
    assert_eq!(found[0].0, "budgets.b.where.teem");
    assert!(found[0].2.contains("team"));
}

#[test]
fn a_budget_has_one_unit_and_a_limit_limits_something() {
    for text in [
        "budgets: {b: {window: day}}\n",
        "budgets: {b: {usd: 1, tokens: 2, window: day}}\n",
        "rate_limits: {b: {every: day}}\n",
        "budgets: {B: {usd: 1, window: day}}\n",
        "budgets: {b: {usd: 1, window: year}}\n",
        "budgets: {b: {usd: 1, window: 93d}}\n",
        "budgets: {b: {usd: 1, window: day, time_zone: Europe/Zuerich}}\n",
        "budgets: {b: {usd: 1, window: 24h, time_zone: UTC}}\n",
        "budgets: {b: {usd: 1, window: day, thresholds: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}\n",
        "budgets: {b: {usd: 1, window: day, per: []}}\n",
        "budgets: {b: {usd: 1, window: day, delay: 61s}}\n",
        "budgets: {b: {usd: 1, window: day, at_limit: warn, end_streams: true}}\n",
    ] {
        assert_eq!(problems(text).len(), 1, "{text}");
    }
    assert!(
        read(&format!(
            "{HEAD}budgets: {{b: {{usd: 1, window: day, thresholds: [1, 2, 3, 4, 5, 6, 7, 8]}}}}\n"
        ))
        .is_ok()
    );
}

#[test]
fn there_is_a_most_of_rules() {
    let rules = |count: usize| {
        let lines: String = (0..count).map(|number| format!("  b{number}: {{requests: 1}}\n")).collect();
        format!("{HEAD}rate_limits:\n{lines}")
    };
    assert!(read(&rules(RULES_MAX)).is_ok());
    assert!(read(&rules(RULES_MAX + 1)).is_err());
}
