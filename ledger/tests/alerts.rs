//! Alerts from being raised to being acknowledged, and sums of decisions.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod common;

use narrows_ledger::{
    ACKNOWLEDGE_MAX, AlertFilter, AlertState, AuditFilter, DecisionDimension, DecisionFilter, Delivery,
    Finding, Ledger, LedgerError, LedgerOptions, NOTE_BYTES_MAX, NewAlert, Severity, Told,
};
use narrows_policy::{Action, Caller, Stage, Surface};
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(60);
const START_US: i64 = 1_769_864_399_999_000;
const WINDOW_US: i64 = 600_000_000;

fn open() -> (tempfile::TempDir, Ledger) {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Ledger::open(common::store(folder.path()), LedgerOptions::default()).unwrap();
    (folder, ledger)
}

/// An alert of `acme`, `number` seconds after the start.
fn alert(number: u32) -> NewAlert {
    NewAlert {
        id: (0x0197_0000_0000_7000 + u128::from(number)) << 64 | 7,
        at_us: START_US + i64::from(number) * 1_000_000,
        caller: Arc::new(Caller {
            organization: "acme".into(),
            team: Some("red".into()),
            key_id: Some("KEY000000001".into()),
            ..Caller::default()
        }),
        surface: Surface::Gateway,
        stage: Stage::Stream,
        action: Action::Mask,
        enforceable: false,
        enforced: false,
        severity: Severity::High,
        rules: vec!["no-secrets".into(), "watch".into()],
        explanation: "a stream held 1 GITHUB_TOKEN, which rule no-secrets would mask".into(),
        conversation: Some("c-1".into()),
        exchange: 42,
        provider: Some("main".into()),
        model: Some("m-1".into()),
        policy_version: u64::MAX,
        findings: vec![Finding {
            rule: "github-pat".into(),
            entity: "GITHUB_TOKEN".into(),
            class: "secret",
            count: 1,
            score: 97,
            path: "content[0].text".into(),
            fingerprint: Some(7),
        }],
        window_us: WINDOW_US,
        sinks: vec!["ops".into()],
    }
}

fn raise(ledger: &Ledger, alerts: impl IntoIterator<Item = NewAlert>) {
    alerts.into_iter().for_each(|alert| assert!(ledger.raise_alert(alert)));
    ledger.flush(PATIENCE).unwrap();
}

fn all(ledger: &Ledger, filter: &AlertFilter) -> Vec<narrows_ledger::AlertInfo> {
    ledger.alerts(filter, 1_000, None).unwrap().alerts
}

#[test]
fn an_alert_is_there_with_all_it_says() {
    let (_folder, ledger) = open();
    raise(&ledger, [alert(0)]);
    let found = all(&ledger, &AlertFilter::default());
    let one = &found[0];
    assert_eq!(
        (found.len(), one.count, one.state, one.delivery),
        (1, 1, AlertState::Open, Delivery::Pending)
    );
    assert_eq!((one.stage, one.action, one.severity), (Stage::Stream, Action::Mask, Severity::High));
    assert_eq!(
        (one.rules.as_slice(), one.entity.as_deref()),
        (&["no-secrets".to_owned(), "watch".to_owned()][..], Some("GITHUB_TOKEN"))
    );
    assert_eq!((&*one.policy_version, one.team.as_deref()), ("ffffffffffffffff", Some("red")));
    assert_eq!(one.evidence[0]["path"], "content[0].text");
    assert_eq!(one.exchange, "00000000-0000-0000-0000-00000000002a");
    assert_eq!(ledger.alert(&one.id).unwrap().as_ref(), Some(one));
    assert_eq!(ledger.alert("nothing").unwrap(), None);
    let json = serde_json::to_value(one).unwrap();
    assert_eq!((&json["at"], &json["acknowledged_at"]), (&"2026-01-31T12:59:59.999000Z".into(), &().into()));
    assert_eq!(serde_json::from_value::<narrows_ledger::AlertInfo>(json).unwrap(), *one);
}

