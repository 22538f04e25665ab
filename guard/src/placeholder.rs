//! Placeholders: what stands in a masked text instead of a value, and what they stand for.
//!
//! A placeholder follows from the tenant's key, the entity and the value, and from nothing else. So a conversation that
//! is sent again, longer by a turn, is masked to the same bytes, and a provider's prompt cache keeps hitting.

use crate::finding::Class;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;

/// Longest placeholder, in bytes: brackets, an entity of [`MAX_ENTITY`], and two digests with their dividers.
pub const MAX_PLACEHOLDER: usize = 2 + MAX_ENTITY + 1 + 64 + 1 + SPELLING_DIGITS;

/// Longest entity that stands in a placeholder, in bytes; a longer one is cut.
pub const MAX_ENTITY: usize = 48;

/// Hexadecimal digits of a placeholder. Where two values of one text would get the same, the later one gets more.
const DIGITS: usize = 8;

/// Hexadecimal digits that tell spellings of one value apart.
const SPELLING_DIGITS: usize = 4;

/// A tenant's key. It is neither printed nor written.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// From 32 bytes that nobody else knows.
    pub fn new(bytes: [u8; 32]) -> Key {
        Key(bytes)
    }

    /// A key of its own for one purpose and name, such as an organization; the other way leads nowhere.
    pub fn derive(&self, purpose: &str, name: &str) -> Key {
        Key(self.digest("key", &[purpose.as_bytes(), name.as_bytes()]))
    }

    /// A fingerprint of a value: equal for equal values of one entity under this key, and nothing else can be learnt
    /// from it.
    pub fn fingerprint(&self, entity: &str, value: &str) -> u64 {
        let digest = self.digest("fingerprint", &[entity.as_bytes(), value.as_bytes()]);
        digest.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }

    /// HMAC-SHA256 (RFC 2104) of parts, each with its length before it, so that no two lists of parts are alike.
    pub(crate) fn digest(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        // A key shorter than a block is filled with zeros, as the standard has it.
        let mut block = [0; 64];
        block.iter_mut().zip(self.0).for_each(|(to, from)| *to = from);
        let mut mac = Hmac::<Sha256>::new(&block.into());
        for part in std::iter::once(purpose.as_bytes()).chain(parts.iter().copied()) {
            mac.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// What a placeholder stands for.
#[derive(Clone)]
pub(crate) struct Kept {
    pub(crate) value: Box<str>,
    pub(crate) entity: Box<str>,
    pub(crate) class: Class,
}

/// Makes placeholders for one exchange and keeps what they stand for. It is not printed.
pub struct Minter {
    key: Key,
    kept: HashMap<Box<str>, Kept>,
}

impl fmt::Debug for Minter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minter").field("placeholders", &self.kept.len()).finish_non_exhaustive()
    }
}

impl Minter {
    /// One that has made none yet.
    pub fn new(key: Key) -> Minter {
        Minter { key, kept: HashMap::new() }
    }

    /// How many different values have a placeholder.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether no value has a placeholder.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }

    /// The placeholder of a value, such as `[EMAIL_7f3a9c2d]`. Spellings of one value (`A@x.org` and `a@x.org`) share the
    /// digits, and all but the plainest have four more behind them, so that each comes back as it was.
    pub fn mint(&mut self, class: Class, entity: &str, value: &str) -> Box<str> {
        let entity = word(entity);
        let plain = normalized(class, &entity, value);
        let digest = hex(&self.key.digest("placeholder", &[entity.as_bytes(), plain.as_bytes()]));
        let spelling = (plain != value).then(|| hex(&self.key.digest("spelling", &[value.as_bytes()])));
        let spelling = spelling.as_deref().and_then(|digits| digits.get(..SPELLING_DIGITS));
        let divider = if spelling.is_some() { "_" } else { "" };
        let mut digits = DIGITS;
        loop {
            let head = digest.get(..digits).unwrap_or(&digest);
            let text: Box<str> = format!("[{entity}_{head}{divider}{}]", spelling.unwrap_or_default()).into();
            match self.kept.get(&text) {
                Some(kept) if &*kept.value != value && digits < digest.len() => digits += DIGITS,
                Some(kept) if &*kept.value == value => return text,
                _ => {
                    let kept = Kept { value: value.into(), entity: entity.into(), class };
                    self.kept.insert(text.clone(), kept);
                    return text;
                }
            }
        }
    }

