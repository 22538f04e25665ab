//! Whether a value looks drawn at random, rather than written by a person.

use super::base64::decode;
use super::placeholder;

/// Longest prefix of a value that is looked at, in bytes: longer values are judged by it.
const MAX_JUDGED_BYTES: usize = 512;

/// Fewest pairs of letters that say something about being words.
const MIN_PAIRS: usize = 6;

/// Fewer pairs than this need a larger share.
const FEW_PAIRS: usize = 10;

/// By first letter, the second letters (bit 0 is `a`) of the 228 pairs that make up 94 % of the pairs inside the words
/// of source code and its documentation. Of random letters and digits of either case, 32 long, 0.3 % reach the share
/// of [`is_wordlike`]; of identifiers, 97 %. Counted over 1,500 files of published crates.
const COMMON_PAIRS: [u32; 26] = [
    0x11eb96e, 0x1104911, 0x01e4db1, 0x0164959, 0x1efb87f, 0x0166971, 0x0042110, 0x0084111, 0x22ef87f,
    0x0000000, 0x0000010, 0x11c4939, 0x014c111, 0x01ced7d, 0x05efd2c, 0x11ec911, 0x0100000, 0x11e715d,
    0x11cc195, 0x11ec19d, 0x00eb976, 0x0000111, 0x0060191, 0x0088000, 0x00ca000, 0x0000010,
];

fn letter(byte: u8) -> Option<usize> {
    byte.is_ascii_alphabetic().then(|| usize::from(byte.to_ascii_lowercase() - b'a'))
}

/// Pairs of neighbouring letters, and how many of them are common in words.
fn pairs(value: &[u8]) -> (usize, usize) {
    let (mut all, mut common) = (0, 0);
    for pair in value.windows(2) {
        if let (Some(first), Some(second)) = (letter(pair[0]), letter(pair[1])) {
            all += 1;
            common += usize::from(COMMON_PAIRS[first] >> second & 1 == 1);
        }
    }
    (all, common)
}

/// Whether a value reads like words: at least seven in ten of its letter pairs are common ones, nine in ten where there
/// are few. Hexadecimal digits never do, and neither does a value whose words would be too short.
pub(super) fn is_wordlike(value: &[u8]) -> bool {
    let (all, common) = pairs(value);
    let tenths = if all < FEW_PAIRS { 9 } else { 7 };
    all >= MIN_PAIRS && common * 10 >= all * tenths && !has_hexadecimal(value) && !has_short_words(value)
}

/// Shortest words, in letters on average, of a name in any style.
const MIN_WORD_LETTERS: usize = 3;

/// Whether a value's words (runs of letters, with a capital at their start or throughout) are too short for a name: random
/// letters change their case, and digits stand between them, all the time.
fn has_short_words(value: &[u8]) -> bool {
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let first = usize::from(value.first().is_some_and(u8::is_ascii_alphabetic));
    let begins = |pair: &&[u8]| {
        pair[1].is_ascii_alphabetic()
            && (!pair[0].is_ascii_alphabetic()
                || pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase())
    };
    let words = first + value.windows(2).filter(begins).count();
    letters < words * MIN_WORD_LETTERS
}

/// Fewest characters of a run of hexadecimal digits and dashes that is taken for a number or UUID.
const MIN_HEXADECIMAL: usize = 16;

fn has_hexadecimal(value: &[u8]) -> bool {
    let (mut run, mut digits) = (0, 0);
    for byte in value {
        if byte.is_ascii_hexdigit() || *byte == b'-' {
            run += 1;
            digits += usize::from(byte.is_ascii_digit());
        } else {
            (run, digits) = (0, 0);
        }
        if run >= MIN_HEXADECIMAL && digits >= 3 {
            return true;
        }
    }
    false
}

/// Shannon entropy in bits a byte.
pub(super) fn entropy(value: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for byte in value {
        counts[usize::from(*byte)] += 1;
    }
    let total = f64::from(u32::try_from(value.len()).unwrap_or(u32::MAX));
    counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum()
}

