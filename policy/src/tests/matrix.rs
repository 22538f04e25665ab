//! Stage by action by mode by failure, and what adds up.

use super::*;
use proptest::prelude::*;

/// What may go wrong with our own detectors.
const FAILURES: [Coverage; 3] =
    [Coverage::Full, Coverage::Partial(Gap::FindingsCap), Coverage::None(Gap::Undecodable)];

/// What should happen, said in another way than the code says it: (action, carried out).
fn expected(
    stage: Stage,
    action: Action,
    mode: Mode,
    found: bool,
    failed: bool,
    on_error: Option<OnError>,
    streams: Streams,
) -> (Option<Action>, Option<Action>) {
    let closed = match (mode, on_error, action) {
        (Mode::EnforceIgnoreErrors, _, _) | (_, Some(OnError::Allow), _) => false,
        (_, Some(_), _) => true,
        (_, None, action) => action != Action::Log,
    };
    let mut asked = Vec::new();
    if found {
        asked.push(action);
    }
    if failed {
        asked.push(if closed { Action::Block } else { Action::Log });
    }
    let asked = asked.into_iter().map(|it| if mode == Mode::Audit { Action::Log } else { it }).max();
    let done = match (stage, asked) {
        (Stage::Stream, Some(_)) if streams == Streams::Observed => Some(Action::Log),
        (_, asked) => asked,
    };
    (asked, done)
}

#[test]
fn every_stage_action_mode_and_failure() {
    let mut cells = 0;
    for streams in [Streams::Observed, Streams::Gated] {
        for stage in Stage::ALL {
            for action in Action::ALL
                .into_iter()
                .filter(|action| streams == Streams::Observed || *action != Action::Log)
            {
                for mode in Mode::ALL {
                    for on_error in [None, Some(OnError::Allow), Some(OnError::Block)] {
                        if mode == Mode::EnforceIgnoreErrors && on_error == Some(OnError::Block) {
                            continue;
                        }
                        cells += cells_of(stage, Then { mode, on_error, streams, ..Then::act(action) });
                    }
                }
            }
        }
    }
    assert_eq!(cells, 3 * 3 * 8 * 3 * 2 + 3 * 2 * 8 * 3 * 2);
}

/// Every failure, with findings and without. How many there are.
fn cells_of(stage: Stage, then: Then) -> usize {
    let Then { mode, on_error, streams, .. } = then;
    let Effect::Act(action) = then.effect else { unreachable!() };
    let set = compile(vec![rule("one", vec![class(Class::Secret)], then)]);
    let mut cells = 0;
    for coverage in FAILURES {
        for found in [false, true] {
            cells += 1;
            let findings = if found { vec![seen(EMAIL), seen(GITHUB)] } else { Vec::new() };
            let decision = set.decide(&scope(&set), stage, &Evidence::local(&findings, coverage));
            let failed = coverage != Coverage::Full;
            let (asked, done) = expected(stage, action, mode, found, failed, on_error, streams);
            let cell = format!("{stage:?} {action:?} {mode:?} {on_error:?} {streams:?} {coverage:?} {found}");
            assert_eq!((decision.action, decision.carried_out()), (asked, done), "{cell}");
            let masks: Vec<usize> = decision.masks.iter().map(|mask| mask.finding).collect();
            let masked = done == Some(Action::Mask);
            assert_eq!(masks, if masked { vec![1] } else { vec![] }, "{cell}");
            let observed = stage == Stage::Stream && streams == Streams::Observed;
            let lost = observed && asked > Some(Action::Log);
            assert_eq!(decision.enforceable, !lost, "{cell}");
            // A stream that could not be touched, and whatever was refused, is an alert.
            if lost || done == Some(Action::Block) {
                assert!(decision.alerts(), "{cell}");
            }
        }
    }
    cells
}

#[test]
fn a_rule_that_only_observes_streams_takes_nothing_from_one_that_gates_them() {
    let gated = |action| Then { streams: Streams::Gated, ..Then::act(action) };
    let set = compile(vec![
        rule("observes", vec![class(Class::Secret)], Then::act(Action::Block)),
        rule("masks", vec![class(Class::Secret)], gated(Action::Mask)),
    ]);
    let decision = decide(&set, Stage::Stream, &[seen(EMAIL), seen(AWS)]);
    assert_eq!((decision.action, decision.enforceable), (Some(Action::Block), false));
    assert_eq!(decision.carried_out(), Some(Action::Mask));
    assert_eq!(decision.masks, [Mask { finding: 1, restore: false }]);
    assert!(set.needs(&scope(&set), Stage::Stream).hold);
    // What has left in part cannot be masked.
    let left = Seen { maskable: false, ..seen(AWS) };
    let decision = decide(&set, Stage::Stream, &[left]);
    assert!(decision.refuses() && decision.enforceable);
}

