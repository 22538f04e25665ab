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
        "1111 4111 1111 1111 1111",
        "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "2024-01-15T10:23:45.123Z version 10.1.2.3",
        "ISBN 978-3-16-148410-0",
    ] {
        assert_eq!(found(text), [], "{text}");
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
