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
        b"br" => capped(brotli_decompressor::Decompressor::new(wire, 4096), limit),
        b"zstd" => {
            let decoder =
                ruzstd::decoding::StreamingDecoder::new(wire).map_err(|_error| DecodeFault::Corrupt)?;
            capped(decoder, limit)
        }
        _ => Err(DecodeFault::Unknown),
    }
}

/// Decodes a whole answer, to at most `limit` bytes.
pub(crate) fn decode_answer(coding: Coding, wire: &[u8], limit: usize) -> Result<Vec<u8>, DecodeFault> {
    let name: &[u8] = match coding {
        Coding::Gzip => b"gzip",
        Coding::Deflate => b"deflate",
        Coding::Brotli => b"br",
        Coding::Zstd => b"zstd",
        Coding::Identity | Coding::Other => return Err(DecodeFault::Unknown),
    };
    decode_body(name, wire, limit)
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
    Brotli(Box<brotli_decompressor::DecompressorWriter<Text>>),
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
                Machine::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(text, 4096)))
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
            Machine::Brotli(decoder) => {
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
            Machine::Gzip(_) | Machine::Deflate(_) | Machine::Brotli(_) | Machine::Zstd(..) => Ok(Vec::new()),
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
