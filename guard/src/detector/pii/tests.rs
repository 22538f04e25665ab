use std::sync::LazyLock;

use super::*;

/// What is found in a text: rule ids and values.
fn found(text: &str) -> Vec<(String, String)> {
    static PII: LazyLock<Pii> = LazyLock::new(|| Pii::new(Settings::default()));
    found_with(&PII, text)
}

fn found_with(pii: &Pii, text: &str) -> Vec<(String, String)> {
    let (rules, mut hits) = (pii.rules(), Vec::new());
    pii.scan(text, Provenance::User, 7, &mut hits);
    let rule = |hit: &Hit| rules[usize::try_from(hit.rule.0).unwrap() - 7].id.to_string();
    hits.iter().map(|hit| (rule(hit), text[hit.range.clone()].to_owned())).collect()
}

fn one(id: &str, value: &str) -> Vec<(String, String)> {
    vec![(id.to_owned(), value.to_owned())]
}

#[test]
fn values_of_tier_a_are_found_whole_wherever_they_stand() {
    for (id, value) in [
        ("payment-card", "4111 1111 1111 1111"),
        ("payment-card", "4111-1111-1111-1111"),
        ("payment-card", "378282246310005"),
        ("payment-card", "3782 822463 10005"),
        ("iban", "DE89 3704 0044 0532 0130 00"),
        ("iban", "GB29NWBK60161331926819"),
        ("us-ssn", "536-90-4399"),
        ("email", "jane.roe@corp.co.uk"),
        ("phone", "+1 415 555 2671"),
        ("phone", "(415) 555-2671"),
        ("bitcoin-address", "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4"),
        ("ethereum-address", "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed"),
    ] {
        for text in [
            value.to_owned(),
            format!("It is {value}."),
            format!("{{\"x\": \"{value}\", \"n\": 1}}"),
            format!("1,{value},abc\n2,x,y"),
            format!("let x = '{value}';"),
            format!("\\n{value}\\n"),
            format!("é中文：{value}。"),
            format!("{}{value}{}", "x ".repeat(40), " y".repeat(40)),
        ] {
            assert_eq!(found(&text), one(id, value), "{text}");
        }
    }
}

#[test]
fn values_of_tier_b_need_a_word() {
    for (id, word, value) in [
        ("us-ssn", "SSN", "536904399"),
        ("us-ssn", "ssn", "123-45-6789"),
        ("ip-address", "client IP", "8.8.8.8"),
        ("mac-address", "MAC", "00:1b:63:84:45:e6"),
        ("phone", "call me at", "4155552671"),
        ("us-mbi", "Medicare", "1EG4-TE5-MK73"),
        ("uk-nino", "National Insurance", "AB 12 34 56 C"),
        ("vin", "VIN", "1HGCM82633A004352"),
        ("uk-postcode", "postcode", "SW1A 1AA"),
        ("uk-postcode", "postcode", "M1 1AE"),
    ] {
        assert_eq!(found(&format!("{word}: {value}")), one(id, value));
        assert_eq!(found(&format!("thing: {value}")), [], "{value}");
    }
}

#[test]
fn parts_of_other_things_are_no_values() {
    for text in [
        "550e8400-e29b-41d4-a716-446655440000",
        "1700000000 1700000000000 1700000000000000",
        "0.4111111111111111",
        "a4111111111111111",
        "4111111111111111a",
        "4111111111111111_1",
        "41111111111111111111",
        "1111 2222 4111 1111 1111 1111",
        "1111 4111 1111 1111 1111 2222",
        "11-1111 4111-1111 1111 1111",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2024-01-15T10:23:45.123Z version 10.1.2.3",
        "ISBN 978-3-16-148410-0",
    ] {
        assert_eq!(found(text), [], "{text}");
    }
}

