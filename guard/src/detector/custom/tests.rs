use super::*;
use proptest::prelude::*;

fn rule(id: &str, find: Find) -> CustomRule {
    CustomRule {
        id: id.into(),
        entity: "PROJECT".into(),
        description: "a test".into(),
        score: 80,
        find,
        allow: Vec::new(),
    }
}

fn words(words: &[&str]) -> Find {
    Find::Words { words: words.iter().map(|&word| word.into()).collect(), exact: false }
}

fn expression(pattern: &str) -> Find {
    Find::Expression { pattern: pattern.into(), group: 0 }
}

fn found(rules: Vec<CustomRule>, text: &str) -> Vec<(u32, String)> {
    let mut out = Vec::new();
    Custom::new(rules).unwrap().scan(text, Provenance::User, 0, &mut out);
    assert!(out.iter().all(|hit| hit.score == 80));
    out.into_iter().map(|hit| (hit.rule.0, text[hit.range].to_owned())).collect()
}

#[track_caller]
fn values(find: Find, text: &str) -> Vec<String> {
    found(vec![rule("r", find)], text).into_iter().map(|(_, value)| value).collect()
}

#[track_caller]
fn refused(rules: Vec<CustomRule>, cause: &str) {
    let error = Custom::new(rules).unwrap_err().to_string();
    assert!(error.contains(cause), "{error}");
}

#[test]
fn words_are_whole_and_in_any_disguise() {
    let text = "Zephyr, zephyrs, ZEPHYR-2, _zephyr_, ｚｅｐｈｙｒ, ze\u{200B}phyr, zерhуr";
    assert_eq!(
        values(words(&["zephyr"]), text),
        ["Zephyr", "ZEPHYR", "zephyr", "ｚｅｐｈｙｒ", "ze\u{200B}phyr", "zерhуr"]
    );
    assert_eq!(values(words(&["Straße 5"]), "in STRASSE 5, straße 55"), ["STRASSE 5"]);
    assert_eq!(values(words(&["月光計画"]), "これは月光計画です"), ["月光計画"]);
    assert_eq!(values(words(&["проект заря"]), "наш Проект Заря готов, проект зарядка"), ["Проект Заря"]);
}

#[test]
fn exact_words_keep_case() {
    let find = Find::Words { words: vec!["IT".into()], exact: true };
    assert_eq!(values(find, "it is IT, not ITEM"), ["IT"]);
}

#[test]
fn a_longer_word_that_is_not_whole_does_not_hide_a_shorter_one() {
    assert_eq!(values(words(&["blue", "blue moon"]), "blue moons, blue moon"), ["blue", "blue moon"]);
}

#[test]
fn names_in_every_spelling() {
    let find = || Find::Names(vec!["Blue Moon".into()]);
    let text = "blue moon, blue-moon, BLUE_MOON, BlueMoon, bluemoon.example, MyBlueMoonClient, blue_moon2 x";
    let expected = ["blue moon", "blue-moon", "BLUE_MOON", "BlueMoon", "bluemoon", "BlueMoon", "blue_moon"];
    assert_eq!(values(find(), text), expected);
    assert_eq!(values(find(), "bluemoons, ablue moon, skybluemoon"), [""; 0]);
    assert_eq!(values(Find::Names(vec!["BlueMoon".into()]), "blue-moon"), ["blue-moon"]);
}

#[test]
fn expressions_with_and_without_literals() {
    assert_eq!(values(expression(r"\bACME-\d{4,6}\b"), "ACME-1234 ACME-12 XACME-12345"), ["ACME-1234"]);
    assert_eq!(values(expression(r"\b\d{2}-[A-Z]{2}\b"), "12-AB 123-AB 99-ZZ é"), ["12-AB", "99-ZZ"]);
    let group = Find::Expression { pattern: r"case id: (\d+)".into(), group: 1 };
    assert_eq!(values(group, "the case id: 4711."), ["4711"]);
    assert_eq!(values(expression("[äö]{2}x"), "aäöx"), ["äöx"]);
}

#[test]
fn several_rules_keep_their_numbers() {
    let rules = vec![
        rule("a", expression(r"ticket-\d+")),
        rule("b", words(&["zephyr"])),
        rule("c", expression(r"\d{3}")),
        rule("d", expression(r"order-\d+")),
    ];
    let mut all = found(rules, "order-1 zephyr ticket-2 345");
    all.sort();
    assert_eq!(all, [(0, "ticket-2".into()), (1, "zephyr".into()), (2, "345".into()), (3, "order-1".into())]);
}

#[test]
fn allowed_values_are_no_findings() {
    let mut one = rule("r", expression(r"[a-z]+@acme\.example"));
    one.allow = vec!["INFO@acme.example".into()];
    assert_eq!(found(vec![one], "info@acme.example ceo@acme.example"), [(0, "ceo@acme.example".into())]);
}

#[test]
fn rule_numbers_begin_at_the_base() {
    let custom = Custom::new(vec![rule("r", words(&["zephyr"]))]).unwrap();
    let mut out = Vec::new();
    custom.scan("zephyr", Provenance::User, 7, &mut out);
    assert_eq!(out[0].rule.0, 7);
    assert_eq!(custom.rules()[0].class, Class::Custom);
    let other = Custom::new(vec![rule("r", words(&["zephyra"]))]).unwrap();
    assert_ne!(custom.revision(), other.revision());
}

