//! Bodies of fuzz targets. They take any bytes and assert what must hold for all of them; `fuzz/` gives them bytes without
//! end, and the tests below give them seeds and mutations of those.

use crate::config;
use crate::upstream::body::{BodyDecoder, Framing, FramingFault};
use crate::upstream::head::parse_head;
use bytes::{Bytes, BytesMut};
use std::path::Path;

/// Fields that end at the gateway, whatever they say (RFC 9110 §7.6.1), and those that it writes itself.
const OURS: [&str; 7] =
    ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade", "content-length"];
/// What variables give.
const SECRET: &str = "canary-8c1f0e55";

/// Any bytes as the head of a provider's answer: what is passed on is whole lines, and nothing of the connection's.
///
/// # Panics
/// When that does not hold.
pub fn upstream_head(data: &[u8]) {
    let Ok(head) = parse_head(&Bytes::copy_from_slice(data)) else { return };
    assert!(head.fields.is_empty() || head.fields.ends_with(b"\r\n"), "a line is not whole");
    for line in head.fields.split_inclusive(|byte| *byte == b'\n') {
        let bare = line.strip_suffix(b"\r\n").is_none_or(|line| line.contains(&b'\r'));
        let name = line.split(|byte| *byte == b':').next().unwrap_or_default();
        assert!(
            !bare && name.len() < line.len() && !name.is_empty(),
            "a line that is none: {}",
            line.escape_ascii()
        );
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        assert!(!OURS.contains(&name.as_str()), "{name} is passed on");
    }
    assert!(head.fields().count() <= head.fields.len(), "fields out of nothing");
}

/// Any bytes as a chunked body: the first says how it is cut, which makes no difference.
///
/// # Panics
/// When it does.
pub fn upstream_body(data: &[u8]) {
    let Some((cut, wire)) = data.split_first() else { return };
    let whole = decode(wire, wire.len().max(1));
    assert_eq!(decode(wire, usize::from(*cut).max(1)), whole, "the cut makes a difference");
    assert!(whole.payload.len() + whole.rest.len() <= wire.len(), "bytes out of nothing");
}

/// What came of a body.
#[derive(Debug, PartialEq, Eq)]
struct Decoded {
    payload: Vec<u8>,
    fault: Option<FramingFault>,
    done: bool,
    trailers: Vec<u8>,
    /// What follows the body; nothing is known of it after a fault.
    rest: Vec<u8>,
}

fn decode(wire: &[u8], size: usize) -> Decoded {
    let mut decoder = BodyDecoder::new(Framing::Chunked);
    let (mut buf, mut payload, mut fault) = (BytesMut::new(), Vec::new(), None);
    'parts: for part in wire.chunks(size) {
        buf.extend_from_slice(part);
        loop {
            let before = buf.len();
            match decoder.decode(&mut buf) {
                Ok(part) => payload.extend_from_slice(&part),
                Err(found) => {
                    fault = Some(found);
                    break 'parts;
                }
            }
            if buf.len() == before {
                break;
            }
        }
    }
    let rest = if fault.is_none() { buf.to_vec() } else { Vec::new() };
    Decoded { payload, fault, done: decoder.is_done(), trailers: decoder.trailers().to_vec(), rest }
}

/// Any bytes as a configuration: it is taken, or every problem says where it is and what to do; and what a variable gave
/// is never shown.
///
/// # Panics
/// When that does not hold.
pub fn config_load(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // A configuration may name files; those that never end are not for a test to open.
    if ["/dev", "/proc", "/sys"].iter().any(|folder| text.contains(folder)) {
        return;
    }
    let variable = |name: &str| (!name.starts_with("UNSET")).then(|| SECRET.to_owned());
    match config::parse("fuzz.yaml", Path::new("/no/such/folder"), text, &variable) {
        Ok(loaded) => {
            let shown = loaded.to_yaml();
            assert!(!shown.contains(SECRET), "a variable's value is shown:\n{shown}");
        }
        Err(problems) => {
            assert!(!problems.as_slice().is_empty(), "refused without a cause");
            for problem in problems.as_slice().iter().filter(|problem| problem.file == "fuzz.yaml") {
                assert!(problem.line >= 1 && problem.column >= 1, "{problem:?}");
                assert!(problem.line <= text.split('\n').count() + 1, "{problem:?}");
                assert!(!problem.message.is_empty() && !problem.suggestion.is_empty(), "{problem:?}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::LazyLock;

    const HEADS: [&str; 4] = [
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nx-request-id: r\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.0 429 Too Many\r\nretry-after: 5\r\nconnection: x-hop, close\r\nx-hop: 1\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 204\r\ndate: x\r\nkeep-alive: timeout=5\r\nupgrade: h2c\r\nte: trailers\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\nconnection: upgrade\nupgrade: websocket\n\n",
    ];
    const BODIES: [&str; 4] = [
        "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK",
        "a;x=\"y\"\r\n0123456789\r\n00f\r\n0123456789abcde\r\n0\r\nx-checksum: 1\r\ny: 2\r\n\r\n",
        "1\nx\n0\n\n",
        "fffffffffffffff\r\nshort",
    ];
    static CONFIGS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts: Vec<String> = files
            .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
            .map(|path| std::fs::read_to_string(path).unwrap())
            .collect();
        assert!(!texts.is_empty());
        texts
    });

    /// A seed with a part of another, or of random bytes, in its midst.
    fn spliced(one: &[u8], other: &[u8], at: prop::sample::Index, from: prop::sample::Index) -> Vec<u8> {
        let (at, from) = (at.index(one.len() + 1), from.index(other.len() + 1));
        [&one[..at], &other[from..]].concat()
    }

    #[test]
    fn seeds_hold() {
        HEADS.iter().for_each(|head| upstream_head(head.as_bytes()));
        for body in BODIES {
            (0..=20).for_each(|cut| upstream_body(&[&[cut], body.as_bytes()].concat()));
        }
        CONFIGS.iter().for_each(|text| config_load(text.as_bytes()));
        config_load(b"version: 1\nproviders:\n  openai: {kind: openai, api_key: '${KEY}'}\n");
        config_load(b"version: 1\nproviders:\n  openai: {kind: openai, api_key: '${UNSET}'}\n");
    }

    proptest! {
        #[test]
        fn random_bytes_hold(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            upstream_head(&bytes);
            upstream_head(&[b"HTTP/1.1 200 OK\r\n", bytes.as_slice(), b"\r\n\r\n"].concat());
            upstream_body(&bytes);
            config_load(&bytes);
        }

        #[test]
        fn spliced_seeds_hold(
            pick in any::<[prop::sample::Index; 2]>(),
            at in any::<[prop::sample::Index; 2]>(),
            cut in any::<u8>(),
        ) {
            let of = |texts: &[&str]| spliced(
                pick[0].get(texts).as_bytes(), pick[1].get(texts).as_bytes(), at[0], at[1],
            );
            upstream_head(&of(&HEADS));
            upstream_body(&[&[cut], of(&BODIES).as_slice()].concat());
            let configs: Vec<&str> = CONFIGS.iter().map(String::as_str).collect();
            config_load(&of(&configs));
        }
    }
}
