//! Content codings: whole bodies of requests, and copies of answers made for metering. Every decoder has a cap.

use crate::upstream::head::Coding;
use narrows_policy::Gap;
use std::io::{Read, Write};

/// Why a body was not decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecodeFault {
    /// A coding that we do not know, or several.
    Unknown,
    /// The decoded body is larger than allowed.
    TooLarge,
    /// The bytes are not what the coding says.
    Corrupt,
}

/// Decodes a whole body with the coding named in `content-encoding`, to at most `limit` bytes.
pub(crate) fn decode_body(coding: &[u8], wire: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFault> {
    match coding.trim_ascii().to_ascii_lowercase().as_slice() {
        b"gzip" | b"x-gzip" => capped(flate2::read::MultiGzDecoder::new(wire), limit),
        b"deflate" => capped(flate2::read::ZlibDecoder::new(wire), limit),
        b"br" if has_large_window(wire) => Err(DecodeFault::Corrupt),
        b"br" => capped(brotli_decompressor::Decompressor::new(wire, 4096), limit),
        b"zstd" => zstd(wire, limit),
        _ => Err(DecodeFault::Unknown),
    }
}

/// Whether a body in brotli asks for a window of up to 1 GiB, which its decoder would fill before it gives anything out.
/// The format leaves these bits unused (RFC 7932 §9.1); the decoder takes them for its extension.
fn has_large_window(wire: &[u8]) -> bool {
    wire.first().is_some_and(|first| first & 0x7F == 0x11)
}

/// Largest window in zstd, in bytes, unless the text may be larger: its decoder holds so much back, whatever is asked of
/// it. In HTTP none is larger (RFC 9659 §3).
const ZSTD_WINDOW_MAX: usize = 8 * 1024 * 1024;

/// Most frames of one body in zstd. Encoders write one.
const ZSTD_FRAMES_MAX: usize = 1024;

/// Decodes all frames of a body (RFC 8878 §3).
fn zstd(mut wire: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut decoder = ruzstd::decoding::FrameDecoder::new();
    let window_max = u64::try_from(limit.max(ZSTD_WINDOW_MAX)).unwrap_or(u64::MAX);
    let (mut text, mut frames) = (Vec::new(), 0);
    loop {
        frames += 1;
        if frames > ZSTD_FRAMES_MAX {
            return Err(DecodeFault::TooLarge);
        }
        if let Some(length) = zstd_skippable(wire) {
            wire = wire.get(length..).ok_or(DecodeFault::Corrupt)?;
        } else if zstd_window(wire).ok_or(DecodeFault::Corrupt)? > window_max {
            return Err(DecodeFault::TooLarge);
        } else {
            let frame = ruzstd::decoding::StreamingDecoder::new_with_decoder(&mut wire, &mut decoder);
            let frame = frame.map_err(|_error| DecodeFault::Corrupt)?;
            text.append(&mut capped(frame, limit - text.len())?);
        }
        if wire.is_empty() {
            return Ok(text);
        }
    }
}

/// The length of the frame that begins here, if it is one to be skipped (RFC 8878 §3.1.2).
fn zstd_skippable(frame: &[u8]) -> Option<usize> {
    let (head, _) = frame.split_first_chunk::<8>()?;
    let [kind, 0x2A, 0x4D, 0x18, length @ ..] = *head else { return None };
    if kind & 0xF0 != 0x50 {
        return None;
    }
    usize::try_from(u32::from_le_bytes(length)).ok()?.checked_add(head.len())
}

/// The window of the frame that begins here, in bytes (RFC 8878 §3.1.1.1).
fn zstd_window(frame: &[u8]) -> Option<u64> {
    let [_, _, _, _, descriptor, rest @ ..] = frame else { return None };
    let is_single = descriptor & 0x20 != 0;
    if !is_single {
        let window = rest.first()?;
        let base = 1_u64 << (10 + (window >> 3));
        return Some(base + base / 8 * u64::from(window & 7));
    }
    let dictionary = [0, 1, 2, 4].get(usize::from(descriptor & 3))?;
    let length = [1, 2, 4, 8].get(usize::from(descriptor >> 6))?;
    let size = rest.get(*dictionary..)?.get(..*length)?;
    let size = size.iter().rev().fold(0, |size, byte| size << 8 | u64::from(*byte));
    Some(if *length == 2 { size + 256 } else { size })
}

/// The word for the coding of an answer; `None` where it has none. One that is not known is not decoded.
pub(crate) fn word(coding: Coding) -> Option<&'static [u8]> {
    match coding {
        Coding::Identity => None,
        Coding::Gzip => Some(b"gzip"),
        Coding::Deflate => Some(b"deflate"),
        Coding::Brotli => Some(b"br"),
        Coding::Zstd => Some(b"zstd"),
        Coding::Other => Some(b""),
    }
}

