//! Content codings: whole bodies of requests, and copies of answers made for metering. Every decoder has a cap.

use crate::upstream::head::Coding;
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

/// Decodes a compressed stream beside the bytes that pass, so that it can be metered. The text is taken out after
/// every push, so what is held is one chunk's worth; the total is capped.
pub(crate) struct Decoder {
    machine: Machine,
    left: usize,
}

enum Machine {
    Gzip(Box<flate2::write::MultiGzDecoder<Vec<u8>>>),
    Deflate(Box<flate2::write::ZlibDecoder<Vec<u8>>>),
    Brotli(Box<brotli_decompressor::DecompressorWriter<Vec<u8>>>),
}

impl Decoder {
    /// A decoder for `coding`, giving out at most `limit` bytes in all; `None` for codings that are not decoded.
    pub(crate) fn new(coding: Coding, limit: usize) -> Option<Decoder> {
        let machine = match coding {
            Coding::Gzip => Machine::Gzip(Box::new(flate2::write::MultiGzDecoder::new(Vec::new()))),
            Coding::Deflate => Machine::Deflate(Box::new(flate2::write::ZlibDecoder::new(Vec::new()))),
            Coding::Brotli => {
                Machine::Brotli(Box::new(brotli_decompressor::DecompressorWriter::new(Vec::new(), 4096)))
            }
            Coding::Identity | Coding::Other => return None,
        };
        Some(Decoder { machine, left: limit })
    }

    /// Decodes `wire` and returns the text it gave. `None` once the bytes are corrupt or the cap is reached:
    /// metering then ends, the stream does not.
    pub(crate) fn push(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        let text = match &mut self.machine {
            Machine::Gzip(decoder) => {
                decoder.write_all(wire).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
            Machine::Deflate(decoder) => {
                decoder.write_all(wire).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
            Machine::Brotli(decoder) => {
                decoder.write_all(wire).and_then(|()| decoder.flush()).map(|()| decoder.get_mut())
            }
        };
        let text = std::mem::take(text.ok()?);
        self.left = self.left.checked_sub(text.len())?;
        Some(text)
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
        assert!(bomb.chunks(512).any(|chunk| decoder.push(chunk).is_none()));
    }

    #[test]
    fn a_stream_is_decoded_at_any_split() {
        let text: Vec<u8> = (0..2000u32).flat_map(|n| n.to_string().into_bytes()).collect();
        let wire = gzip(&text);
        let mut decoder = Decoder::new(Coding::Gzip, text.len()).unwrap();
        let decoded: Vec<u8> = wire.chunks(7).flat_map(|chunk| decoder.push(chunk).unwrap()).collect();
        assert_eq!(decoded, text);
    }
}