/// How many different bytes there are.
fn distinct(value: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in value {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count()
}

/// What is needed of any token: it is no placeholder, it is no run of one character and no counting up.
pub(super) fn token(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MAX_JUDGED_BYTES)];
    value.len() >= 4 && distinct(value) >= 4.min(value.len() / 2) && !placeholder::is_placeholder(value)
}

/// A token that reads like no words, for shapes that identifiers could have as well.
pub(super) fn opaque(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MAX_JUDGED_BYTES)];
    if !token(value) || value.len() < 8 || distinct(value) < 6 {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let upper = value.iter().any(u8::is_ascii_uppercase);
    let lower = value.iter().any(u8::is_ascii_lowercase);
    if digits == 0 && (value.len() < 16 || !(upper && lower) && value.len() < 24) {
        return false;
    }
    !is_wordlike(value)
}

/// An opaque token where nothing but a name says that it is one: letters and digits, dense, and no path, version or date.
pub(super) fn opaque_strict(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MAX_JUDGED_BYTES)];
    if !opaque(value)
        || value.len() < 12
        || placeholder::is_test_word(value)
        || is_number(value)
        || is_name(value)
        || is_encoded_text(value)
    {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    let others = value.len() - digits - letters;
    digits >= 1 && letters >= 1 && others * 4 <= value.len() && entropy(value) >= floor(value.len())
}

/// Fewest hexadecimal digits of a secret that nothing but a name marks: shorter ones are numbers, versions and digests.
const MIN_HEXADECIMAL_SECRET: usize = 20;

/// Most digits of an identifier whose words end in them (`PKCS12_SAFEBAG`, `gnutls_x509_crt_t`).
const MAX_IDENTIFIER_DIGITS: usize = 3;

/// How names of models begin.
const MODELS: [&[u8]; 5] = [b"gpt-", b"claude-", b"gemini-", b"text-embedding-", b"mistral-"];

/// An identifier in one case: words with few digits at their ends, joined by underscores.
fn is_identifier(value: &[u8]) -> bool {
    let word = |word: &[u8]| {
        let letters = word.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        letters > 0 && word.iter().skip(letters).all(u8::is_ascii_digit)
    };
    let one_case = !value.iter().any(u8::is_ascii_uppercase) || !value.iter().any(u8::is_ascii_lowercase);
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    one_case
        && digits <= MAX_IDENTIFIER_DIGITS
        && value.contains(&b'_')
        && value.split(|byte| *byte == b'_').all(word)
}

/// A path, a place in a module, an identifier, a model, or a short hexadecimal number.
fn is_name(value: &[u8]) -> bool {
    value.starts_with(b"/")
        || is_identifier(value)
        || MODELS.iter().any(|model| value.starts_with(model))
        || value.starts_with(b"http")
        || memchr::memmem::find(value, b"::").is_some()
        || memchr::memmem::find(value, b"//").is_some_and(|at| at > 0 && value[at - 1] == b':')
        || value.len() < MIN_HEXADECIMAL_SECRET && value.iter().all(u8::is_ascii_hexdigit)
}

/// Fewest bytes of text that Base64 of text holds.
const MIN_ENCODED_TEXT: usize = 8;

/// Base64 of words in small letters, or of a JSON object that is a placeholder: made to look like a token by tests.
fn is_encoded_text(value: &[u8]) -> bool {
    let Some(text) = decode(value).filter(|text| text.len() >= MIN_ENCODED_TEXT) else { return false };
    let is_words = text.iter().all(|byte| byte.is_ascii_lowercase() || matches!(byte, b' ' | b'-' | b'_'));
    is_words || text.starts_with(b"{\"") && placeholder::is_placeholder(&text)
}

/// Letters that read like no words, where a shape allows letters only.
pub(super) fn letters(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MAX_JUDGED_BYTES)];
    token(value) && distinct(value) >= 6 && !is_wordlike(value)
}

