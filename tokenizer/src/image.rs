//! What a picture in a prompt costs: its size from its first bytes, and the vendors' formulas.
//!
//! Formulas as the vendors describe them (platform.openai.com/docs/guides/images-vision, docs.anthropic.com vision,
//! ai.google.dev/gemini-api/docs/tokens; as known in 2026-11). They are not always right to the token, and what a
//! provider reports replaces them.

use crate::estimate::{IMAGE_TOKENS, Vocabulary};

/// Characters of base64 in which a picture's size is looked for, in bytes. It stands in the first thirty bytes of a PNG, a
/// GIF and a WebP; in a JPEG behind what cameras and programs wrote, and behind much of that it is not found.
pub const LOOK_BYTES: usize = 16 << 10;

/// Width and height, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Pixels from left to right.
    pub width: u32,
    /// Pixels from top to bottom.
    pub height: u32,
}

/// The size of a picture in base64 (either alphabet), with or without the head of a `data:` URL. `None` if it is no PNG,
/// JPEG, WebP or GIF, or does not tell within [`LOOK_BYTES`].
pub fn size_of_base64(text: &[u8]) -> Option<Size> {
    let head = text.get(..128).unwrap_or(text);
    let mark = b";base64,";
    let at = head.windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark));
    let encoded = text.get(at.map_or(0, |at| at + mark.len())..)?;
    let first = decode(encoded.get(..44).unwrap_or(encoded));
    if first.starts_with(&[0xFF, 0xD8]) {
        return jpeg(&decode(encoded.get(..LOOK_BYTES).unwrap_or(encoded)));
    }
    size(&first)
}

/// The size of a picture by its first bytes: thirty of a PNG, a GIF or a WebP, of a JPEG as many as it takes.
pub fn size(bytes: &[u8]) -> Option<Size> {
    match bytes {
        [0x89, b'P', b'N', b'G', 0x0D, 0x0A, 0x1A, 0x0A, _, _, _, _, b'I', b'H', b'D', b'R', rest @ ..] => {
            let (width, rest) = rest.split_first_chunk()?;
            let height = rest.first_chunk()?;
            Some(Size { width: u32::from_be_bytes(*width), height: u32::from_be_bytes(*height) })
        }
        [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', w0, w1, h0, h1, ..] => {
            Some(Size { width: little(&[*w0, *w1]), height: little(&[*h0, *h1]) })
        }
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', rest @ ..] => webp(rest),
        [0xFF, 0xD8, ..] => jpeg(bytes),
        _ => None,
    }
}

fn little(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

/// A WebP's first chunk: lossy (RFC 6386, section 9.1), lossless, or extended (RFC 9649).
fn webp(chunk: &[u8]) -> Option<Size> {
    let (name, rest) = chunk.split_first_chunk::<4>()?;
    let body = rest.get(4..)?;
    match name {
        b"VP8 " => match body {
            [_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] => {
                Some(Size { width: little(&[*w0, *w1]) & 0x3FFF, height: little(&[*h0, *h1]) & 0x3FFF })
            }
            _ => None,
        },
        b"VP8L" => match body {
            [0x2F, bits @ ..] => {
                let bits = little(bits.get(..4)?);
                Some(Size { width: (bits & 0x3FFF) + 1, height: (bits >> 14 & 0x3FFF) + 1 })
            }
            _ => None,
        },
        b"VP8X" => Some(Size { width: little(body.get(4..7)?) + 1, height: little(body.get(7..10)?) + 1 }),
        _ => None,
    }
}

/// A JPEG's size stands in its frame header (ITU T.81, B.2.2), behind any number of other segments.
fn jpeg(bytes: &[u8]) -> Option<Size> {
    let mut rest = bytes.get(2..)?;
    loop {
        let [0xFF, kind, body @ ..] = rest else { return None };
        match kind {
            // Fill bytes, and markers without a body.
            0xFF => rest = rest.get(1..)?,
            0x01 | 0xD0..=0xD8 => rest = body,
            0xC0..=0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                let [_, _, _, h0, h1, w0, w1, ..] = body else { return None };
                return Some(Size {
                    width: u32::from(u16::from_be_bytes([*w0, *w1])),
                    height: u32::from(u16::from_be_bytes([*h0, *h1])),
                });
            }
            _ => {
                let length = usize::from(u16::from_be_bytes(*body.first_chunk()?));
                rest = body.get(length.max(2)..)?;
            }
        }
    }
}