#[test]
fn repeats_are_counted_within_the_window_and_no_longer() {
    let (_folder, ledger) = open();
    let stricter = NewAlert { action: Action::Block, severity: Severity::Critical, ..alert(2) };
    let at_the_end = NewAlert { at_us: START_US + WINDOW_US - 1, ..alert(599) };
    let past_it = NewAlert { at_us: START_US + WINDOW_US, ..alert(600) };
    raise(&ledger, [alert(0), alert(1), stricter, at_the_end, past_it]);
    let found = all(&ledger, &AlertFilter::default());
    assert_eq!(found.iter().map(|alert| alert.count).collect::<Vec<_>>(), [1, 4]);
    let first = &found[1];
    assert_eq!((first.action, first.severity), (Action::Block, Severity::Critical), "the worst counts");
    assert_eq!((first.at_us, first.last_at_us), (Some(START_US), Some(START_US + WINDOW_US - 1)));
    let stats = ledger.alert_stats();
    assert_eq!((stats.raised, stats.stored, stats.repeated, stats.waiting, stats.dropped), (5, 2, 3, 0, 0));
}

#[test]
fn only_the_same_rule_in_the_same_conversation_repeats() {
    let (_folder, ledger) = open();
    let other = |change: &dyn Fn(&mut NewAlert), number| {
        let mut other = alert(number);
        change(&mut other);
        other
    };
    let someone = |organization: &str, key: Option<&str>| {
        let organization = organization.to_owned();
        Arc::new(Caller { organization, key_id: key.map(str::to_owned), ..Caller::default() })
    };
    raise(
        &ledger,
        [
            alert(0),
            other(&|alert| alert.rules = vec!["watch".into()], 1),
            other(&|alert| alert.conversation = Some("c-2".into()), 2),
            other(&|alert| alert.caller = someone("umbra", None), 3),
            other(&|alert| alert.conversation = None, 4),
            other(
                &|alert| (alert.conversation, alert.caller) = (None, someone("acme", Some("KEY000000002"))),
                5,
            ),
            other(&|alert| (alert.conversation, alert.caller) = (None, someone("acme", None)), 6),
            // Without a conversation the key is what they have in common.
            other(&|alert| alert.conversation = None, 7),
        ],
    );
    let counts: Vec<_> = all(&ledger, &AlertFilter::default()).iter().map(|alert| alert.count).collect();
    assert_eq!(counts, [1, 1, 2, 1, 1, 1, 1]);
}

#[test]
fn what_comes_after_an_acknowledgement_is_an_alert_of_its_own() {
    let (_folder, ledger) = open();
    raise(&ledger, [alert(0), NewAlert { conversation: Some("c-2".into()), ..alert(1) }]);
    let ids: Vec<_> = all(&ledger, &AlertFilter::default()).into_iter().map(|alert| alert.id).collect();
    let missing = |ids: &[String], within| {
        let refused = ledger.acknowledge_alerts(ids, within, None, "T1").unwrap_err();
        assert!(matches!(&refused, LedgerError::AlertNotFound { .. }), "{refused}");
    };
    missing(&ids, Some("umbra"));
    missing(&[ids[1].clone(), "no-such".to_owned()], None);
    assert_eq!(ledger.alert_backlog().unwrap().open, 2, "all or none");
    let done = ledger.acknowledge_alerts(&ids[1..], Some("acme"), Some("known"), "T1").unwrap();
    assert_eq!((done.len(), &done[0].id, done[0].state), (1, &ids[1], AlertState::Acknowledged));
    let again = ledger.acknowledge_alerts(&ids[1..], None, Some("other"), "T2").unwrap();
    assert_eq!(again, done, "who was first stays");
    let one = ledger.alert(&ids[1]).unwrap().unwrap();
    assert_eq!((one.state, one.acknowledged_by.as_deref()), (AlertState::Acknowledged, Some("T1")));
    assert_eq!(one.note.as_deref(), Some("known"));
    let trail = AuditFilter { action: Some("alert_acknowledged".into()), ..AuditFilter::default() };
    let trail = ledger.audit_trail(&trail, 10, None).unwrap().events;
    assert_eq!(trail.len(), 1);
    assert_eq!((&*trail[0].target, trail[0].organization.as_deref()), (&*ids[1], Some("acme")));
    raise(&ledger, [alert(2)]);
    let open = AlertFilter { state: Some(AlertState::Open), ..AlertFilter::default() };
    assert_eq!(all(&ledger, &open).len(), 2);
}