#[test]
fn what_is_not_there_to_inspect_fails_nothing() {
    let set = compile(vec![rule("one", vec![class(Class::Secret)], Then::act(Action::Block))]);
    for gap in Gap::ALL {
        let evidence = Evidence::local(&[], Coverage::None(*gap));
        let refuses = set.decide(&scope(&set), Stage::Request, &evidence).refuses();
        let nothing = matches!(gap, Gap::NotText | Gap::PassThrough | Gap::Cut | Gap::Streamed);
        assert_eq!(refuses, !nothing, "{gap:?}");
    }
}

#[test]
fn rules_that_only_write_down_are_known() {
    let secrets = || vec![class(Class::Secret)];
    let with = |action, mode, on_error| Then { mode, on_error, ..Then::act(action) };
    let log = || rule("a", secrets(), Then::act(Action::Log));
    for (then, logs) in [
        (Then::act(Action::Log), true),
        (with(Action::Block, Mode::Audit, None), true),
        (with(Action::Log, Mode::Enforce, Some(OnError::Block)), false),
        (with(Action::Mask, Mode::EnforceIgnoreErrors, None), false),
        (Then::act(Action::Block), false),
    ] {
        let set = compile(vec![log(), rule("b", secrets(), then.clone())]);
        assert_eq!(set.only_logs(), logs, "{then:?}");
        assert_eq!(set.needs(&scope(&set), Stage::Request).hold, !logs, "{then:?}");
    }
    let by_place = compile(vec![log(), rule("b", Vec::new(), Then::act(Action::Block))]);
    assert!(!by_place.only_logs());
    assert!(PolicySet::empty().only_logs());
}

#[test]
fn a_failure_that_passes_a_strict_rule_alerts() {
    let set = |action, mode| {
        compile(vec![rule("one", vec![class(Class::Secret)], Then { mode, ..Then::act(action) })])
    };
    let alerts = |set: &PolicySet| {
        let evidence = Evidence::local(&[], Coverage::None(Gap::Timeout));
        set.decide(&scope(set), Stage::Request, &evidence).alerts()
    };
    assert!(alerts(&set(Action::Block, Mode::EnforceIgnoreErrors)));
    assert!(!alerts(&set(Action::Log, Mode::EnforceIgnoreErrors)));
    assert!(!alerts(&set(Action::Block, Mode::Audit)));
}

#[test]
fn an_alert_is_as_the_rule_says() {
    for (action, alert, due) in [
        (Action::Log, None, false),
        (Action::Log, Some(true), true),
        (Action::Block, None, true),
        (Action::Block, Some(false), false),
    ] {
        let set = compile(vec![rule("one", vec![class(Class::Secret)], Then { alert, ..Then::act(action) })]);
        assert_eq!(decide(&set, Stage::Request, &[seen(AWS)]).alerts(), due, "{action:?} {alert:?}");
    }
}

#[test]
fn scores_and_counts_are_thresholds() {
    let found = Found { classes: vec![Class::Secret], score: 60, count: 2, ..Found::default() };
    let set = compile(vec![rule("one", vec![Condition::Found(found)], Then::act(Action::Mask))]);
    let score = |score| Seen { score, ..seen(GITHUB) };
    assert!(decide(&set, Stage::Request, &[score(60)]).is_nothing());
    assert!(decide(&set, Stage::Request, &[score(60), score(59), seen(EMAIL)]).is_nothing());
    let decision = decide(&set, Stage::Request, &[score(60), score(59), seen(EMAIL), score(60)]);
    // Below its score a finding is not masked either.
    assert_eq!(decision.masks.iter().map(|mask| mask.finding).collect::<Vec<_>>(), [0, 3]);
    assert_eq!(decision.fired[0].cause, Cause::Found { first: 0, rule: GITHUB, count: 2 });
}