/// Base64 of either alphabet, up to the first character that is none.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut bits, mut held) = (0u32, 0u32);
    for byte in text {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => break,
        };
        (bits, held) = (bits << 6 | u32::from(value), held + 6);
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xFF).unwrap_or(0));
        }
    }
    bytes
}

/// Tokens of a picture in a prompt to `model`, at the detail that is usual.
pub fn image_tokens(size: Size, model: &str) -> u64 {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    if width == 0 || height == 0 {
        return IMAGE_TOKENS;
    }
    match Vocabulary::of_model(model) {
        Vocabulary::Anthropic => {
            let (width, height) = within(width, height, 1568);
            (width * height).div_ceil(750)
        }
        Vocabulary::Gemini if width <= 384 && height <= 384 => 258,
        Vocabulary::Gemini => width.div_ceil(768).saturating_mul(height.div_ceil(768)).saturating_mul(258),
        _ => match openai(model) {
            Openai::Tiles { base, tile } => {
                let (width, height) = within(width, height, 2048);
                let (width, height) =
                    if width.min(height) > 768 { short(width, height, 768) } else { (width, height) };
                base + tile * width.div_ceil(512) * height.div_ceil(512)
            }
            Openai::Patches { per_mille } => {
                let patches = width.div_ceil(32).saturating_mul(height.div_ceil(32)).min(1536);
                (patches * per_mille).div_ceil(1000)
            }
        },
    }
}

/// Scaled down so that the longer side is at most so long.
fn within(width: u64, height: u64, side: u64) -> (u64, u64) {
    let long = width.max(height);
    if long <= side { (width, height) } else { (scaled(width, side, long), scaled(height, side, long)) }
}

/// Scaled so that the shorter side is so long.
fn short(width: u64, height: u64, side: u64) -> (u64, u64) {
    let short = width.min(height);
    (scaled(width, side, short), scaled(height, side, short))
}

fn scaled(length: u64, to: u64, from: u64) -> u64 {
    (length * to / from.max(1)).max(1)
}

/// How a model of OpenAI counts pictures.
enum Openai {
    /// So many tokens, and so many for each tile of 512 pixels.
    Tiles { base: u64, tile: u64 },
    /// So many thousandths of a token for each patch of 32 pixels.
    Patches { per_mille: u64 },
}