#[test]
fn a_card_beside_one_more_group_is_found_whole() {
    for text in [
        "2024 4111 1111 1111 1111",
        "in 2024 4111 1111 1111 1111.",
        "4111 1111 1111 1111 1225",
        "card 4111 1111 1111 1111 2027, code 123",
    ] {
        assert_eq!(found(text), one("payment-card", "4111 1111 1111 1111"), "{text}");
    }
}

#[test]
fn other_characters_for_digits_and_separators_are_read() {
    for (id, value) in [
        ("payment-card", "４１１１ １１１１ １１１１ １１１１"),
        ("payment-card", "4111\u{a0}1111\u{a0}1111\u{a0}1111"),
        ("us-ssn", "536\u{2011}90\u{2011}4399"),
        ("email", "jane＠corp．com"),
    ] {
        assert_eq!(found(&format!("é {value}, x")), one(id, value));
    }
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// The text with its last digit made such that `valid` holds.
    fn completed(body: &str, valid: impl Fn(&[u8]) -> bool) -> Option<String> {
        (0..10).map(|check| format!("{body}{check}")).find(|value| valid(value.as_bytes()))
    }

    fn values(text: &str) -> Vec<String> {
        found(text).into_iter().map(|(_, value)| value).collect()
    }

    proptest! {
        #[test]
        fn a_card_is_found_whole_and_no_digit_can_change(
            body in "4[0-9]{14}", separator in "[ -]?", before in "[a-z,;: \n\"]{0,70}", after in "[a-z,;\n\"]{0,70}",
            place in 0usize..16, other in 1u8..10,
        ) {
            let card = completed(&body, card::card);
            prop_assume!(card.is_some());
            let digits = card.unwrap();
            let write = |digits: &str| {
                let groups: Vec<&str> = (0..16).step_by(4).map(|at| &digits[at..at + 4]).collect();
                groups.join(&separator)
            };
            let card = write(&digits);
            let text = format!("{before} {card}, {after}");
            prop_assert_eq!(values(&text), vec![card]);
            let mut wrong = digits.into_bytes();
            wrong[place] = b'0' + (wrong[place] - b'0' + other) % 10;
            let wrong = write(std::str::from_utf8(&wrong).unwrap());
            let rules: Vec<_> = found(&format!("x {wrong}, y")).into_iter().filter(|(id, _)| id == "payment-card").collect();
            prop_assert_eq!(rules, vec![]);
        }

        #[test]
        fn an_iban_is_found_whole(account in "[0-9]{18}", spaced in any::<bool>()) {
            let rest = checksum::mod97(account.bytes().chain(*b"DE00")).unwrap();
            let iban = format!("DE{:02}{account}", 98 - rest);
            let groups: Vec<&str> = (0..22).step_by(4).map(|at| &iban[at..22.min(at + 4)]).collect();
            let iban = if spaced { groups.join(" ") } else { iban.clone() };
            let text = format!("Konto {iban}!");
            prop_assert_eq!(values(&text), vec![iban]);
        }

        #[test]
        fn any_text_is_scanned_and_hits_are_characters(text in ".{0,300}") {
            let pii = all();
            let mut hits = Vec::new();
            pii.scan(&text, Provenance::ToolResult, 0, &mut hits);
            for hit in &hits {
                prop_assert!(text.get(hit.range.clone()).is_some_and(|value| !value.is_empty()));
                prop_assert!(hit.range.len() <= MAX_VALUE_BYTES && hit.score <= 100);
            }
        }

        #[test]
        fn digits_and_marks_are_scanned_and_hits_are_characters(text in "[0-9A-Za-f +().,:@/_x\u{a0}\u{2011}４\u{200b}-]{0,400}") {
            let mut hits = Vec::new();
            all().scan(&text, Provenance::ToolResult, 0, &mut hits);
            for hit in &hits {
                prop_assert!(text.get(hit.range.clone()).is_some_and(|value| !value.is_empty()));
            }
        }

        #[test]
        fn what_is_far_away_decides_nothing(
            left in "[0-9A-F a-f@:.,+４ａ\u{a0}-]{0,200}", middle in "[0-9A-Z a-c@:.,+/４ａ：（\u{a0}\u{200b}-]{0,120}",
            right in "[0-9a-f @:.,+４ａ\u{a0}-]{0,200}",
        ) {
            let far = |fill: char, len: usize| fill.to_string().repeat(len);
            let (before, after) = (far('\n', LOOK_BEHIND), far('\n', LOOK_AHEAD));
            let near = format!("{before}{middle}{after}");
            let whole = format!("{left}{near}{right}");
            let (mut alone, mut within) = (Vec::new(), Vec::new());
            all().scan(&near, Provenance::User, 0, &mut alone);
            all().scan(&whole, Provenance::User, 0, &mut within);
            let inside = |hit: &&Hit| hit.range.start >= left.len() && hit.range.end <= left.len() + near.len();
            let within: Vec<Hit> = within.iter().filter(inside).cloned().collect();
            let moved = |hit: &Hit| Hit { range: hit.range.start + left.len()..hit.range.end + left.len(), ..hit.clone() };
            prop_assert_eq!(alone.iter().map(moved).collect::<Vec<_>>(), within);
        }
    }

    /// A detector of everything.
    fn all() -> &'static Pii {
        static ALL: LazyLock<Pii> = LazyLock::new(|| {
            Pii::new(Settings { a: Mode::Always, b: Mode::Always, c: Mode::Always, ..Settings::default() })
        });
        &ALL
    }
}

