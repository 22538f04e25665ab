//! `tiktoken-rs` is the oracle. It panics on a million blanks, so it is never asked for more than 200,000 of anything.

use super::*;
use crate::encoding::Encoding;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tiktoken_rs::CoreBPE;

const ENCODINGS: [Encoding; 2] = Encoding::ALL;

fn encoder(encoding: Encoding) -> &'static Encoder {
    encoding.load().unwrap()
}

fn oracle(encoding: Encoding) -> &'static CoreBPE {
    match encoding {
        Encoding::Cl100k => tiktoken_rs::cl100k_base_singleton(),
        Encoding::O200k => tiktoken_rs::o200k_base_singleton(),
    }
}

fn expected(encoding: Encoding, text: &str) -> u64 {
    oracle(encoding).encode_ordinary(text).len() as u64
}

fn counted<'a>(encoding: Encoding, chunks: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut counter = Counter::new(encoder(encoding));
    chunks.into_iter().for_each(|chunk| counter.push(chunk));
    let running = counter.count();
    assert!(counter.held_bytes() < PIECE_LIMIT);
    let held = counter.held_bytes();
    let total = counter.finish();
    assert!(held >= BLOCK_BYTES || running == total);
    total
}

/// What the patterns tell apart, in words, and single characters of every kind.
const PARTS: &[&str] = &[
    "the",
    " quick",
    " Brown",
    "fox's",
    " I'll",
    "WE'RE",
    "'s",
    "'S",
    "'ll",
    "'",
    "don't",
    "camelCase",
    "HTTPServer",
    "x",
    "A",
    "É",
    "é",
    "e\u{301}",
    "\u{301}",
    "straße",
    "ǅ",
    "ʰ",
    "中",
    "中文",
    "日本語",
    "カタカナ",
    "한국어",
    "العربية",
    "हिन्दी",
    "ไทย",
    "😀",
    "👨‍👩‍👧",
    "🇩🇪",
    "1",
    "23",
    "456",
    "7890",
    "½",
    "٣",
    "Ⅷ",
    " ",
    "  ",
    "    ",
    "\t",
    "\n",
    "\r",
    "\r\n",
    "\n\n",
    " \n",
    "\n ",
    "\u{a0}",
    "\u{2028}",
    "\u{3000}",
    "\u{85}",
    ".",
    ",",
    "!",
    "?!",
    "...",
    "/",
    "//",
    "\\",
    "\"",
    "{\"a\":",
    "}",
    "()",
    "=>",
    "==",
    "&&",
    "_",
    "-",
    "--",
    "#",
    "@",
    "$",
    "%",
    "€",
    "…",
    "—",
    "\u{200b}",
    "\u{200d}",
    "\u{feff}",
    "\0",
    "\u{7f}",
    "<|endoftext|>",
    "<|im_start|>",
    "https://example.com/a?b=c",
    "fn main() {\n",
    "    let x = 1;\n",
];

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        8 => prop::collection::vec(prop::sample::select(PARTS), 0..40).prop_map(|parts| parts.concat()),
        2 => "\\PC{0,40}",
        1 => ".{0,40}",
        1 => "[ \\n\\r\\ta1'.中A]{0,60}",
    ]
}

/// Runs a property as often as it takes to trust it; one process has both vocabularies and the oracle.
fn property<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config).run(strategy, test).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn any_text_counts_as_the_oracle_says_at_every_split_and_every_prefix() {
    property(400, &text(), |text| {
        for encoding in ENCODINGS {
            let bytes = text.as_bytes();
            let tokens = expected(encoding, &text);
            prop_assert_eq!(encoder(encoding).count(bytes), tokens, "{:?} {:?}", encoding, text);
            prop_assert_eq!(counted(encoding, bytes.chunks(1)), tokens, "bytewise {:?} {:?}", encoding, text);
            for at in 0..=bytes.len() {
                let (one, other) = bytes.split_at(at);
                prop_assert_eq!(
                    counted(encoding, [one, other]),
                    tokens,
                    "{:?} {:?} at {}",
                    encoding,
                    text,
                    at
                );
            }
            let mut counter = Counter::new(encoder(encoding));
            for (at, character) in text.char_indices() {
                let end = at + character.len_utf8();
                counter.push(&bytes[at..end]);
                prop_assert_eq!(
                    counter.count(),
                    expected(encoding, &text[..end]),
                    "{:?} {:?}",
                    encoding,
                    &text[..end]
                );
            }
        }
        Ok(())
    });
}

#[test]
fn long_texts_count_as_the_oracle_says_in_chunks_of_any_size() {
    let texts = prop::collection::vec(text(), 0..400).prop_map(|texts| texts.concat());
    property(24, &(texts, 1usize..9000), |(text, size)| {
        for encoding in ENCODINGS {
            let tokens = expected(encoding, &text);
            prop_assert_eq!(counted(encoding, text.as_bytes().chunks(size)), tokens);
        }
        Ok(())
    });
}

#[test]
fn every_token_of_the_vocabulary_is_the_oracles() {
    for (encoding, number) in [(Encoding::Cl100k, 100_256), (Encoding::O200k, 199_998)] {
        let ranks = &encoder(encoding).ranks;
        assert_eq!(ranks.number(), number, "all of them, and no special ones");
        for rank in 0..number {
            let token = oracle(encoding).decode_bytes(&[rank]).unwrap();
            assert_eq!(ranks.find(&token), Some(rank));
            assert_eq!(ranks.count(&token), 1);
        }
        assert_eq!(ranks.find(&[b'a'; 200]), None);
        assert_eq!(ranks.find(b""), None);
    }
}

