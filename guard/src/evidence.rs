//! What may be written down about a finding: everything but the value.

use crate::engine::floor;
use crate::finding::{Class, Hit, Rule, Tier};
use crate::mask::mask;
use crate::placeholder::{Key, Minter};
use std::ops::Range;

/// Bytes of masked text on each side of a finding, where surroundings are asked for.
pub const SURROUNDINGS: usize = 64;

/// Of which characters a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Charset {
    /// Digits, and what groups them.
    Digits,
    /// Hexadecimal digits.
    Hex,
    /// Letters.
    Letters,
    /// Letters and digits.
    Alphanumeric,
    /// What base64 has in its two alphabets.
    Base64,
    /// Other ASCII.
    Ascii,
    /// Anything.
    Unicode,
}

impl Charset {
    /// The narrowest one that a value fits.
    pub fn of(value: &str) -> Charset {
        let all = |test: fn(&u8) -> bool| value.as_bytes().iter().all(test);
        if all(|byte| byte.is_ascii_digit() || b" -./()+".contains(byte)) {
            Charset::Digits
        } else if all(u8::is_ascii_hexdigit) {
            Charset::Hex
        } else if all(u8::is_ascii_alphabetic) {
            Charset::Letters
        } else if all(u8::is_ascii_alphanumeric) {
            Charset::Alphanumeric
        } else if all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte)) {
            Charset::Base64
        } else if value.is_ascii() {
            Charset::Ascii
        } else {
            Charset::Unicode
        }
    }

    /// The stable word in records.
    pub fn as_str(self) -> &'static str {
        match self {
            Charset::Digits => "digits",
            Charset::Hex => "hex",
            Charset::Letters => "letters",
            Charset::Alphanumeric => "alphanumeric",
            Charset::Base64 => "base64",
            Charset::Ascii => "ascii",
            Charset::Unicode => "unicode",
        }
    }
}

/// A finding without its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The rule's name.
    pub rule: Box<str>,
    /// What the value is.
    pub entity: Box<str>,
    /// The rule's family.
    pub class: Class,
    /// How sure the rule is of itself on ordinary text.
    pub tier: Tier,
    /// How sure the finding is, 0 to 100.
    pub score: u8,
    /// Where the text stands, such as `messages[3].content[1].text`; empty for a text by itself.
    pub path: Box<str>,
    /// Where the value stands in the text, in bytes.
    pub range: Range<usize>,
    /// Its length in characters.
    pub characters: usize,
    /// Its characters.
    pub charset: Charset,
    /// Equal for equal values of one tenant and entity; nothing else can be learnt from it.
    pub fingerprint: u64,
    /// Text around it with every finding masked, only where content may be kept.
    pub surroundings: Option<Box<str>>,
}

impl Evidence {
    /// Of a hit in `text`; none if the hit is not of this text.
    pub fn new(rule: &Rule, hit: &Hit, text: &str, path: &str, key: &Key) -> Option<Evidence> {
        let value = text.get(hit.range.clone())?;
        Some(Evidence {
            rule: rule.id.clone(),
            entity: rule.entity.clone(),
            class: rule.class,
            tier: rule.tier,
            score: hit.score,
            path: path.into(),
            range: hit.range.clone(),
            characters: value.chars().count(),
            charset: Charset::of(value),
            fingerprint: key.fingerprint(&rule.entity, value),
            surroundings: None,
        })
    }

    /// With the masked text around the value. `hits` are all that were found in `text`, by an engine with these rules.
    #[must_use]
    pub fn with_surroundings(mut self, text: &str, hits: &[Hit], rules: &[Rule], key: &Key) -> Evidence {
        let from = floor(text, self.range.start.saturating_sub(SURROUNDINGS));
        let to = floor(text, self.range.end.saturating_add(SURROUNDINGS));
        // What reaches into the cut from outside is masked as far as it does.
        let inside: Vec<Hit> = hits
            .iter()
            .filter(|hit| hit.range.start < to && hit.range.end > from)
            .map(|hit| Hit {
                range: hit.range.start.max(from) - from..hit.range.end.min(to) - from,
                ..hit.clone()
            })
            .collect();
        let cut = text.get(from..to).unwrap_or_default();
        self.surroundings = Some(mask(cut, &inside, rules, &mut Minter::new(key.clone())).into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::RuleIndex;

    const CANARY: &str = "canary-0123456789";

    fn rule() -> Rule {
        Rule {
            id: "r".into(),
            entity: "TOKEN".into(),
            class: Class::Secret,
            tier: Tier::A,
            description: "".into(),
        }
    }

    #[test]
    fn the_value_is_nowhere_in_it() {
        let key = Key::new([1; 32]);
        let text = format!("{CANARY}{CANARY} é {CANARY}");
        let second = text.rfind(CANARY).unwrap();
        let hits = [
            Hit { rule: RuleIndex(0), range: 0..2 * CANARY.len(), score: 9 },
            Hit { rule: RuleIndex(0), range: second..text.len(), score: 9 },
        ];
        for hit in &hits {
            let evidence = Evidence::new(&rule(), hit, &text, "a[1]", &key).unwrap();
            assert!(!format!("{evidence:?}").contains("canary"));
            let evidence = evidence.with_surroundings(&text, &hits, &[rule()], &key);
            let surroundings = evidence.surroundings.unwrap();
            assert!(surroundings.contains(" é [TOKEN_") && !surroundings.contains("0123"), "{surroundings}");
        }
    }

    #[test]
    fn charsets_are_the_narrowest() {
        let cases = [
            ("4111 1111", Charset::Digits),
            ("00ff", Charset::Hex),
            ("token", Charset::Letters),
            ("token7", Charset::Alphanumeric),
            ("to+ken/7=", Charset::Base64),
            ("a@b.c", Charset::Ascii),
            ("ü", Charset::Unicode),
        ];
        cases.iter().for_each(|(value, charset)| assert_eq!(Charset::of(value), *charset, "{value}"));
    }
}
