//! Bodies of the fuzz targets in `fuzz/`, replayed by ordinary tests.

use crate::body::{Forgetful, Room, Splice, search, splice};
use crate::detector::pii::{Pii, Settings};
use crate::finding::{Hit, Provenance};
use crate::json::Table;
use crate::mask::mask;
use crate::placeholder::{Key, Minter};
use crate::rules::RuleSet;
use crate::stream::{MAX_HELD, StreamScanner};
use crate::unmask::{Level, Placeholders, Unmasker};
use crate::{Engine, Scratch};
use std::sync::LazyLock;

/// A few rules of every kind.
const RULES: &str = "[[rules]]\nid = 'prefix'\nregex = '''\\btok_[a-z0-9]{4,}\\b'''\nkeywords = ['tok_']\n\
    [[rules]]\nid = 'assigned'\nregex = '''(?i)[\\w.-]{0,50}?(?:key)[\\s'\"]{0,3}(?:=|:)\\s{0,5}([a-z0-9]{8,})'''\n\
    [[rules]]\nid = 'anywhere'\nregex = '''\\b[0-9a-f]{12}\\b'''\n";

static ENGINE: LazyLock<Option<Engine>> = LazyLock::new(|| {
    let builder = Engine::builder().secrets(RuleSet::gitleaks(RULES).ok()?);
    builder.detector(Pii::new(Settings::default())).build().ok()
});

/// Any text as a file of rules: it is read or refused, and what is read can be searched with.
pub fn rules(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else { return };
    let Ok(set) = RuleSet::gitleaks(text) else { return };
    let Ok(engine) = Engine::builder().secrets(set).build() else { return };
    scanned(&engine, text);
}

/// Any text: hits are in it, a stream of it finds the same, and what is masked comes back.
pub fn text(input: &[u8]) {
    let (Some(engine), Some((size, input))) = (&*ENGINE, input.split_first()) else { return };
    let Ok(text) = std::str::from_utf8(input) else { return };
    let hits = scanned(engine, text);
    assert_eq!(hits, streamed(engine, text, usize::from(*size) + 1));
    let mut minter = Minter::new(Key::new([1; 32]));
    let masked = mask(text, &hits, engine.rules(), &mut minter);
    assert_eq!(masked == text, hits.is_empty());
    let placeholders = Placeholders::new(&minter, |_, _| true);
    let mut back = String::new();
    let mut unmasker = Unmasker::new(&placeholders, Level::Plain);
    for piece in masked.split_inclusive(['_', '[']) {
        unmasker.push(piece, &mut back);
    }
    unmasker.finish(&mut back);
    assert_eq!(back, text);
}

/// Any bytes as a body: it is searched or refused, and with its findings masked it is still JSON.
pub fn body(input: &[u8]) {
    let (Some(engine), Ok(body)) = (&*ENGINE, std::str::from_utf8(input)) else { return };
    let is_json = serde_json::from_str::<serde_json::Value>(body).is_ok();
    let Ok(report) = search(engine, body, &Table::everything(), &Forgetful, &mut Room::default()) else {
        assert!(!is_json || body.len() > 128, "JSON was refused");
        return;
    };
    let masks = report.found.iter().filter(|found| found.is_maskable());
    let masks = masks.map(|found| Splice { range: found.raw.clone(), with: "[MASKED]".to_owned() }).collect();
    let masked = splice(body.as_bytes(), masks);
    if is_json {
        assert!(serde_json::from_slice::<serde_json::Value>(&masked).is_ok(), "a mask broke the body");
    }
}

fn scanned(engine: &Engine, text: &str) -> Vec<Hit> {
    let mut hits = Vec::new();
    engine.scan(text, Provenance::User, &mut Scratch::default(), &mut hits);
    for hit in &hits {
        assert!(text.get(hit.range.clone()).is_some_and(|value| !value.is_empty()), "a hit beside the text");
        assert!(engine.rule(hit.rule).is_some(), "a hit without a rule");
    }
    hits
}

fn streamed(engine: &Engine, text: &str, size: usize) -> Vec<Hit> {
    let (mut hits, mut scratch) = (Vec::new(), Scratch::default());
    let mut scanner = StreamScanner::new(Provenance::User);
    let mut rest = text;
    while !rest.is_empty() {
        let end =
            (size.min(rest.len())..=rest.len()).find(|at| rest.is_char_boundary(*at)).unwrap_or(rest.len());
        let (piece, left) = rest.split_at(end);
        scanner.push(engine, piece, &mut scratch, &mut |hit: &Hit, _: &str, _: usize| hits.push(hit.clone()));
        assert!(scanner.held() <= MAX_HELD, "too much is held");
        rest = left;
    }
    scanner.finish(engine, &mut scratch, &mut |hit: &Hit, _: &str, _: usize| hits.push(hit.clone()));
    hits
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WORDS: [&str; 14] = [
        "tok_ab12",
        "api_key = ",
        "0123456789ab",
        "ann@example.com",
        "4111 1111 1111 1111",
        "\\u0040",
        "é",
        "[",
        "_",
        "\n",
        "\\",
        "\"",
        "{\"a\":",
        "}",
    ];

    fn texts() -> impl Strategy<Value = String> {
        proptest::collection::vec(
            prop_oneof![(0..WORDS.len()).prop_map(|at| WORDS[at].to_owned()), "[ -~]{0,6}"],
            0..24,
        )
        .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn texts_are_masked_and_come_back(size in any::<u8>(), parts in texts()) {
            let mut input = vec![size];
            input.extend_from_slice(parts.as_bytes());
            text(&input);
        }

        #[test]
        fn bodies_stay_json(parts in texts()) {
            body(parts.as_bytes());
            let string = serde_json::to_string(&parts).unwrap();
            body(format!("{{\"messages\":[{{\"content\":{string},\"arguments\":{}}}]}}", serde_json::to_string(&string).unwrap()).as_bytes());
        }

        #[test]
        fn files_of_rules_are_read_or_refused(id in "[a-z]{0,2}", regex in "[a-c(\\[{\\\\|?*+.^$)\\]}0-9,-]{0,12}", more in "[ -~\\n]{0,30}") {
            rules(format!("[[rules]]\nid = '{id}'\nregex = '''{regex}'''\n{more}").as_bytes());
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_let_be() {
        for input in [&b""[..], b"\xff", b"\x01\xff"] {
            rules(input);
            text(input);
            body(input);
        }
    }
}
