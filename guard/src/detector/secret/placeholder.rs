//! Values that stand for a secret without being one: words that ask to be replaced, references to a variable, runs of
//! one character, counting up.

/// Words that appear in values people write instead of a secret, in lower case. Each has at least four characters, so
/// that random letters hold one less often than once in ten thousand values.
const WORDS: &[&[u8]] = &[
    b"example",
    b"your",
    b"placeholder",
    b"changeme",
    b"change_me",
    b"change-me",
    b"change.me",
    b"changethis",
    b"change-this",
    b"change_this",
    b"xxxx",
    b"dummy",
    b"sample",
    b"redacted",
    b"insert",
    b"replace",
    b"todo",
    b"fixme",
    b"foobar",
    b"foo_bar",
    b"foo-bar",
    b"secret_here",
    b"-here",
    b"_here",
    b"keyhere",
    b"tokenhere",
    b"****",
    b"....",
    b"____",
    b"----",
    b"process.env",
    b"os.environ",
    b"getenv",
    b"environment",
    b"secrets.",
    b"vault:",
    b"arn:aws",
    b"fake",
    b"mock",
    b"lorem",
    b"ipsum",
    b"undefined",
    b"qwerty",
    b"asdfgh",
    b"asdf1234",
    b"my_secret",
    b"my-secret",
    b"mysecret",
    b"my_token",
    b"my-token",
    b"mytoken",
    b"my_key",
    b"my-key",
    b"my_api",
    b"my-api",
    b"myapikey",
    b"some_",
    b"some-",
    b"some_secret",
    b"supersecret",
    b"super_secret",
    b"super-secret",
    b"not_a_real",
    b"not-a-real",
    b"notreal",
    b"not_real",
    b"not-real",
    b"invalid",
    b"deadbeef",
    b"cafebabe",
    b"baadf00d",
    b"0123456789",
    b"1234567890",
    b"12345678",
    b"...",
    b"a1b2c3d4",
    b"b1c2d3e4",
    b"1234-5678",
    b"1a2b3c4d",
    b"abcd1234",
    b"abcd-1234",
    b"1234abcd",
    b"1234-abcd",
    b"abcdefgh",
    b"ghijkl",
    b"config.",
    b"settings.",
    b"self.",
    b"this.",
    b"args.",
    b"params.",
    b"options.",
    b"request.",
    b"process.",
    b"import.meta",
    b"<",
    b"${",
    b"{{",
    b"%(",
    b"$(",
];

/// Words of tests, for values that nothing else marks as a secret.
const TEST_WORDS: &[&[u8]] = &[
    b"test",
    b"demo",
    b"local",
    b"token",
    b"secret",
    b"passw",
    b"apikey",
    b"privatekey",
    b"publickey",
    b"keypair",
    b"api_key",
    b"api-key",
    b"foo",
    b"bar_",
    b"_key",
    b"-key",
];

/// Longest prefix that is searched for words, in bytes.
const MAX_SEARCHED_BYTES: usize = 512;

fn lowered(value: &[u8]) -> Vec<u8> {
    value[..value.len().min(MAX_SEARCHED_BYTES)].to_ascii_lowercase()
}

fn holds(value: &[u8], words: &[&[u8]]) -> bool {
    words.iter().any(|word| memchr::memmem::find(value, word).is_some())
}

/// Whether a value stands for a secret instead of being one.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let lower = lowered(value);
    holds(&lower, WORDS)
        || is_digest(&lower)
        || is_published(value)
        || is_run(&lower)
        || is_counting(&lower)
        || is_periodic(&lower)
}

/// A digest with its algorithm in front, as package managers write it.
fn is_digest(value: &[u8]) -> bool {
    [&b"sha"[..], b"md5"].iter().any(|name| value.starts_with(name))
        && value.iter().take(8).any(|byte| matches!(byte, b'=' | b'-' | b':'))
}

/// Values that specifications and manuals print as examples, and whole libraries repeat (RFC 6749, RFC 6750, RFC 7009, RFC
/// 7617; systemd.netdev).
const PUBLISHED: &[&[u8]] = &[
    b"gX1fBat3bV",
    b"7Fjfp0ZBr1KtDRbnfVdmIw",
    b"SlAV32hkKG",
    b"2YotnFZFEjr1zCsicMWpAA",
    b"tGzv3JOkF0XG5Qx2TlKWIA",
    b"mF_9.B5f-4.1JqM",
    b"SplxlOBeZQQYbYS6WxSbIA",
    b"n4bQgYhMfWWaL-qgxVrQFaO_TxsrC4Is0V1sFbDwCgg",
    b"h480djs93hd8",
    b"137131200",
    b"45ghiukldjahdnhzdauz",
    b"EEGlnEPYJV//kbvvIqxKkQwOiS+UENyPncC4bF46ong=",
];

fn is_published(value: &[u8]) -> bool {
    PUBLISHED.contains(&value)
}

/// Whether a value has a word of tests in it.
pub(super) fn is_test_word(value: &[u8]) -> bool {
    holds(&lowered(value), TEST_WORDS)
}

/// A run of one character that is at least eight long, or half of the value.
fn is_run(value: &[u8]) -> bool {
    let (mut longest, mut run, mut last) = (0, 0, None);
    for byte in value {
        run = if last == Some(byte) { run + 1 } else { 1 };
        last = Some(byte);
        longest = longest.max(run);
    }
    longest >= 8 || (longest >= 4 && longest * 2 >= value.len())
}

/// At least six in ten neighbours count up or down by one.
fn is_counting(value: &[u8]) -> bool {
    let steps = value.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
    value.len() >= 6 && steps * 10 >= (value.len() - 1) * 6
}

/// One short piece, written at least twice and nothing else.
fn is_periodic(value: &[u8]) -> bool {
    value.len() >= 8
        && (1..=value.len() / 2).any(|period| value.iter().zip(&value[period..]).all(|(a, b)| a == b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_told() {
        for value in [
            "your-api-key",
            "CHANGEME",
            "xxxxxxxxxxxxxxxx",
            "AKIAIOSFODNN7EXAMPLE",
            "${API_KEY}",
            "process.env.KEY",
            "<token>",
            "0000000000",
            "12345678",
            "abcabcabcabc",
            "************",
            "sk-....abcd",
            "00000000-0000-0000-0000-000000000000",
            "st-b1c2d3e4f5g6a",
            "us-west-2_abcd_1234-5678",
            "AbCdE12345...long.string...54321EdCbA",
            "abcd1234-abcd-1234-a123-ab1234a1b234",
        ] {
            assert!(is_placeholder(value.as_bytes()), "{value}");
        }
        for value in ["q7Zp0WxkV3tGmJd9LfRb2sYh", "9f86d081884c7d659a2feaa0c55ad015"] {
            assert!(!is_placeholder(value.as_bytes()), "{value}");
        }
    }

    #[test]
    fn words_are_long_enough_to_be_rare() {
        assert!(WORDS.iter().all(|word| word.len() >= 4 || word.iter().any(u8::is_ascii_punctuation)));
        assert!(WORDS.iter().chain(TEST_WORDS).all(|word| !word.iter().any(u8::is_ascii_uppercase)));
    }
}