#[test]
fn acknowledgements_have_limits() {
    let (_folder, ledger) = open();
    raise(&ledger, [alert(0)]);
    let id = all(&ledger, &AlertFilter::default())[0].id.clone();
    let ids = vec![id; ACKNOWLEDGE_MAX + 1];
    let note = "n".repeat(NOTE_BYTES_MAX + 1);
    assert!(ledger.acknowledge_alerts(&ids, None, None, "t").is_err());
    assert!(ledger.acknowledge_alerts(&[], None, None, "t").is_err());
    assert!(ledger.acknowledge_alerts(&ids[1..], None, Some(&note), "t").is_err());
    let done = ledger.acknowledge_alerts(&ids[1..], None, Some(&note[1..]), "t").unwrap();
    assert_eq!((done.len(), done[0].note.as_deref()), (ACKNOWLEDGE_MAX, Some(&note[1..])));
}

#[test]
fn filters_choose_and_pages_hold_every_alert_once() {
    let (_folder, ledger) = open();
    let of = |number: u32| NewAlert {
        conversation: Some(format!("c-{number}").into()),
        severity: Severity::ALL[(number % 4) as usize],
        stage: if number.is_multiple_of(2) { Stage::Request } else { Stage::Stream },
        sinks: if number.is_multiple_of(3) { Vec::new() } else { vec!["ops".into()] },
        ..alert(number)
    };
    raise(&ledger, (0..20).map(of));
    let (mut seen, mut before) = (Vec::new(), None);
    loop {
        let page = ledger.alerts(&AlertFilter::default(), 7, before.as_deref()).unwrap();
        seen.extend(page.alerts.into_iter().map(|alert| alert.conversation.unwrap()));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(seen, (0..20).rev().map(|number| format!("c-{number}")).collect::<Vec<_>>());
    let count = |filter: AlertFilter| all(&ledger, &filter).len();
    let every = AlertFilter::default;
    assert_eq!(count(AlertFilter { severity: Some(Severity::High), ..every() }), 10);
    assert_eq!(count(AlertFilter { stage: Some(Stage::Request), ..every() }), 10);
    assert_eq!(count(AlertFilter { delivery: Some(Delivery::None), ..every() }), 7);
    assert_eq!(count(AlertFilter { delivery: Some(Delivery::Pending), ..every() }), 13);
    assert_eq!(count(AlertFilter { conversation: Some("c-3".into()), ..every() }), 1);
    assert_eq!(count(AlertFilter { from_us: Some(START_US + 15_000_000), ..every() }), 5);
    assert_eq!(count(AlertFilter { to_us: Some(START_US + 15_000_000), ..every() }), 15);
    for (rule, entity, organization, expected) in [
        (Some("no-secrets"), Some("GITHUB_TOKEN"), Some("acme"), 20),
        (Some("watch"), None, None, 0),
        (None, Some("EMAIL"), None, 0),
        (None, None, Some("umbra"), 0),
    ] {
        let [rule, entity, organization] = [rule, entity, organization].map(|text| text.map(str::to_owned));
        assert_eq!(count(AlertFilter { rule, entity, organization, ..every() }), expected);
    }
    for limit in [0, 1_001] {
        assert!(ledger.alerts(&every(), limit, None).is_err());
    }
}

#[test]
fn deliveries_go_on_after_a_restart() {
    let (folder, ledger) = open();
    raise(&ledger, [NewAlert { sinks: vec!["ops".into(), "siem".into()], ..alert(0) }]);
    let due = ledger.due_alerts("ops", START_US, 10).unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 0));
    assert_eq!(ledger.due_alerts("siem", START_US, 10).unwrap(), due);
    assert!(ledger.due_alerts("other", START_US, 10).unwrap().is_empty());
    let id = due[0].alert.id.clone();
    ledger.alert_told(&id, "ops", Severity::High, &Told::Delivered).unwrap();
    ledger.alert_told(&id, "siem", Severity::High, &Told::Later("status 503".into(), START_US + 10)).unwrap();
    ledger.close(PATIENCE).unwrap();
    drop(ledger);

    let ledger = Ledger::open(common::store(folder.path()), LedgerOptions::default()).unwrap();
    assert!(ledger.due_alerts("siem", START_US + 9, 10).unwrap().is_empty());
    let due = ledger.due_alerts("siem", START_US + 10, 10).unwrap();
    assert_eq!((due.len(), due[0].attempts), (1, 1));
    ledger.alert_told(&id, "siem", Severity::High, &Told::Deferred(START_US + 20)).unwrap();
    assert!(ledger.due_alerts("siem", START_US + 19, 10).unwrap().is_empty());
    assert_eq!(ledger.due_alerts("siem", START_US + 20, 10).unwrap()[0].attempts, 1, "that was no try");
    assert_eq!(ledger.abandon_alerts(&["siem"], "gone").unwrap(), 0);
    let backlog = ledger.alert_backlog().unwrap();
    assert_eq!((backlog.open, backlog.pending, backlog.failed), (1, 1, 0));
    assert_eq!((backlog.oldest_us, backlog.next_try_us), (Some(START_US), Some(START_US + 20)));
    let shown = ledger.alert(&id).unwrap().unwrap();
    assert_eq!(
        (shown.delivery, shown.deliveries[1].last_error.as_deref()),
        (Delivery::Pending, Some("status 503"))
    );
    ledger.alert_told(&id, "siem", Severity::High, &Told::Failed("gave up".into())).unwrap();
    assert_eq!(ledger.alert(&id).unwrap().unwrap().delivery, Delivery::Failed);
    let failed = AlertFilter { delivery: Some(Delivery::Failed), ..AlertFilter::default() };
    assert_eq!(all(&ledger, &failed).len(), 1);
    assert_eq!(ledger.alert_backlog().unwrap().failed, 1);
    assert!(ledger.due_alerts("siem", i64::MAX, 10).unwrap().is_empty());

    raise(&ledger, [NewAlert { conversation: Some("c-2".into()), ..alert(1) }]);
    assert_eq!(ledger.abandon_alerts(&["siem"], "no webhook of this name").unwrap(), 1);
    assert!(ledger.due_alerts("ops", i64::MAX, 10).unwrap().is_empty());
    assert_eq!(ledger.alert_backlog().unwrap().failed, 2);
}