fn openai(model: &str) -> Openai {
    const ROWS: &[(&str, Openai)] = &[
        ("gpt-4.1-mini", Openai::Patches { per_mille: 1620 }),
        ("gpt-5-mini", Openai::Patches { per_mille: 1620 }),
        ("gpt-4.1-nano", Openai::Patches { per_mille: 2460 }),
        ("gpt-5-nano", Openai::Patches { per_mille: 2460 }),
        ("o4-mini", Openai::Patches { per_mille: 1720 }),
        ("gpt-4o-mini", Openai::Tiles { base: 2833, tile: 5667 }),
        ("gpt-5", Openai::Tiles { base: 70, tile: 140 }),
        ("o1", Openai::Tiles { base: 75, tile: 150 }),
        ("o3", Openai::Tiles { base: 75, tile: 150 }),
    ];
    let name = model.rsplit('/').next().unwrap_or(model);
    let row = ROWS
        .iter()
        .find(|row| name.get(..row.0.len()).is_some_and(|start| start.eq_ignore_ascii_case(row.0)));
    match row {
        Some((_, Openai::Tiles { base, tile })) => Openai::Tiles { base: *base, tile: *tile },
        Some((_, Openai::Patches { per_mille })) => Openai::Patches { per_mille: *per_mille },
        None => Openai::Tiles { base: 85, tile: 170 },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x04\0\0\0\x03\0\x08\x02\0\0\0";

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for chunk in bytes.chunks(3) {
            let word =
                (0..3).fold(0u32, |word, at| word << 8 | u32::from(chunk.get(at).copied().unwrap_or(0)));
            let digits = (0..=chunk.len()).map(|at| word >> (18 - 6 * at) & 63);
            text.extend(digits.map(|digit| char::from(ALPHABET[digit as usize])));
        }
        text
    }

    fn is(width: u32, height: u32) -> Option<Size> {
        Some(Size { width, height })
    }

    #[test]
    fn sizes_are_read_from_the_first_bytes() {
        assert_eq!(size(PNG), is(1024, 768));
        assert_eq!(size(b"GIF89a\x40\x01\xf0\0\xf7\0\0"), is(320, 240));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x20\x03\x58\x02"), is(800, 600));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x1f\xc3\x95\0"), is(800, 600));
        assert_eq!(size(b"RIFF\0\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0\x1f\x03\0\x57\x02\0"), is(800, 600));
        let jpeg = b"\xff\xd8\xff\xe0\0\x04ab\xff\xff\xc2\0\x0b\x08\x02\x58\x03\x20\x01";
        assert_eq!(size(jpeg), is(800, 600));
        assert_eq!(size(b"%PDF-1.7"), None);
        assert_eq!(size(b""), None);
    }

    #[test]
    fn base64_is_read_with_and_without_its_head_and_up_to_the_limit() {
        let png = base64(PNG);
        for text in
            [png.clone(), format!("data:image/png;base64,{png}AAAA"), format!("DATA:image/png;BASE64,{png}")]
        {
            assert_eq!(size_of_base64(text.as_bytes()), is(1024, 768), "{text}");
        }
        let jpeg = |before: usize| {
            let mut bytes = b"\xff\xd8".to_vec();
            let segment = u16::try_from(before - 4).unwrap();
            bytes.extend([0xff, 0xe1]);
            bytes.extend((segment + 2).to_be_bytes());
            bytes.extend(vec![0; usize::from(segment)]);
            bytes.extend(b"\xff\xc0\0\x0b\x08\x02\x58\x03\x20\x01\0\0\0");
            base64(&bytes)
        };
        let most = LOOK_BYTES / 4 * 3 - 2 - 9;
        assert_eq!(size_of_base64(jpeg(most).as_bytes()), is(800, 600));
        assert_eq!(size_of_base64(jpeg(most + 1).as_bytes()), None);
    }

    #[test]
    fn vendors_count_each_in_their_way() {
        let square = Size { width: 1024, height: 1024 };
        for (model, tokens) in [
            ("gpt-4o", 85 + 4 * 170),
            ("gpt-4o-mini", 2833 + 4 * 5667),
            ("openai/gpt-5", 70 + 4 * 140),
            ("o3", 75 + 4 * 150),
            ("gpt-5-mini", (1024 * 1620u64).div_ceil(1000)),
            ("claude-sonnet-4-5", (1024 * 1024u64).div_ceil(750)),
            ("gemini-2.5-flash", 4 * 258),
        ] {
            assert_eq!(image_tokens(square, model), tokens, "{model}");
        }
        assert_eq!(image_tokens(Size { width: 384, height: 100 }, "gemini-2.5-flash"), 258);
        assert_eq!(image_tokens(Size { width: 512, height: 512 }, "gpt-4o"), 85 + 170);
        // 4096 by 2048 becomes 2048 by 1024 and then 1536 by 768: three tiles by two.
        assert_eq!(image_tokens(Size { width: 4096, height: 2048 }, "gpt-4o"), 85 + 6 * 170);
        assert_eq!(image_tokens(Size { width: 0, height: 9 }, "gpt-4o"), IMAGE_TOKENS);
    }

    proptest! {
        #[test]
        fn any_bytes_and_sizes_are_taken(bytes in prop::collection::vec(any::<u8>(), 0..200), width: u32, height: u32) {
            let _ = (size(&bytes), size_of_base64(&bytes), size_of_base64(base64(&bytes).as_bytes()));
            let _ = size(&[b"\xff\xd8", bytes.as_slice()].concat());
            for model in ["gpt-4o", "gpt-4.1-nano", "claude", "gemini"] {
                let tokens = image_tokens(Size { width, height }, model);
                prop_assert!(tokens > 0);
            }
        }
    }
}