/// Decodes a whole answer, to at most `limit` bytes.
pub(crate) fn decode_answer(coding: Coding, wire: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFault> {
    decode_body(word(coding).unwrap_or_default(), wire, limit)
}

fn capped(decoder: impl Read, limit: usize) -> Result<Vec<u8>, DecodeFault> {
    let mut text = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    decoder.take(most).read_to_end(&mut text).map_err(|_error| DecodeFault::Corrupt)?;
    if text.len() > limit { Err(DecodeFault::TooLarge) } else { Ok(text) }
}

/// Most bytes of a stream in zstd that are kept until its end, to be decoded then: its decoder gives nothing out before a
/// whole window has come.
pub(crate) const ZSTD_WIRE_MAX: usize = 1024 * 1024;

/// Decodes a compressed stream beside the bytes that pass, so that it can be metered and looked at. The text is taken out
/// after every push, so what is held is one chunk's worth; the total is capped.
pub(crate) struct Decoder(Machine);

enum Machine {
    Gzip(Box<flate2::write::MultiGzDecoder<Text>>),
    Deflate(Box<flate2::write::ZlibDecoder<Text>>),
    /// And whether anything has come.
    Brotli(Box<brotli_decompressor::DecompressorWriter<Text>>, bool),
    /// What came so far, and how much it may come to.
    Zstd(Vec<u8>, usize),
}

/// Decoded text, and how much more there may be.
struct Text {
    text: Vec<u8>,
    left: usize,
    is_full: bool,
}

impl Text {
    /// Takes out what was decoded, or says why nothing more is.
    fn take(&mut self, pushed: std::io::Result<()>) -> Result<Vec<u8>, DecodeFault> {
        match (self.is_full, pushed) {
            (true, _) => Err(DecodeFault::TooLarge),
            (false, Err(_)) => Err(DecodeFault::Corrupt),
            (false, Ok(())) => Ok(std::mem::take(&mut self.text)),
        }
    }
}

impl Write for Text {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(left) = self.left.checked_sub(bytes.len()) else {
            self.is_full = true;
            return Err(std::io::ErrorKind::StorageFull.into());
        };
        self.left = left;
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Decoder {
    /// A decoder for `coding`, giving out at most `limit` bytes in all; `None` for codings that are not decoded.
    pub(crate) fn new(coding: Coding, limit: usize) -> Option<Decoder> {
        let text = Text { text: Vec::new(), left: limit, is_full: false };
        Some(Decoder(match coding {
            Coding::Gzip => Machine::Gzip(Box::new(flate2::write::MultiGzDecoder::new(text))),
            Coding::Deflate => Machine::Deflate(Box::new(flate2::write::ZlibDecoder::new(text))),
            Coding::Brotli => {
                Machine::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(text, 4096)), false)
            }
            Coding::Zstd => Machine::Zstd(Vec::new(), limit),
            Coding::Identity | Coding::Other => return None,
        }))
    }

    /// Decodes `wire` and returns the text it gave. Once it fails it is of no more use: metering and looking then end, the
    /// stream does not.
    pub(crate) fn push(&mut self, wire: &[u8]) -> Result<Vec<u8>, DecodeFault> {
        match &mut self.0 {
            Machine::Gzip(decoder) => {
                let pushed = decoder.write_all(wire).and_then(|()| decoder.flush());
                decoder.get_mut().take(pushed)
            }
            Machine::Deflate(decoder) => {
                let pushed = decoder.write_all(wire).and_then(|()| decoder.flush());
                decoder.get_mut().take(pushed)
            }
            Machine::Brotli(decoder, begun) => {
                if !std::mem::replace(begun, *begun || !wire.is_empty()) && has_large_window(wire) {
                    return Err(DecodeFault::Corrupt);
                }
                let pushed = decoder.write_all(wire).and_then(|()| decoder.flush());
                decoder.get_mut().take(pushed)
            }
            Machine::Zstd(held, _) if held.len() + wire.len() > ZSTD_WIRE_MAX => Err(DecodeFault::TooLarge),
            Machine::Zstd(held, _) => {
                held.extend_from_slice(wire);
                Ok(Vec::new())
            }
        }
    }

    /// The end of the stream: the text that had not been given out.
    pub(crate) fn finish(self) -> Result<Vec<u8>, DecodeFault> {
        match self.0 {
            Machine::Zstd(held, limit) if !held.is_empty() => decode_body(b"zstd", &held, limit),
            Machine::Gzip(_) | Machine::Deflate(_) | Machine::Brotli(..) | Machine::Zstd(..) => {
                Ok(Vec::new())
            }
        }
    }
}