#[test]
fn rules_are_unique_and_described() {
    let rules = Pii::new(Settings::default()).rules();
    let ids: std::collections::BTreeSet<&str> = rules.iter().map(|rule| &*rule.id).collect();
    assert_eq!(ids.len(), rules.len());
    for rule in &rules {
        assert!(
            rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'),
            "{}",
            rule.id
        );
        assert!(
            rule.entity
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
        );
        assert!(!rule.description.is_empty() && rule.class == Class::Pii);
    }
}

#[test]
fn settings_decide_what_is_reported() {
    let only = |id: &str, mode: Mode| {
        let rules = [(id.into(), mode)].into();
        Pii::new(Settings { a: Mode::Off, b: Mode::Off, c: Mode::Off, rules })
    };
    let text = "4111111111111111 and jane.roe@corp.com and 021000021";
    assert_eq!(found_with(&only("email", Mode::Always), text), one("email", "jane.roe@corp.com"));
    assert_eq!(found_with(&only("us-bank-routing", Mode::Always), text), one("us-bank-routing", "021000021"));
    assert_eq!(found_with(&only("us-bank-routing", Mode::InContext), text), []);
    assert_eq!(found_with(&only("payment-card", Mode::Off), text), []);
    let changed = only("email", Mode::Always).revision();
    assert_ne!(changed, only("email", Mode::Off).revision());
}

#[test]
fn a_word_nearby_makes_a_finding_surer() {
    let score = |text: &str| {
        let mut hits = Vec::new();
        Pii::new(Settings::default()).scan(text, Provenance::User, 0, &mut hits);
        hits.first().map(|hit| hit.score)
    };
    assert_eq!(score("thing 4111111111111111"), Some(80));
    assert_eq!(score("card 4111111111111111"), Some(95));
}

#[test]
fn attributions_of_works_are_a_rule_of_their_own() {
    let text = "// Copyright 2024 Jane Roe <jane@corp.com>";
    assert_eq!(found(text), []);
    let all = Settings { c: Mode::Always, ..Settings::default() };
    assert_eq!(found_with(&Pii::new(all), text), one("email-attribution", "jane@corp.com"));
}

#[test]
fn bytes_of_values_may_continue() {
    for value in
        ["4111 1111-1111.1111", "+1 (415) 555-2671", "o'b_x%y+z@corp.com", "fe80::1", "A123456(3)", "é"]
    {
        assert!(value.bytes().all(may_continue), "{value}");
    }
    assert!(!may_continue(b'\n') && !may_continue(b'"') && !may_continue(b','));
}