#[test]
fn an_alert_that_grows_more_severe_is_told_to_those_who_want_it_then() {
    let (_folder, ledger) = open();
    let sinks = |names: &[&str]| names.iter().map(|name| Arc::from(*name)).collect::<Vec<Arc<str>>>();
    let low = |number| NewAlert { severity: Severity::Medium, sinks: sinks(&["all"]), ..alert(number) };
    let high = |number| NewAlert {
        severity: Severity::Critical,
        sinks: sinks(&["all", "critical", "fails"]),
        ..alert(number)
    };
    raise(&ledger, [low(0)]);
    let id = ledger.due_alerts("all", i64::MAX, 10).unwrap()[0].alert.id.clone();
    ledger.alert_told(&id, "all", Severity::Medium, &Told::Delivered).unwrap();
    raise(&ledger, [low(1)]);
    assert!(ledger.due_alerts("all", i64::MAX, 10).unwrap().is_empty(), "one as severe is a repeat");

    raise(&ledger, [high(2)]);
    for sink in ["all", "critical", "fails"] {
        let due = ledger.due_alerts(sink, START_US + 2_000_000, 10).unwrap();
        assert_eq!((due.len(), due[0].attempts), (1, 0), "{sink}");
        assert_eq!((due[0].alert.severity, due[0].alert.count), (Severity::Critical, 3), "{sink}");
    }
    // What was on its way when it grew was told of the milder one.
    ledger.alert_told(&id, "all", Severity::Medium, &Told::Delivered).unwrap();
    ledger.alert_told(&id, "fails", Severity::Medium, &Told::Failed("gave up".into())).unwrap();
    for sink in ["all", "fails"] {
        assert_eq!(ledger.due_alerts(sink, i64::MAX, 10).unwrap().len(), 1, "{sink}");
    }
    for sink in ["all", "critical"] {
        ledger.alert_told(&id, sink, Severity::Critical, &Told::Delivered).unwrap();
    }
    ledger.alert_told(&id, "fails", Severity::Critical, &Told::Failed("gave up".into())).unwrap();
    raise(&ledger, [low(3), high(4)]);
    for sink in ["all", "critical", "fails"] {
        assert!(ledger.due_alerts(sink, i64::MAX, 10).unwrap().is_empty(), "{sink}");
    }
}

