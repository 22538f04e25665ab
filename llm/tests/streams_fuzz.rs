//! The fuzz targets of the answer's side, replayed over the golden answers as seeds and over random bytes.

mod streams_support;

use narrows_llm::fuzzing::streams::{dialect_decode, unary, usage_hide};
use proptest::prelude::*;
use std::sync::LazyLock;
use streams_support::{Golden, goldens};

static GOLDENS: LazyLock<Vec<Golden>> = LazyLock::new(goldens);

fn all(input: &[u8]) {
    dialect_decode(input);
    usage_hide(input);
    unary(input);
}

#[test]
fn seeds_hold() {
    for golden in GOLDENS.iter() {
        for head in [[golden.dialect as u8, 1], [golden.dialect as u8 + 6 * 22, 17]] {
            all(&[&head, golden.bytes.as_slice()].concat());
        }
    }
}

proptest! {
    #[test]
    fn random_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        all(&bytes);
    }

    #[test]
    fn spliced_answers_hold(
        head in any::<[u8; 2]>(),
        one in any::<prop::sample::Index>(),
        other in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        from in any::<prop::sample::Index>(),
    ) {
        let (one, other) = (&one.get(&GOLDENS).bytes, &other.get(&GOLDENS).bytes);
        let (at, from) = (at.index(one.len() + 1), from.index(other.len() + 1));
        all(&[&head, &one[..at], &other[from..]].concat());
    }
}