/// A generator that needs no crate: the same bytes each time.
fn random(number: usize, alphabet: &[u8]) -> Vec<u8> {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..number).map(|_| alphabet[usize::try_from(next() >> 33).unwrap() % alphabet.len()]).collect()
}

#[test]
fn long_pieces_are_exact_up_to_the_limit_and_cost_at_most_two_tokens_a_cut_beyond() {
    let letters = b"abcdefghijklmnopqrstuvwxyz";
    let runs: [(&str, Vec<u8>); 6] = [
        ("a", vec![b'a'; 200_000]),
        ("blanks", vec![b' '; 200_000]),
        ("newlines", vec![b'\n'; 200_000]),
        ("letters", random(200_000, letters)),
        ("signs", random(200_000, b"!#$%&()*+,-.:;<=>?@[]^_`{|}~")),
        ("cjk", "漢字仮名".repeat(16_000).into_bytes()),
    ];
    for (name, run) in &runs {
        for encoding in ENCODINGS {
            let limit = PIECE_LIMIT - 4;
            for length in [SHORT, SHORT + 1, BLOCK_BYTES, limit] {
                let text = String::from_utf8_lossy(&run[..length]).replace('\u{fffd}', "");
                let tokens = expected(encoding, &text);
                assert_eq!(counted(encoding, text.as_bytes().chunks(1000)), tokens, "{name} {length}");
            }
            let tokens = expected(encoding, std::str::from_utf8(&run[..run.len() / 12 * 12]).unwrap());
            let ours = counted(encoding, run[..run.len() / 12 * 12].chunks(1000));
            let cuts = (run.len() / PIECE_LIMIT) as u64;
            assert!(ours.abs_diff(tokens) <= 2 * cuts, "{name} {encoding:?}: {ours}, not {tokens}");
        }
    }
}

const SHORT: usize = 64;

#[test]
fn a_megabyte_of_anything_is_held_within_the_limit_and_read_a_few_times_at_most() {
    let runs = [
        vec![b'a'; 1 << 20],
        vec![b' '; 1 << 20],
        vec![b'\n'; 1 << 20],
        random(1 << 20, b"abcdefghijklmnopqrstuvwxyz"),
        random(1 << 20, b" \n\r\taA1'."),
        [b"\n".as_slice(), &vec![b' '; 1 << 20], b"x"].concat(),
        ["中".as_bytes(), &vec![b'A'; 1 << 20]].concat(),
        vec![0x80; 1 << 20],
        vec![0xF0; 1 << 20],
    ];
    // In turn, for it takes its time.
    for (run, encoding) in runs.iter().zip(ENCODINGS.into_iter().cycle()) {
        let mut counter = Counter::new(encoder(encoding));
        for chunk in run.chunks(700) {
            counter.push(chunk);
            assert!(counter.held_bytes() < PIECE_LIMIT);
        }
        let (running, read) = (counter.count(), counter.read_bytes);
        let total = counter.finish();
        assert!(total > 0 && total <= run.len() as u64);
        assert!(running.abs_diff(total) <= 2 * (PIECE_LIMIT / BLOCK_BYTES) as u64, "{running} {total}");
        assert!(read <= 4 * run.len() as u64, "{read} bytes were read of {}", run.len());
    }
}

#[test]
fn a_running_total_of_a_long_piece_is_counted_in_blocks() {
    for length in [BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 5 * BLOCK_BYTES / 2] {
        let run = random(length, b"abcdefghijklmnopqrstuvwxyz");
        let text = std::str::from_utf8(&run).unwrap();
        let mut counter = Counter::new(encoder(Encoding::O200k));
        counter.push(&run);
        let exact = expected(Encoding::O200k, text);
        let blocks = (length / BLOCK_BYTES) as u64;
        assert!(counter.count().abs_diff(exact) <= 2 * blocks, "{} {exact}", counter.count());
        assert!(blocks > 0 || counter.count() == exact);
        assert_eq!(counter.finish(), exact);
    }
}

#[test]
fn bytes_that_are_no_utf8_count_one_each() {
    for encoding in ENCODINGS {
        let encoder = encoder(encoding);
        assert_eq!(encoder.count(b"\xff\xfe"), 2);
        assert_eq!(encoder.count(b"hello\xc3"), 2);
        assert_eq!(encoder.count(b"\xe4\xb8hello"), 3);
        assert_eq!(encoder.count(b""), 0);
    }
    property(300, &prop::collection::vec(any::<u8>(), 0..200), |bytes| {
        crate::fuzzing::count_split(&bytes);
        Ok(())
    });
}

#[test]
fn the_fuzz_target_holds_on_texts() {
    property(100, &(any::<u8>(), text()), |(choice, text)| {
        crate::fuzzing::count_split(&[&[choice], text.as_bytes()].concat());
        Ok(())
    });
    crate::fuzzing::count_split(b"");
    crate::fuzzing::count_split(&[&[200], vec![b' '; PIECE_LIMIT * 2].as_slice()].concat());
}