#[test]
fn what_cannot_be_used_is_refused_with_rule_and_cause() {
    refused(vec![rule("bad name", words(&["xx"]))], "`bad name`: a name has");
    refused(vec![rule("r", expression("("))], "`r`: ");
    refused(vec![rule("r", expression("a*"))], "matches the empty text");
    refused(vec![rule("r", expression(r"(?:[a-z]{500}){500}"))], "too large");
    refused(vec![rule("r", Find::Expression { pattern: "abcd".into(), group: 1 })], "no group 1");
    refused(vec![rule("r", words(&[]))], "no words");
    refused(vec![rule("r", words(&["xx"])), rule("r", words(&["yy"]))], "another rule");
    let mut one = rule("r", words(&["xx"]));
    one.entity = "lower".into();
    refused(vec![one.clone()], "an entity has");
    one.entity = "E".into();
    one.score = 101;
    refused(vec![one], "score");
}

#[test]
fn an_expression_without_literals_must_have_a_small_automaton() {
    refused(
        vec![rule("wide", expression(r"[ab][a-z]{0,40}[0-9][a-z]{0,40}[a-c][^x]{30}"))],
        "`wide`: no literal",
    );
    assert!(Custom::new(vec![rule("r", expression(r"[0-9]{3}-[0-9]{4}"))]).is_ok());
}

#[test]
fn limits_hold_at_the_limit_and_refuse_one_past_it() {
    let long = |n: usize| vec![rule("r", words(&["x".repeat(n).as_str()]))];
    assert!(Custom::new(long(MAX_WORD_BYTES)).is_ok());
    refused(long(MAX_WORD_BYTES + 1), "more than 256");
    assert!(Custom::new(long(MIN_WORD_CHARS)).is_ok());
    refused(long(MIN_WORD_CHARS - 1), "shorter than");
    let names = |n: usize| vec![rule(&"x".repeat(n), words(&["xx"]))];
    assert!(Custom::new(names(MAX_ID_BYTES)).is_ok());
    refused(names(MAX_ID_BYTES + 1), "a name has");
    let many = |n: usize, pattern: &str| {
        (0..n).map(|i| rule(&format!("r{i}"), expression(pattern))).collect::<Vec<_>>()
    };
    assert!(Custom::new(many(MAX_FREE_EXPRESSIONS, r"\d\d")).is_ok());
    refused(many(MAX_FREE_EXPRESSIONS + 1, r"\d\d"), "17 expressions without a literal");
    assert!(Custom::new(many(MAX_EXPRESSIONS, "abcd")).is_ok());
    refused(many(MAX_EXPRESSIONS + 1, "abcd"), "201 expressions");
    let rules = |n: usize| (0..n).map(|i| rule(&format!("r{i}"), words(&["xx"]))).collect::<Vec<_>>();
    assert!(Custom::new(rules(MAX_RULES)).is_ok());
    refused(rules(MAX_RULES + 1), "1001 rules");
    let allowing = |n: usize| {
        let mut one = rule("r", words(&["xx"]));
        one.allow = (0..n).map(|i| format!("v{i}").into()).collect();
        vec![one]
    };
    assert!(Custom::new(allowing(MAX_ALLOWED)).is_ok());
    refused(allowing(MAX_ALLOWED + 1), "allowed values");
    let states = |n: usize| vec![rule("r", expression(&format!("abc[0-9]{{{n}}}")))];
    assert!(Custom::new(states(MAX_STATES - 100)).is_ok());
    refused(states(MAX_STATES + 1), "states, more than");
}

#[test]
fn dictionaries_hold_thousands_of_words() {
    let all: Vec<String> = (0..MAX_WORDS + 1).map(|n| format!("word{n}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(values(words(&all[..2_000]), "word471 word999999 word99"), ["word471", "word99"]);
    // Compiling the largest dictionary takes long without optimization; its limit is checked before.
    assert!(Words::collect(&[rule("r", words(&all[..MAX_WORDS]))]).is_ok());
    refused(vec![rule("r", words(&all))], "20001 words");
}

#[test]
fn words_have_a_limit_of_bytes_together() {
    let width = MAX_WORD_BYTES;
    let wide: Vec<String> = (0..MAX_WORDS_BYTES / width).map(|n| format!("{n:0>width$}")).collect();
    let mut wide: Vec<&str> = wide.iter().map(String::as_str).collect();
    assert!(Custom::new(vec![rule("r", words(&wide))]).is_ok());
    wide.push("yy");
    refused(vec![rule("r", words(&wide))], "words of 262146 bytes, more than 262144");
}

#[test]
fn hits_are_limited() {
    let custom = Custom::new(vec![rule("w", words(&["zephyr"])), rule("e", expression("[0-9]{2}"))]).unwrap();
    let mut out = Vec::new();
    custom.scan(&"zephyr ".repeat(MAX_HITS + 5), Provenance::User, 0, &mut out);
    assert_eq!(out.len(), MAX_HITS);
    out.clear();
    custom.scan(&"12 ".repeat(MAX_HITS + 5), Provenance::User, 0, &mut out);
    assert_eq!(out.len(), MAX_HITS);
}

static FOUR: std::sync::LazyLock<Custom> = std::sync::LazyLock::new(|| {
    Custom::new(vec![
        rule("w", words(&["ab", "a b", "я中"])),
        rule("n", Find::Names(vec!["A B".into()])),
        rule("e", expression("[0-9]{2}[^a]")),
        rule("l", expression("(?i)abc[^a]")),
    ])
    .unwrap()
});

proptest! {
    #[test]
    fn any_text_is_scanned_and_hits_are_whole_characters(text in "(?s)[a-cäя中\\u{200B}0-9 -]{0,80}|.{0,60}") {
        let mut out = Vec::new();
        FOUR.scan(&text, Provenance::User, 0, &mut out);
        for hit in out {
            prop_assert!(hit.range.start < hit.range.end && hit.range.end <= text.len());
            prop_assert!(text.is_char_boundary(hit.range.start) && text.is_char_boundary(hit.range.end));
        }
    }
}
