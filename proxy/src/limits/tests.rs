use super::counter::Counter;
use super::hold::Room;
use super::memory::Limits;
use super::table::{Overflow, Table};
use super::*;
use crate::config;
use narrows_ledger::{Charge, Ledger, LedgerOptions, Spent};
use narrows_llm::request::Bounds;
use narrows_policy::{Caller, Facts, Surface};
use std::path::Path;
use std::sync::Arc;

pub(super) fn rules(text: &str) -> Rules {
    let text = format!("version: 1\nproviders: {{openai: {{kind: openai, api_key: k}}}}\n{text}");
    let settings = config::parse("test.yaml", Path::new("."), &text, &|_| None).unwrap().settings;
    Rules::new(&settings)
}

pub(super) fn caller(user: Option<&str>) -> Caller {
    Caller {
        organization: "acme".into(),
        user: user.map(str::to_owned),
        metadata: vec![("env".into(), "prod".into())],
        ..Caller::default()
    }
}

pub(super) fn facts<'a>(caller: &'a Caller, models: &'a [&'a str]) -> Facts<'a> {
    Facts { models, providers: &["openai"], ..Facts::of(Surface::Gateway, caller) }
}

pub(super) fn ask<'a>(facts: Facts<'a>, price: &'a (dyn Fn(u64, u64) -> Option<u64> + Sync)) -> Ask<'a> {
    Ask {
        facts,
        prompt: 10,
        bounds: Some(Bounds { tokens: Some(90), choices: None }),
        price,
        of_target_only: false,
        waited: false,
    }
}

pub(super) fn unpriced(_: u64, _: u64) -> Option<u64> {
    None
}

async fn reserve(limits: &Limits, rules: &Rules, user: &str) -> Result<Hold, Why> {
    let (caller, mut hold) = (caller(Some(user)), Hold::default());
    let ask = ask(facts(&caller, &["gpt-4o"]), &unpriced);
    match limits.reserve(rules, &ask, &mut hold).await {
        Ok(()) => Ok(hold),
        Err(refused) => {
            assert!(hold.held.is_empty(), "a refusal holds nothing");
            Err(refused.why)
        }
    }
}

pub(super) fn tokens(tokens: u64) -> CameTo {
    CameTo { spent: Spent { requests: 1, tokens, ..Spent::default() }, is_unread: false }
}

/// Nobody shares these counters.
fn unheard() -> Teller {
    unreachable!("it is known at once what is crossed")
}

#[tokio::test]
async fn one_rule_that_refuses_gives_back_what_the_others_held() {
    let rules = rules(
        "budgets:\n  wide: {tokens: 1000, window: day}\n  narrow: {per: user, tokens: 100, window: day}\n\
         rate_limits:\n  some: {requests: 3, every: hour}\n",
    );
    let limits = Limits::default();
    let hold = reserve(&limits, &rules, "ada").await.unwrap();
    assert_eq!(hold.held.len(), 3);
    for _ in 0..5 {
        assert_eq!(reserve(&limits, &rules, "ada").await.err(), Some(Why::Held));
    }
    let wide = limits.sums()["wide"];
    assert_eq!((wide.reserved, wide.settled), (100, 0), "nothing of the five is left behind");
    drop(reserve(&limits, &rules, "bob").await.unwrap());
    assert!(limits.settle(hold, tokens(60), unheard).len() == 1, "half of `narrow` is told");
    assert_eq!(limits.sums()["wide"].settled, 60);
    assert_eq!(reserve(&limits, &rules, "ada").await.err(), Some(Why::Spent), "40 are left, and 100 wanted");
    let LineKind::Rate { requests, open, .. } = limits.lines("rate_limit")[0].kind else { panic!("a rate") };
    assert_eq!((requests, open), (Some(1), 0), "what was refused or given back was never asked for");
}

#[tokio::test]
async fn a_hold_that_is_dropped_gives_everything_back() {
    let rules = rules("budgets:\n  all: {tokens: 100, window: day}\nrate_limits:\n  one: {concurrent: 1}\n");
    let limits = Limits::default();
    for _ in 0..3 {
        let hold = reserve(&limits, &rules, "ada").await.unwrap();
        assert_eq!(reserve(&limits, &rules, "ada").await.err(), Some(Why::TooManyAtOnce));
        drop(hold);
    }
}