    /// What was made, in the order of the placeholders.
    pub(crate) fn kept(&self) -> impl Iterator<Item = (&str, &Kept)> {
        self.kept.iter().map(|(text, kept)| (&**text, kept))
    }
}

/// An entity as it stands in placeholders: letters, digits and underscores.
fn word(entity: &str) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    entity.chars().take(MAX_ENTITY).map(word).collect()
}

/// The plainest spelling of a value: what is written in groups without its dividers, addresses in lower case. Secrets have
/// one spelling only.
fn normalized(class: Class, entity: &str, value: &str) -> String {
    match class {
        Class::Pii if entity.contains("EMAIL") => value.to_lowercase(),
        Class::Pii => value.chars().filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')' | '/')).collect(),
        Class::Secret | Class::Injection | Class::Custom => value.to_owned(),
    }
}

/// Hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minter() -> Minter {
        Minter::new(Key::new([7; 32]))
    }

    #[test]
    fn a_placeholder_follows_from_key_entity_and_value() {
        let one = minter().mint(Class::Pii, "EMAIL", "a@x.org");
        assert_eq!(one.len(), "[EMAIL_7f3a9c2d]".len());
        assert!(one.starts_with("[EMAIL_") && one.ends_with(']'));
        assert_eq!(minter().mint(Class::Pii, "EMAIL", "a@x.org"), one);
        assert_ne!(minter().mint(Class::Pii, "EMAIL", "b@x.org"), one);
        assert_ne!(Minter::new(Key::new([8; 32])).mint(Class::Pii, "EMAIL", "a@x.org")[7..], one[7..]);
        assert_ne!(minter().mint(Class::Pii, "USER", "a@x.org")[6..], one[7..]);
    }

    #[test]
    fn spellings_share_their_digits_and_stay_apart() {
        let mut minter = minter();
        let plain = minter.mint(Class::Pii, "EMAIL", "a@x.org");
        let shouted = minter.mint(Class::Pii, "EMAIL", "A@x.org");
        assert_eq!(plain.strip_suffix(']'), shouted.get(..plain.len() - 1));
        assert_eq!(shouted.len(), plain.len() + 1 + SPELLING_DIGITS);
        assert_eq!(minter.len(), 2);
        assert_ne!(minter.mint(Class::Pii, "CARD", "4111-1111"), minter.mint(Class::Pii, "CARD", "41111111"));
    }

    #[test]
    fn values_that_would_share_a_placeholder_get_a_longer_one() {
        let mut minter = minter();
        let short = minter.mint(Class::Pii, "EMAIL", "a@x.org");
        let mut other = Minter::new(Key::new([7; 32]));
        let kept = Kept { value: "z".into(), entity: "EMAIL".into(), class: Class::Pii };
        other.kept.insert(short.clone(), kept);
        let long = other.mint(Class::Pii, "EMAIL", "a@x.org");
        assert_eq!(long.len(), short.len() + DIGITS);
        assert!(long.starts_with(short.strip_suffix(']').unwrap()));
    }

    #[test]
    fn no_placeholder_is_longer_than_the_limit() {
        let text = minter().mint(Class::Pii, &"é x".repeat(50), "A-b");
        assert_eq!(text.len(), 2 + MAX_ENTITY + 1 + DIGITS + 1 + SPELLING_DIGITS);
        assert!(text.len() <= MAX_PLACEHOLDER && text.is_ascii());
    }

    #[test]
    fn fingerprints_and_derived_keys_depend_on_every_part() {
        let key = |byte: u8| Key::new([byte; 32]);
        let all = [
            key(1).fingerprint("A", "v"),
            key(2).fingerprint("A", "v"),
            key(1).fingerprint("B", "v"),
            key(1).fingerprint("A", "w"),
            key(1).fingerprint("Av", ""),
            key(1).derive("organization", "x").fingerprint("A", "v"),
            key(1).derive("organization", "y").fingerprint("A", "v"),
            key(1).derive("team", "x").fingerprint("A", "v"),
        ];
        assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
        assert_eq!(all[0], key(1).fingerprint("A", "v"));
    }

    #[test]
    fn neither_keys_nor_values_are_printed() {
        let mut minter = minter();
        minter.mint(Class::Secret, "TOKEN", "canary");
        assert!(!format!("{minter:?} {:?}", minter.key).contains("canary"));
        assert!(!format!("{:?}", minter.key).contains('7'));
    }
}
