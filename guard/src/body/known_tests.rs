//! A body that is partly known is searched as if nothing of it were.

use super::known::REMEMBERED_BYTES_MIN;
use super::*;
use crate::finding::Provenance::{Assistant, User};
use crate::json::{Entry, Meaning, Place, Says, Table};
use proptest::prelude::*;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::LazyLock;

const CARD: &str = "4111 1111 1111 1111";
const ROLES: &[Says] = &[("user", User), ("assistant", Assistant)];

static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let pii = crate::detector::pii::Pii::new(crate::detector::pii::Settings::default());
    Engine::builder().detector(pii).build().unwrap()
});

fn table() -> Table {
    let entry = |name, meaning| Entry { name, place: Place::Anywhere, meaning };
    Table::new(&[
        entry("arguments", Meaning::Json),
        entry("id", Meaning::Opaque),
        entry("role", Meaning::Tells(ROLES)),
    ])
}

/// Remembers everything, and counts what is kept and what is asked for in vain.
#[derive(Default)]
struct Notes {
    known: RefCell<HashMap<(String, String), Arc<Known>>>,
    kept: Cell<usize>,
    in_vain: Cell<usize>,
}

impl Memory for Notes {
    fn recall(&self, name: &str, part: &str) -> Option<Arc<Known>> {
        let known = self.known.borrow().get(&(name.to_owned(), part.to_owned())).cloned();
        if known.is_none() {
            self.in_vain.set(self.in_vain.get() + part.len());
        }
        known
    }

    fn keep(&self, name: &str, part: &str, known: &Arc<Known>) {
        self.kept.set(self.kept.get() + 1);
        self.known.borrow_mut().insert((name.to_owned(), part.to_owned()), Arc::clone(known));
    }
}

fn with(memory: &dyn Memory, body: &str) -> Report {
    search(&ENGINE, body, &table(), memory, &mut Room::default()).unwrap()
}

/// What a search with memory must have in common with one without.
fn same(report: &Report) -> (&[Found], usize, LeftAlone, bool, bool) {
    let Report { found, scanned, left_alone, more_texts, more_found, .. } = report;
    (found, *scanned, *left_alone, *more_texts, *more_found)
}