#[test]
fn old_alerts_and_those_beyond_the_number_are_removed() {
    let (_folder, ledger) = open();
    let of = |number: u32| NewAlert { conversation: Some(format!("c-{number}").into()), ..alert(number) };
    raise(&ledger, (0..10).map(of));
    assert_eq!(ledger.prune_alerts(10, i64::MIN).unwrap(), 0, "at the limit nothing goes");
    assert_eq!(ledger.prune_alerts(9, i64::MIN).unwrap(), 1);
    assert_eq!(ledger.prune_alerts(9, START_US + 4_000_000).unwrap(), 3);
    let left: Vec<_> =
        all(&ledger, &AlertFilter::default()).into_iter().filter_map(|alert| alert.conversation).collect();
    assert_eq!(left, ["c-9", "c-8", "c-7", "c-6", "c-5", "c-4"]);
    assert_eq!(ledger.alert_backlog().unwrap().pending, 6, "their deliveries are gone with them");
}

#[test]
fn decisions_are_summed_by_rule_over_time() {
    let (_folder, ledger) = open();
    // Every eighth masks; those before the full hour are records 0 and 1.
    (0..80).map(common::record).for_each(|record| ledger.submit(record));
    ledger.flush(PATIENCE).unwrap();
    use DecisionDimension as By;
    let rows = ledger.decisions(&DecisionFilter::default(), &[By::Rule, By::Action, By::Enforced]).unwrap();
    assert_eq!(rows.len(), 1);
    assert_eq!((rows[0].exchanges, rows[0].findings), (10, 20));
    let json = serde_json::to_value(&rows[0]).unwrap();
    let expected = serde_json::json!({"rule": "no-secrets", "action": "mask", "enforced": true, "exchanges": 10, "findings": 20});
    assert_eq!(json, expected);
    let detectors = DecisionFilter { kind: Some("detector".into()), ..DecisionFilter::default() };
    let rows =
        ledger.decisions(&detectors, &[By::Day, By::Hour, By::Entity, By::Stage, By::Organization]).unwrap();
    let group: Vec<_> = rows[0].group.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(group, ["2026-01-31", "2026-01-31T13:00:00Z", "GITHUB_TOKEN", "request", "acme"]);
    for filter in [
        DecisionFilter { organization: Some("umbra".into()), ..DecisionFilter::default() },
        DecisionFilter { action: Some("block".into()), ..DecisionFilter::default() },
        DecisionFilter { stage: Some(Stage::Stream), ..DecisionFilter::default() },
        DecisionFilter { rule: Some("other".into()), ..DecisionFilter::default() },
        DecisionFilter { to_us: Some(START_US), ..DecisionFilter::default() },
    ] {
        assert_eq!(ledger.decisions(&filter, &[]).unwrap(), [], "{filter:?}");
    }
}

#[test]
fn exchanges_without_a_record_are_in_the_sums_of_decisions() {
    let folder = tempfile::tempdir().unwrap();
    let options = LedgerOptions { queue_limit: 1, ..LedgerOptions::default() };
    let ledger = Ledger::open(common::store(folder.path()), options).unwrap();
    (0..2_000).map(|_| common::record(6)).for_each(|record| ledger.submit(record));
    ledger.flush(PATIENCE).unwrap();
    assert!(ledger.stats().overflowed > 0, "the queue was full at times");
    let rows = ledger.decisions(&DecisionFilter::default(), &[]).unwrap();
    assert_eq!((rows[0].exchanges, rows[0].findings), (2_000, 4_000));
}