impl crate::guard::Decode for Decoder {
    fn push(&mut self, wire: &[u8]) -> Result<Vec<u8>, Gap> {
        Decoder::push(self, wire).map_err(gap)
    }

    fn finish(self: Box<Self>) -> Result<Vec<u8>, Gap> {
        Decoder::finish(*self).map_err(gap)
    }
}

fn gap(fault: DecodeFault) -> Gap {
    match fault {
        DecodeFault::TooLarge => Gap::ExpansionCap,
        DecodeFault::Unknown | DecodeFault::Corrupt => Gap::Undecodable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn bodies_are_decoded_up_to_the_limit_and_not_past_it() {
        let text = vec![b'a'; 1000];
        let wire = gzip(&text);
        assert_eq!(decode_body(b"gzip", &wire, 1000), Ok(text));
        assert_eq!(decode_body(b"GZIP ", &wire, 999), Err(DecodeFault::TooLarge));
        assert_eq!(decode_body(b"gzip", b"no gzip", 999), Err(DecodeFault::Corrupt));
        assert_eq!(decode_body(b"gzip, br", &wire, 1000), Err(DecodeFault::Unknown));
    }

    #[test]
    fn a_bomb_costs_no_more_than_the_limit() {
        let bomb = gzip(&vec![0; 64 * 1024 * 1024]);
        assert_eq!(decode_body(b"gzip", &bomb, 1024), Err(DecodeFault::TooLarge));
        let mut decoder = Decoder::new(Coding::Gzip, 1024).unwrap();
        let fault = bomb.chunks(512).find_map(|chunk| decoder.push(chunk).err());
        assert_eq!(fault, Some(DecodeFault::TooLarge));
    }

    /// A frame in zstd of one block, with `window` in its descriptor, that says `bytes` times `a`.
    fn zstd_frame(window: u8, bytes: u32) -> Vec<u8> {
        let block = (bytes << 3 | 0b011).to_le_bytes();
        [&[0x28, 0xB5, 0x2F, 0xFD, 0, window], &block[..3], b"a"].concat()
    }

    #[test]
    fn a_window_in_zstd_has_a_limit_for_the_decoder_holds_it_back() {
        let decoded = |window, limit| decode_body(b"zstd", &zstd_frame(window, 3), limit);
        // 8 and 9 MiB, and 3.75 TiB.
        assert_eq!(decoded(13 << 3, 100), Ok(b"aaa".to_vec()));
        assert_eq!(decoded(13 << 3 | 1, 100), Err(DecodeFault::TooLarge));
        assert_eq!(decoded(13 << 3 | 1, 9 * 1024 * 1024), Ok(b"aaa".to_vec()));
        assert_eq!(decoded(0xFF, 100), Err(DecodeFault::TooLarge));
        // A frame without a window has its text's size: 8 MiB and one byte more.
        let single = |size: u32| {
            let block = (3_u32 << 3 | 0b011).to_le_bytes();
            let size = size.to_le_bytes();
            let wire = [&[0x28, 0xB5, 0x2F, 0xFD, 0xA0], &size[..], &block[..3], b"a"].concat();
            decode_body(b"zstd", &wire, 100)
        };
        assert_ne!(single(8 * 1024 * 1024), Err(DecodeFault::TooLarge));
        assert_eq!(single(8 * 1024 * 1024 + 1), Err(DecodeFault::TooLarge));
        assert_eq!(decode_body(b"zstd", b"", 100), Err(DecodeFault::Corrupt));
    }

    #[test]
    fn all_frames_of_a_body_in_zstd_are_decoded_and_those_to_be_skipped_skipped() {
        let skipped = [&[0x5A, 0x2A, 0x4D, 0x18, 2, 0, 0, 0], &b"xy"[..]].concat();
        let wire = [zstd_frame(0, 3), skipped.clone(), zstd_frame(0, 2)].concat();
        assert_eq!(decode_body(b"zstd", &wire, 5), Ok(b"aaaaa".to_vec()));
        assert_eq!(decode_body(b"zstd", &wire, 4), Err(DecodeFault::TooLarge));
        let decoded = |wire: &[u8]| decode_body(b"zstd", wire, 10);
        assert_eq!(decoded(&skipped), Ok(Vec::new()));
        for bad in [&skipped[..9], &wire[..wire.len() - 1], &[&wire[..], b"more"].concat()] {
            assert_eq!(decoded(bad), Err(DecodeFault::Corrupt), "{bad:?}");
        }
        let empty = zstd_frame(0, 0);
        assert_eq!(decoded(&empty.repeat(ZSTD_FRAMES_MAX)), Ok(Vec::new()));
        assert_eq!(decoded(&empty.repeat(ZSTD_FRAMES_MAX + 1)), Err(DecodeFault::TooLarge));
    }

    #[test]
    fn brotli_has_no_window_beyond_its_format() {
        let (empty, large) = ([0x06], [0x11, 0xDE]);
        assert_eq!(decode_body(b"br", &empty, 9), Ok(Vec::new()));
        assert_eq!(decode_body(b"br", &large, 9), Err(DecodeFault::Corrupt));
        for (wire, decoded) in [(&empty[..], Ok(Vec::new())), (&large, Err(DecodeFault::Corrupt))] {
            let mut decoder = Decoder::new(Coding::Brotli, 9).unwrap();
            assert_eq!(decoder.push(b""), Ok(Vec::new()));
            assert_eq!(decoder.push(wire), decoded);
        }
    }

    #[test]
    fn a_stream_is_decoded_at_any_split() {
        let text: Vec<u8> = (0..2000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let wire = gzip(&text);
        let mut decoder = Decoder::new(Coding::Gzip, text.len()).unwrap();
        let decoded: Vec<u8> = wire.chunks(7).flat_map(|chunk| decoder.push(chunk).unwrap()).collect();
        assert_eq!(decoded, text);
    }

    #[test]
    fn zstd_is_decoded_at_its_end_within_its_limits() {
        let text = vec![b'a'; 1000];
        let wire = ruzstd::encoding::compress_to_vec(&text[..], ruzstd::encoding::CompressionLevel::Fastest);
        let decoded = |limit: usize| {
            let mut decoder = Decoder::new(Coding::Zstd, limit).unwrap();
            wire.chunks(7).for_each(|chunk| assert_eq!(decoder.push(chunk), Ok(Vec::new())));
            decoder.finish()
        };
        assert_eq!(decoded(1000), Ok(text));
        assert_eq!(decoded(999), Err(DecodeFault::TooLarge));
        let mut decoder = Decoder::new(Coding::Zstd, 1000).unwrap();
        assert_eq!(decoder.push(&vec![0; ZSTD_WIRE_MAX]), Ok(Vec::new()));
        assert_eq!(decoder.push(&[0]), Err(DecodeFault::TooLarge));
    }
}