#[test]
fn tiers_beyond_the_first_are_asked_for() {
    let decides = |found: Found, seen: Seen| {
        let set = compile(vec![rule("one", vec![Condition::Found(found)], Then::act(Action::Log))]);
        !decide(&set, Stage::Request, &[seen]).is_nothing()
    };
    let pii = Found { classes: vec![Class::Pii], ..Found::default() };
    assert!(decides(pii.clone(), seen(EMAIL)) && decides(pii.clone(), seen(IP)));
    assert!(!decides(pii.clone(), seen(BANK)));
    assert!(decides(Found { tiers: vec![Tier::C], ..pii.clone() }, seen(BANK)));
    assert!(!decides(Found { tiers: vec![Tier::A], ..pii }, seen(IP)));
    let named = Found { entities: names(&["BANK_*", "EMAIL"]), ..Found::default() };
    assert!(decides(named.clone(), seen(BANK)));
    assert!(!decides(Found { tiers: vec![Tier::A], ..named }, seen(BANK)));
}

#[test]
fn a_mask_is_put_back_only_if_all_say_so() {
    let mask = |restore| Then { restore, ..Then::act(Action::Mask) };
    let set = compile(vec![
        rule("all", vec![class(Class::Pii), class(Class::Secret)], mask(true)),
        rule("keys", vec![class(Class::Secret)], mask(false)),
    ]);
    let masks = decide(&set, Stage::Request, &[seen(EMAIL), seen(AWS)]).masks;
    assert_eq!(masks, [Mask { finding: 0, restore: true }, Mask { finding: 1, restore: false }]);
}

#[test]
fn what_cannot_be_masked_is_refused_unless_errors_pass() {
    let stuck = Seen { maskable: false, ..seen(EMAIL) };
    let decision = |then| {
        let set = compile(vec![rule("one", vec![class(Class::Pii)], then)]);
        decide(&set, Stage::Request, &[seen(EMAIL), stuck])
    };
    let refused = decision(Then::act(Action::Mask));
    assert!(refused.refuses());
    assert_eq!(refused.fired[0].cause, Cause::Unmaskable { first: 1, rule: EMAIL });
    let open = decision(Then { on_error: Some(OnError::Allow), ..Then::act(Action::Mask) });
    assert_eq!((open.carried_out(), open.masks.len()), (Some(Action::Mask), 1));
    assert!(open.alerts());
    let audit = decision(Then { mode: Mode::Audit, ..Then::act(Action::Mask) });
    assert_eq!(audit.carried_out(), Some(Action::Log));
    assert!(!decision(Then::act(Action::Log)).refuses());
}

#[test]
fn a_finding_of_an_unknown_detector_fails_closed() {
    let set = compile(vec![rule("one", vec![class(Class::Secret)], Then::act(Action::Block))]);
    assert!(decide(&set, Stage::Request, &[seen(RuleIndex(99))]).refuses());
}

#[test]
fn the_message_is_the_deciding_rules() {
    let then = |message: &str| Then { message: Some(message.to_owned()), ..Then::act(Action::Block) };
    let set = compile(vec![
        rule("b", vec![class(Class::Secret)], then("second")),
        rule("a", vec![class(Class::Secret)], Then { mode: Mode::Audit, ..then("audit") }),
        rule("c", vec![class(Class::Secret)], then("third")),
    ]);
    let decision = decide(&set, Stage::Request, &[seen(AWS)]);
    assert_eq!((&*decision.fired[0].rule, decision.message.as_deref()), ("b", Some("second")));
    assert_eq!(decide(&set, Stage::Stream, &[seen(AWS)]).message, None);
}

fn some_then() -> impl Strategy<Value = Then> {
    let modes = prop::sample::select(&Mode::ALL[..]);
    (prop::sample::select(&Action::ALL[..]), modes, any::<bool>()).prop_map(|(action, mode, restore)| Then {
        mode,
        restore: restore && action == Action::Mask,
        ..Then::act(action)
    })
}

fn some_condition() -> impl Strategy<Value = Condition> {
    let classes = prop::sample::select(vec![Class::Secret, Class::Pii, Class::Injection, Class::Custom]);
    (classes, 0..=100u8, 1..3u32).prop_map(|(class, score, count)| {
        Condition::Found(Found { classes: vec![class], score, count, ..Found::default() })
    })
}

fn some_rules() -> impl Strategy<Value = Vec<Rule>> {
    let stages = prop::sample::subsequence(&Stage::ALL[..], 0..=3);
    let one = (stages, prop::collection::vec(some_condition(), 1..4), some_then());
    prop::collection::vec(one, 1..8).prop_map(|rules| {
        let name = |at: usize| format!("rule-{at}");
        let rules = rules.into_iter().enumerate();
        let made = rules.map(|(at, (stages, when, then))| Rule {
            place: Where { stages, ..Where::default() },
            ..rule(&name(at), when, then)
        });
        made.collect()
    })
}