fn message(at: usize) -> String {
    let words = "what was said before ".repeat(10);
    format!(r#"{{"role":"user","id":"m_{at}","content":[{{"text":"turn {at}: {words} {CARD}"}}]}}"#)
}

fn conversation(turns: Range<usize>) -> String {
    let messages: Vec<String> = turns.map(message).collect();
    let system = "be kind ".repeat(40);
    format!(r#"{{"model":"gpt","system":"{system}","messages":[{}],"stream":true}}"#, messages.join(","))
}

#[test]
fn only_what_is_new_in_a_conversation_is_read() {
    let notes = Notes::default();
    for turns in 1..8 {
        let body = conversation(0..turns);
        let report = with(&notes, &body);
        assert_eq!(same(&report), same(&with(&Forgetful, &body)));
        assert_eq!(report.found.len(), turns);
        let new = message(turns - 1).len() + r#"{"model":"gpt",],"stream":true}"#.len();
        if turns > 1 {
            assert_eq!(body.len() - report.passed_over, new, "turn {turns}");
        }
        let again = with(&notes, &body);
        assert_eq!(again.passed_over, body.len() - r#"{"model":"gpt"],"stream":true}"#.len());
    }
}

#[test]
fn what_follows_a_changed_message_is_still_known() {
    let notes = Notes::default();
    let body = conversation(0..6);
    with(&notes, &body);
    let changed = body.replace("turn 2:", "turn two:");
    let report = with(&notes, &changed);
    assert_eq!(same(&report), same(&with(&Forgetful, &changed)));
    assert!(changed.len() - report.passed_over < 2 * message(2).len() + 40, "{report:?}");
}

#[test]
fn a_unit_is_remembered_from_its_least_length_on() {
    for (length, kept) in [(REMEMBERED_BYTES_MIN, true), (REMEMBERED_BYTES_MIN - 1, false)] {
        let text = "a".repeat(length - r#"{"t":"""#.len());
        let notes = Notes::default();
        with(&notes, &format!(r#"{{"t":"{text}"}}"#));
        assert_eq!(notes.kept.get() > 0, kept, "{length}");
    }
}

#[test]
fn paths_and_authors_are_those_of_the_body_at_hand() {
    let notes = Notes::default();
    let first = format!(r#"{{"messages":[{},{}]}}"#, message(1), message(2));
    let later = format!(r#"{{"messages":[{},{},{}]}}"#, message(7), message(1), message(2));
    with(&notes, &first);
    let report = with(&notes, &later);
    assert!(report.remembered > 0);
    let paths: Vec<&str> = report.found.iter().map(|found| &*found.path).collect();
    assert_eq!(
        paths,
        ["messages[0].content[0].text", "messages[1].content[0].text", "messages[2].content[0].text"]
    );
}

/// The outermost object says who wrote its parts, and the same part has another author elsewhere.
#[test]
fn a_part_whose_author_stands_beside_it_is_not_remembered() {
    let part = format!(r#"[{{"text":"{} {CARD}"}}]"#, "a word ".repeat(40));
    let bodies = [
        format!(r#"{{"content":{part},"role":"assistant"}}"#),
        format!(r#"{{"content":{part},"role":"user"}}"#),
        format!(r#"{{"content":{part}}}"#),
    ];
    let notes = Notes::default();
    for body in bodies.iter().chain(bodies.iter().rev()) {
        assert_eq!(same(&with(&notes, body)), same(&with(&Forgetful, body)), "{body}");
    }
}

#[test]
fn many_small_parts_are_not_all_looked_up() {
    let notes = Notes::default();
    let body = format!(r#"{{"messages":[{}]}}"#, vec!["{}"; 30_000].join(","));
    let report = with(&notes, &body);
    assert_eq!(same(&report), same(&with(&Forgetful, &body)));
    assert!(notes.in_vain.get() <= 2 * body.len(), "{} of {}", notes.in_vain.get(), body.len());
}

#[test]
fn an_author_told_by_a_list_is_not_remembered_either() {
    let notes = Notes::default();
    for role in ["assistant", "user", "nobody"] {
        let body = format!(r#"{{"role":["{role}",{{"text":"{} {CARD}"}}]}}"#, "a word ".repeat(40));
        assert_eq!(same(&with(&notes, &body)), same(&with(&Forgetful, &body)), "{body}");
    }
}

/// Whoever sends bodies can make every guess wrong and long: what that costs is bounded by the body.
#[test]
fn wrong_guesses_cost_no_more_than_the_body_is_long() {
    let notes = Notes::default();
    let long = format!(r#"{{"text":"{}"}}"#, "b ".repeat(20_000));
    let short = |at: usize| format!(r#"{{"text":"{at} {}"}}"#, "a ".repeat(REMEMBERED_BYTES_MIN));
    for at in 0..40 {
        with(&notes, &format!(r#"{{"m":[{},{long}]}}"#, short(at)));
    }
    // A list without the long one: after each of these the long one is expected.
    let all: Vec<String> = (0..40).map(short).collect();
    let body = format!(r#"{{"m":[{}],"tail":"{}"}}"#, all.join(","), "c ".repeat(50_000));
    notes.in_vain.set(0);
    let report = with(&notes, &body);
    assert_eq!(same(&report), same(&with(&Forgetful, &body)));
    assert!(notes.in_vain.get() <= 3 * body.len(), "{}", notes.in_vain.get());
    let unbounded: usize = 40 * long.len();
    assert!(unbounded > 3 * body.len(), "the test must be able to fail");
}

/// A value of JSON, with something to find in some of them.
fn value() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        Just(format!("\"my card is {CARD}\"")),
        Just(format!("\"{} {CARD} {}\"", "long ".repeat(30), "words ".repeat(20))),
        Just(format!("\"{}\"", "é\\n\\\"quoted\\\" ".repeat(20))),
        "[ -~&&[^\"\\\\]]{0,200}".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_owned()),
        Just("4111111111111111".to_owned()),
    ];
    text.prop_recursive(3, 12, 4, |inner| {
        let name = prop_oneof![
            Just("role"),
            Just("content"),
            Just("arguments"),
            Just("id"),
            Just("me@example.org"),
            Just("x")
        ];
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("\"{name}\":{value}"));
        prop_oneof![
            proptest::collection::vec(inner, 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            proptest::collection::vec(member, 0..4).prop_map(|list| format!("{{{}}}", list.join(" , "))),
        ]
    })
}

/// Bodies made of the same few parts, so that parts come again in other places.
fn bodies() -> impl Strategy<Value = Vec<String>> {
    proptest::collection::vec(value(), 1..8).prop_flat_map(|parts| {
        let part = proptest::sample::select(parts);
        let list =
            proptest::collection::vec(part.clone(), 0..6).prop_map(|list| format!("[{}]", list.join(",")));
        let name =
            proptest::sample::select(vec!["messages", "system", "tools", "me@example.org", "role", ""]);
        let member = (name, prop_oneof![list.clone(), part.clone()])
            .prop_map(|(name, value)| format!("\"{name}\" : {value}"));
        let object =
            proptest::collection::vec(member, 0..5).prop_map(|list| format!("{{{}}}", list.join(",")));
        proptest::collection::vec(prop_oneof![4 => object, 1 => list, 1 => part], 1..6)
    })
}

proptest! {
    #[test]
    fn what_is_known_changes_nothing_that_is_found(bodies in bodies()) {
        let notes = Notes::default();
        for body in bodies.iter().chain(&bodies) {
            let (known, anew) = (with(&notes, body), with(&Forgetful, body));
            prop_assert_eq!(same(&known), same(&anew), "{}", body);
        }
    }

    #[test]
    fn a_body_that_differs_somewhere_is_read_as_it_is(turns in 1..5_usize, at in 0..2_000_usize, byte in " -~") {
        let notes = Notes::default();
        let body = conversation(0..turns);
        with(&notes, &body);
        let mut other = body.clone();
        let at = at % body.len();
        other.replace_range(at..=at, &byte);
        let search = |memory: &dyn Memory| search(&ENGINE, &other, &table(), memory, &mut Room::default());
        match (search(&notes), search(&Forgetful)) {
            (Ok(known), Ok(anew)) => prop_assert_eq!(same(&known), same(&anew)),
            (known, anew) => prop_assert_eq!(known.is_err(), anew.is_err()),
        }
    }
}