/// A number of a programming language, a date or a time.
pub(super) fn is_number(value: &[u8]) -> bool {
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let hexadecimal = value.len() < 24 && (unsigned.starts_with(b"0x") || unsigned.starts_with(b"0X"));
    let letters = value.iter().filter(|byte| byte.is_ascii_alphabetic()).count();
    hexadecimal || letters <= 3 && digits + letters + 8 >= value.len()
}

/// A strict opaque token that is hexadecimal throughout, or holds digits and letters of both cases.
pub(super) fn opaque_mixed(value: &[u8]) -> bool {
    let value = &value[..value.len().min(MAX_JUDGED_BYTES)];
    let hexadecimal = value.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    let mixed = value.iter().any(u8::is_ascii_uppercase) && value.iter().any(u8::is_ascii_lowercase);
    (hexadecimal || mixed) && opaque_strict(value)
}

/// The least entropy, in bits a byte, of a random value of `length` bytes: hexadecimal digits stay above it.
fn floor(length: usize) -> f64 {
    match length {
        0..16 => 2.6,
        16..24 => 2.9,
        _ => 3.1,
    }
}

/// A value whose first part is fixed padding: the second half is judged.
pub(super) fn opaque_tail(value: &[u8]) -> bool {
    value.len() >= 32 && opaque(&value[value.len() / 2..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_read_like_words_and_keys_do_not() {
        for words in [
            "get_algolia_search_key",
            "ServiceAccountTokenCreator",
            "your-personal-access-token",
            "userAuthentication",
        ] {
            assert!(is_wordlike(words.as_bytes()), "{words}");
            assert!(!opaque(words.as_bytes()), "{words}");
        }
        for key in ["q7Zp0WxkV3tGmJd9LfRb2sYh", "9f86d081884c7d659a2feaa0c55ad015", "kq3vx8zj1wd0fhp7"] {
            assert!(!is_wordlike(key.as_bytes()), "{key}");
            assert!(opaque_strict(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn types_constants_and_models_are_no_secrets() {
        for name in [
            "PKCS12_SAFEBAG",
            "TLS1_RT_CRYPTO",
            "gnutls_x509_crt_t",
            "gpt-3.5-turbo-0301",
            "gpt-4o-2024-05-13",
        ] {
            assert!(!opaque_strict(name.as_bytes()), "{name}");
        }
        for key in ["kq3vx8_zj1wd0f_hp7", "ABCX12_QZKV34_TR", "PKCS12_saFEBxQ3"] {
            assert!(opaque_strict(key.as_bytes()), "{key}");
        }
    }

    #[test]
    fn encoded_words_are_no_tokens() {
        // "inner-list-parameters" and {"oid":"12345678-9abc-def0"}, then the same with a digit and without the counting.
        for text in ["aW5uZXItbGlzdC1wYXJhbWV0ZXJz", "eyJvaWQiOiIxMjM0NTY3OC05YWJjLWRlZjAifQ=="] {
            assert!(opaque(text.as_bytes()) && !opaque_strict(text.as_bytes()), "{text}");
        }
        for text in ["aW5uZXItbGlzdC1wYXJhNzV0ZXJz", "eyJvaWQiOiI3M2MxOTAyZi1iZTQxLTk4ZjAifQ=="] {
            assert!(opaque_strict(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn runs_and_counting_are_no_tokens() {
        for dummy in [
            "0000000000000000",
            "abcdef0123456789abcdef0123456789",
            "1234567890",
            "deadbeefdeadbeefdeadbeefdeadbeef",
        ] {
            assert!(!opaque(dummy.as_bytes()), "{dummy}");
        }
    }

    #[test]
    fn entropy_is_in_bits_a_byte() {
        assert!(entropy(b"aaaa").abs() < 1e-9);
        assert!((entropy(b"abcd") - 2.0).abs() < 1e-9);
    }
}
