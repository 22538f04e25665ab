//! Fuzz targets of the answer's side. Each takes any bytes and panics only when a promise is broken.

use crate::dialect::{DIALECTS, Dialect};
use crate::recording::{Split, detect, meter};
use crate::stream::{Heard, Outcome, StreamDecoder, StreamOptions};
use crate::unary;
use bytes::Bytes;

/// The first byte chooses the dialect and hiding, the second a chunk length, the rest is an answer.
fn parts(input: &[u8]) -> Option<(Dialect, bool, usize, &[u8])> {
    let (choice, rest) = input.split_first()?;
    let (size, body) = rest.split_first()?;
    let dialect = DIALECTS.get(usize::from(*choice) % DIALECTS.len())?.0;
    Some((dialect, *choice >= 128, usize::from(*size).max(1), body))
}

fn decode<'a>(
    dialect: Dialect,
    hide_usage: bool,
    chunks: impl Iterator<Item = &'a [u8]>,
) -> (Outcome, Vec<u8>) {
    let mut decoder = StreamDecoder::new(dialect, StreamOptions { hide_usage, hear: true });
    let mut sent = Vec::new();
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk), &mut |bytes| sent.extend_from_slice(&bytes));
    }
    let outcome = decoder.finish(&mut |bytes| sent.extend_from_slice(&bytes));
    (outcome, sent)
}

/// An answer decodes alike however it is cut, and its bytes pass unchanged when nothing is hidden.
pub fn dialect_decode(input: &[u8]) {
    let Some((dialect, _, size, body)) = parts(input) else { return };
    let (whole, sent) = decode(dialect, false, std::iter::once(body));
    assert_eq!(sent, body, "bytes pass unchanged");
    let (cut, sent) = decode(dialect, false, body.chunks(size));
    assert_eq!(sent, body, "bytes pass unchanged");
    assert_eq!(whole, cut, "the outcome does not depend on the cutting");
    assert!(whole.unreported_text_bytes <= whole.output_text_bytes);
    let heard: usize = whole.heard.unreported().map(|piece| piece.1.len()).sum();
    let known = (heard as u64).saturating_add(whole.heard.missed_bytes());
    assert!(known >= whole.unreported_text_bytes, "all text is heard or known to be missed");
    assert_eq!(taken(dialect, body.chunks(size)), (unreported(&whole.heard), whole.heard.missed_bytes()));
}

/// The text that no report accounts for, when it is taken behind each chunk.
fn taken<'a>(dialect: Dialect, chunks: impl Iterator<Item = &'a [u8]>) -> (Vec<u8>, u64) {
    let mut decoder = StreamDecoder::new(dialect, StreamOptions { hide_usage: false, hear: true });
    let (mut text, mut missed) = (Vec::new(), 0);
    let mut take = |heard: &Heard| {
        if heard.covers_taken() {
            (text, missed) = (Vec::new(), 0);
        }
        text.extend(unreported(heard));
        missed += heard.missed_bytes();
        (text.clone(), missed)
    };
    for chunk in chunks {
        decoder.push(Bytes::copy_from_slice(chunk), &mut |_| ());
        take(&decoder.take_heard());
    }
    take(&decoder.finish(&mut |_| ()).heard)
}

fn unreported(heard: &Heard) -> Vec<u8> {
    heard.unreported().flat_map(|piece| piece.1.iter().copied()).collect()
}

/// What is hidden does not depend on the cutting, and hiding does not change what is read.
pub fn usage_hide(input: &[u8]) {
    let Some((_, completions, size, body)) = parts(input) else { return };
    let dialect = if completions { Dialect::OpenaiCompletions } else { Dialect::OpenaiChat };
    let (open, _) = decode(dialect, false, std::iter::once(body));
    let (whole, sent) = decode(dialect, true, std::iter::once(body));
    let (cut, cut_sent) = decode(dialect, true, body.chunks(size));
    assert_eq!(whole, cut, "the outcome does not depend on the cutting");
    assert_eq!(sent, cut_sent, "what is hidden does not depend on the cutting");
    assert_eq!(sent.len() as u64 + whole.hidden_bytes, body.len() as u64, "nothing else is lost");
    assert_eq!((&open.usage, &open.end), (&whole.usage, &whole.end), "hiding changes only bytes");
}

/// A buffered body is read without failing, and a recording alike at any split.
pub fn unary(input: &[u8]) {
    let Some((dialect, _, size, body)) = parts(input) else { return };
    let answer = unary::read(dialect, body);
    assert!(!answer.usage.is_unknown() || !answer.anomaly, "what is unknown contradicts nothing");
    let whole = meter(body, None, Split::Whole);
    assert_eq!(whole, meter(body, None, Split::Bytes));
    assert_eq!(whole, meter(body, None, Split::Random { seed: size as u64 }));
    assert_eq!(whole.dialect, detect(body));
}