fn some_findings() -> impl Strategy<Value = Vec<Seen>> {
    let one = (0..7u32, 0..=100u8, any::<bool>()).prop_map(|(rule, score, maskable)| Seen {
        rule: RuleIndex(rule),
        score,
        maskable,
    });
    prop::collection::vec(one, 0..8)
}

proptest! {
    #[test]
    fn the_order_of_rules_is_of_no_matter(
        (rules, shuffled) in some_rules().prop_flat_map(|rules| (Just(rules.clone()), Just(rules).prop_shuffle())),
        findings in some_findings(),
        stage in prop::sample::select(&Stage::ALL[..]),
        coverage in prop::sample::select(&FAILURES[..]),
    ) {
        let (one, other) = (compile(rules), compile(shuffled));
        let evidence = Evidence::local(&findings, coverage);
        prop_assert_eq!(one.version(), other.version());
        prop_assert_eq!(one.needs(&scope(&one), stage), other.needs(&scope(&other), stage));
        let decisions = [&one, &other].map(|set| set.decide(&scope(set), stage, &evidence));
        prop_assert_eq!(&decisions[0], &decisions[1]);
    }

    #[test]
    fn the_strictest_of_all_wins(
        rules in some_rules(),
        findings in some_findings(),
        stage in prop::sample::select(&Stage::ALL[..]),
        coverage in prop::sample::select(&FAILURES[..]),
    ) {
        let evidence = Evidence::local(&findings, coverage);
        let decided = |rules: Vec<Rule>| {
            let set = compile(rules);
            set.decide(&scope(&set), stage, &evidence)
        };
        let alone: Vec<Decision> = rules.iter().map(|rule| decided(vec![rule.clone()])).collect();
        let all = decided(rules);
        prop_assert_eq!(all.action, alone.iter().filter_map(|decision| decision.action).max());
        prop_assert_eq!(all.would, alone.iter().filter_map(|decision| decision.would).max());
        if all.carried_out() == Some(Action::Mask) {
            let mut masked: Vec<usize> =
                alone.iter().flat_map(|decision| decision.masks.iter().map(|mask| mask.finding)).collect();
            masked.sort_unstable();
            masked.dedup();
            prop_assert_eq!(all.masks.iter().map(|mask| mask.finding).collect::<Vec<_>>(), masked);
        }
    }

    #[test]
    fn audit_changes_no_byte_and_holds_nothing(
        mut rules in some_rules(),
        findings in some_findings(),
        stage in prop::sample::select(&Stage::ALL[..]),
        coverage in prop::sample::select(&FAILURES[..]),
    ) {
        let live = compile(rules.clone());
        rules.iter_mut().for_each(|rule| rule.then.mode = Mode::Audit);
        let set = compile(rules);
        let evidence = Evidence::local(&findings, coverage);
        let decision = set.decide(&scope(&set), stage, &evidence);
        prop_assert!(matches!(decision.carried_out(), None | Some(Action::Log)));
        prop_assert!(decision.masks.is_empty() && decision.adopted.is_empty() && decision.message.is_none());
        let needs = set.needs(&scope(&set), stage);
        prop_assert!(!needs.hold && needs.mutators.is_empty());
        prop_assert_eq!(needs.detectors, live.needs(&scope(&live), stage).detectors);
    }

    #[test]
    fn what_is_not_needed_decides_nothing(
        rules in some_rules(),
        findings in some_findings(),
        stage in prop::sample::select(&Stage::ALL[..]),
    ) {
        let set = compile(rules);
        let needs = set.needs(&scope(&set), stage);
        let kinds = detectors();
        let kind = |seen: &Seen| &kinds[usize::try_from(seen.rule.0).unwrap()];
        let needed: Vec<Seen> = findings
            .iter()
            .filter(|seen| needs.detectors.contains(kind(seen).class, kind(seen).tier))
            .copied()
            .collect();
        let (all, some) = (decide(&set, stage, &findings), decide(&set, stage, &needed));
        prop_assert_eq!((all.action, all.would, all.masks.len()), (some.action, some.would, some.masks.len()));
        if matches!(all.carried_out(), Some(Action::Mask | Action::Block)) {
            prop_assert!(needs.hold);
        }
    }
}