#[tokio::test]
async fn another_target_gives_back_what_the_target_decides_about_and_nothing_else() {
    let rules = rules(
        "budgets:\n  all: {tokens: 1000, window: day}\n  model: {per: model, tokens: 1000, window: day}\n",
    );
    let limits = Limits::default();
    let mut hold = reserve(&limits, &rules, "ada").await.unwrap();
    hold.leave_target();
    assert_eq!((limits.sums()["all"].reserved, limits.sums()["model"].reserved), (100, 0));
    let caller = caller(Some("ada"));
    let again = Ask { of_target_only: true, ..ask(facts(&caller, &["gpt-4o", "other"]), &unpriced) };
    limits.reserve(&rules, &again, &mut hold).await.unwrap();
    assert_eq!(hold.held.len(), 2);
    let scopes: Vec<String> = limits.lines("budget").iter().map(|line| line.scope.to_string()).collect();
    assert!(scopes.contains(&r#"{"model":"other"}"#.to_owned()), "{scopes:?}");
}

#[tokio::test]
async fn money_is_reserved_by_price_and_what_has_none_is_up_to_the_rule() {
    let rules = rules(
        "budgets:\n  hard: {usd: 1, window: day, where: {model: gpt-*}}\n  soft: {usd: 1, window: day, on_error: allow}\n",
    );
    let limits = Limits::default();
    let caller = caller(None);
    let price = |input: u64, output: u64| Some(input * 1_000_000 + output * 10_000_000);
    let mut hold = Hold::default();
    limits.reserve(&rules, &ask(facts(&caller, &["gpt-4o"]), &price), &mut hold).await.unwrap();
    assert_eq!(limits.sums()["hard"].reserved, 910_000_000);
    let refused =
        limits.reserve(&rules, &ask(facts(&caller, &["gpt-4o"]), &unpriced), &mut hold).await.unwrap_err();
    assert_eq!(refused.why, Why::NoPrice);
    limits.reserve(&rules, &ask(facts(&caller, &["other"]), &unpriced), &mut hold).await.unwrap();
    assert_eq!(limits.sums()["soft"].reserved, 910_000_000, "it holds nothing for what has no price");
}

#[test]
fn there_is_room_for_so_many_counters_and_idle_ones_make_room() {
    let rules = rules("rate_limits:\n  each: {per: user, requests: 1, every: second}\n");
    let rule = rules.iter().next().unwrap();
    let table = Table::new(3);
    let counter = |user: &str, now| {
        let made = table.counter(rule, &facts(&caller(Some(user)), &[]), now, |rule| Some(Arc::clone(rule)));
        made.map(Option::unwrap)
    };
    let now = Now { wall_us: 0, steady_us: 0 };
    let made: Vec<Arc<Counter>> = ["a", "b", "c"].map(|user| counter(user, now).unwrap()).into();
    assert_eq!(table.len(), 3);
    assert_eq!(counter("d", now).unwrap_err(), Overflow);
    assert!(Arc::ptr_eq(&counter("b", now).unwrap(), &made[1]), "what is there is found");
    drop(made);
    // Counters are looked through by shard, a second apart: sooner or later the shard of a newcomer has an idle one.
    let later = |seconds: i64| Now { wall_us: 0, steady_us: seconds * 1_000_000 };
    let found = (0..10_000).find(|number| counter(&format!("n{number}"), later(10 + 2 * number)).is_ok());
    assert!(found.is_some());
    // All idle ones of a shard go, and two of the three may share one.
    assert!((1..=3).contains(&table.len()), "one came, and whoever was idle beside it went");
}

#[tokio::test]
async fn without_room_a_hard_limit_refuses_and_a_soft_one_lets_pass_and_says_so() {
    for (on_error, expected) in [("block", Some(Why::Uncounted)), ("allow", None)] {
        let rules = rules(&format!(
            "budgets:\n  each: {{per: user, tokens: 500, window: day, on_error: {on_error}}}\n"
        ));
        let limits = Limits::with_room(1);
        let _held = reserve(&limits, &rules, "ada").await.unwrap();
        assert_eq!(reserve(&limits, &rules, "bob").await.err(), expected);
        assert_eq!(limits.uncounted(), u64::from(expected.is_none()));
        assert!(reserve(&limits, &rules, "ada").await.is_ok());
    }
}

#[tokio::test]
async fn names_of_models_are_folded_and_absent_facts_share_a_counter() {
    let rules = rules("budgets:\n  each: {per: [model, team, tags.env], tokens: 1000, window: day}\n");
    let limits = Limits::default();
    for model in ["GPT-4o", "gpt-4o", "gpt-4O"] {
        let (caller, mut hold) = (caller(None), Hold::default());
        limits.reserve(&rules, &ask(facts(&caller, &[model]), &unpriced), &mut hold).await.unwrap();
        limits.settle(hold, tokens(10), unheard);
    }
    let lines = limits.lines("budget");
    assert_eq!(lines.len(), 1);
    let LineKind::Budget(level) = lines[0].kind else { panic!("a budget") };
    assert_eq!(
        (level.settled, &*lines[0].scope),
        (30, r#"{"model":"GPT-4o","tags.env":"prod","team":null}"#)
    );
    let rule = rules.iter().next().unwrap();
    let again = Counter::of_scope(rule, &lines[0].scope).unwrap();
    assert_eq!(
        again.values().collect::<Vec<_>>(),
        [None, Some("GPT-4o"), Some("prod")],
        "in the order of `per`"
    );
    for other in
        ["{}", "[]", r#"{"model":"a","team":null}"#, r#"{"model":1,"tags.env":"x","team":null}"#, "no"]
    {
        assert!(Counter::of_scope(rule, other).is_none(), "{other}");
    }
}

#[test]
fn hashes_tell_values_apart_whatever_their_length() {
    let rules = rules("budgets:\n  each: {per: [model, team], tokens: 1000, window: day}\n");
    let (rule, state) = (rules.iter().next().unwrap(), std::hash::RandomState::new());
    // In the order of `per`: the team, the model.
    let hash = |values: [Option<&str>; 2]| rule.hash(&state, values.into_iter());
    for length in [1, 120, 122, 123, 124, 127, 128, 129, 400] {
        let (lower, upper) = ("x".repeat(length), "X".repeat(length));
        assert_eq!(hash([Some("t"), Some(&lower)]), hash([Some("t"), Some(&upper)]), "{length}");
        assert_ne!(hash([Some(&lower), Some("m")]), hash([Some(&upper), Some("m")]), "{length}");
        let longer = format!("{lower}x");
        let hashes = [
            hash([Some(&lower), Some("x")]),
            hash([Some(&longer), Some("")]),
            hash([Some(&longer), None]),
            hash([None, Some(&longer)]),
            hash([Some(""), Some(&longer)]),
        ];
        let apart: std::collections::HashSet<u64> = hashes.into_iter().collect();
        assert_eq!(apart.len(), hashes.len(), "{length}");
    }
}

#[tokio::test]
async fn what_the_store_remembers_is_counted_in_whatever_window_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    let first = rules("budgets:\n  each: {per: user, tokens: 1000, window: day}\n");
    let limits = Limits::default();
    limits.apply(&first, &limits.history(&first, None, &ledger).unwrap());
    let hold = reserve(&limits, &first, "ada").await.unwrap();
    let charges: Vec<Charge> = hold.charges(tokens(70));
    limits.settle(hold, tokens(70), unheard);
    let record = crate::telemetry::metrics::tests::record();
    ledger.submit_charged(record, charges);
    // Another window, another unit; the same name. What is open stays held.
    let held = reserve(&limits, &first, "ada").await.unwrap();
    for (text, spent, reserved) in [
        ("budgets:\n  each: {per: user, tokens: 1000, window: 48h}\n", 70, 100),
        ("budgets:\n  each: {per: user, requests: 10, window: month}\n", 1, 1),
        ("budgets:\n  each: {per: user, requests: 20, window: month, at_limit: warn}\n", 1, 1),
        ("budgets:\n  each: {per: user, tokens: 1000, window: month}\n", 70, 100),
        ("budgets:\n  each: {per: user, requests: 10, window: month}\n", 1, 1),
    ] {
        let before = limits.lines("budget")[0].rule.clone();
        assert_eq!(before.name().as_ref(), "each");
        let next = rules(text);
        let history = limits.history(&next, Some(&first), &ledger).unwrap();
        limits.apply(&next, &history);
        let sum = limits.sums()["each"];
        assert_eq!((sum.settled, sum.reserved), (spent, reserved), "{text}");
        // A process that begins with it knows as much.
        let fresh = Limits::default();
        fresh.apply(&next, &fresh.history(&next, None, &ledger).unwrap());
        assert_eq!(fresh.sums()["each"].settled, spent, "{text}");
    }
    assert!(matches!(held.held[0].room, Room::Budget(_)));
    drop(held);
    assert_eq!(limits.sums()["each"].reserved, 0, "settled under another configuration");
    // A name that is the same under another `per` is another counter.
    let team = rules("budgets:\n  each: {per: team, requests: 10, window: month}\n");
    limits.apply(&team, &limits.history(&team, Some(&first), &ledger).unwrap());
    assert_eq!(limits.counters(), 0);
    // Counted apart by something else it is another budget; it begins at nothing, and so does one with another name.
    let other = rules("budgets:\n  each: {per: team, requests: 10, window: month}\n");
    let fresh = Limits::default();
    fresh.apply(&other, &fresh.history(&other, None, &ledger).unwrap());
    assert!(fresh.sums().is_empty());
    limits.apply(&rules(""), &History::default());
    assert_eq!(limits.counters(), 0, "counters of rules that are gone go too");
}

#[tokio::test]
async fn what_is_open_while_a_budget_changes_its_unit_is_held_and_charged_in_the_new_one() {
    let all = |unit: &str| rules(&format!("budgets:\n  all: {{{unit}, window: 30d}}\n"));
    let (tokens_of, requests) = (all("tokens: 1000"), all("requests: 3"));
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    let limits = Limits::default();
    limits.apply(&tokens_of, &limits.history(&tokens_of, None, &ledger).unwrap());
    let open = [
        reserve(&limits, &tokens_of, "ada").await.unwrap(),
        reserve(&limits, &tokens_of, "bob").await.unwrap(),
    ];
    let history = limits.history(&requests, Some(&tokens_of), &ledger).unwrap();
    limits.apply(&requests, &history);
    assert_eq!(limits.sums()["all"].reserved, 2, "two requests, and not two hundred");
    let third = reserve(&limits, &requests, "eve").await.unwrap();
    assert_eq!(reserve(&limits, &requests, "eve").await.err(), Some(Why::Held));
    let [first, second] = open;
    assert_eq!(first.charges(tokens(60))[0].spent.requests, 1);
    limits.settle(first, tokens(60), unheard);
    drop(second);
    let sum = limits.sums()["all"];
    assert_eq!((sum.settled, sum.reserved), (1, 1));
    drop(third);
    assert_eq!(limits.sums()["all"].reserved, 0);
}

#[tokio::test]
async fn what_is_open_while_a_budget_is_gone_is_held_and_charged_when_it_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    let each = rules("budgets:\n  each: {per: user, tokens: 1000, window: day}\n");
    for gone in [rules(""), rules("budgets:\n  each: {per: team, tokens: 1000, window: day}\n")] {
        let limits = Limits::default();
        let apply = |next: &Rules, before: Option<&Rules>| {
            limits.apply(next, &limits.history(next, before, &ledger).unwrap());
        };
        let stands = || limits.sums().get("each").map_or((0, 0), |sum| (sum.settled, sum.reserved));
        apply(&each, None);
        let before = stands().0;
        let (ends_without, ends_with) =
            (reserve(&limits, &each, "ada").await.unwrap(), reserve(&limits, &each, "ada").await.unwrap());
        apply(&gone, Some(&each));
        assert_eq!(stands(), (0, 0), "a counter without a rule is not told of");
        let charges = ends_without.charges(tokens(70));
        limits.settle(ends_without, tokens(70), unheard);
        ledger.submit_charged(crate::telemetry::metrics::tests::record(), charges);
        apply(&each, Some(&gone));
        assert_eq!(stands(), (before + 70, 100));
        limits.settle(ends_with, tokens(20), unheard);
        assert_eq!(stands(), (before + 90, 0));
        // Nobody holds it any more: it goes with its rule.
        apply(&rules(""), Some(&each));
        assert_eq!(limits.counters(), 0);
    }
}

#[tokio::test]
async fn a_counter_that_an_older_configuration_asks_for_has_the_rule_that_is_in_force() {
    let each =
        |limit: u32| rules(&format!("budgets:\n  each: {{per: user, requests: {limit}, window: day}}\n"));
    let (before, after) = (each(5), each(1));
    let limits = Limits::default();
    limits.apply(&before, &History::default());
    limits.apply(&after, &History::default());
    let held = reserve(&limits, &before, "ada").await.unwrap();
    assert_eq!(reserve(&limits, &before, "ada").await.err(), Some(Why::Held), "one, and not five");
    assert_eq!(reserve(&limits, &after, "ada").await.err(), Some(Why::Held), "it is the same counter");
    drop(held);
    // A rule that is gone, or counts apart by something else, counts nobody any more.
    for gone in [rules(""), rules("budgets:\n  each: {per: team, requests: 1, window: day}\n")] {
        limits.apply(&gone, &History::default());
        for _ in 0..3 {
            assert!(reserve(&limits, &before, "ada").await.unwrap().held.is_empty());
        }
        assert_eq!(limits.counters(), 0);
    }
}

#[tokio::test]
async fn what_is_charged_while_history_is_read_is_counted_once() {
    let all = |window: &str| rules(&format!("budgets:\n  all: {{tokens: 100000, window: {window}}}\n"));
    let (before, after) = (all("48h"), all("72h"));
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    let limits = Limits::default();
    limits.apply(&before, &limits.history(&before, None, &ledger).unwrap());
    let settle = |hold: Hold| {
        let settling = limits.settling();
        let charges = hold.charges(tokens(7));
        limits.settle(hold, tokens(7), unheard);
        ledger.submit_charged(crate::telemetry::metrics::tests::record(), charges);
        drop(settling);
    };
    let hold = async || reserve(&limits, &before, "ada").await.unwrap();
    settle(hold().await);
    let history = limits.history(&after, Some(&before), &ledger).unwrap();
    settle(hold().await);
    let late = hold().await;
    limits.apply(&after, &history);
    drop(history);
    assert_eq!(limits.sums()["all"].settled, 14, "one before, and one between");
    settle(late);
    let sum = limits.sums()["all"];
    assert_eq!((sum.settled, sum.reserved), (21, 0));
    // What the store knows is the same.
    let fresh = Limits::default();
    let history = limits.history(&before, Some(&after), &ledger).unwrap();
    fresh.apply(&before, &history);
    assert_eq!(fresh.sums()["all"].settled, 21);
}

#[test]
fn reloads_beside_many_exchanges_lose_nothing_and_count_nothing_twice() {
    const EACH: u64 = 400;
    let all = |window: &str| rules(&format!("budgets:\n  all: {{tokens: 100000000, window: {window}}}\n"));
    let windows = [all("48h"), all("72h")];
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(&folder.path().join("n.db"), LedgerOptions::default()).unwrap();
    let limits = Limits::default();
    limits.apply(&windows[0], &limits.history(&windows[0], None, &ledger).unwrap());
    std::thread::scope(|scope| {
        let (limits, ledger, windows) = (&limits, &ledger, &windows);
        let workers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(move || {
                    for _ in 0..EACH {
                        let hold = futures_util::FutureExt::now_or_never(reserve(limits, &windows[0], "ada"));
                        let hold = hold.expect("it waits for nobody").unwrap();
                        let settling = limits.settling();
                        let charges = hold.charges(tokens(7));
                        limits.settle(hold, tokens(7), unheard);
                        ledger.submit_charged(crate::telemetry::metrics::tests::record(), charges);
                        drop(settling);
                    }
                })
            })
            .collect();
        let mut round = 0;
        while workers.iter().any(|worker| !worker.is_finished()) {
            let (from, to) = (&windows[round % 2], &windows[(round + 1) % 2]);
            let history = limits.history(to, Some(from), ledger).unwrap();
            limits.apply(to, &history);
            round += 1;
        }
    });
    let sum = limits.sums()["all"];
    assert_eq!((sum.settled, sum.reserved), (3 * EACH * 7, 0));
}
