//! Checks that one vendor's tokens have.

use super::base64::decode;
use super::{placeholder, randomness};

/// An AWS key identifier: 20 characters, none of them a placeholder. The 16 after the kind are Base32, but published
/// examples use all letters and digits, so the alphabet is not held against them.
pub(super) fn aws_key_id(value: &[u8]) -> bool {
    value.len() == 20 && value[4..].iter().any(u8::is_ascii_alphabetic) && !placeholder::is_placeholder(value)
}

/// A Discord token: the first part is Base64 of a snowflake, which is a number of 17 to 20 digits
/// (discord.com/developers, reference, snowflakes).
pub(super) fn discord_token(value: &[u8]) -> bool {
    let Some(end) = memchr::memchr(b'.', value) else { return false };
    decode(&value[..end]).is_some_and(|id| (15..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit))
        && !placeholder::is_placeholder(&value[end..])
}

/// A token of GitHub or npm. One with the right checksum is a token, whatever words it seems to hold; with a wrong one it
/// must look like one, for what documentation, tests and tools make up has no checksum.
pub(super) fn checksummed_token(value: &[u8]) -> bool {
    has_crc(value) || randomness::token(value)
}

/// Characters of the checksum.
const CRC_CHARS: usize = 6;

/// Digits of base 62.
const BASE_62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Whether a token ends with the CRC-32 of what stands between its prefix and that, in base 62 (github.blog, "Behind
/// GitHub's new authentication token formats", 2021-04-05; npm's tokens are made the same way, 2021-09-23).
fn has_crc(value: &[u8]) -> bool {
    let Some(prefix) = memchr::memrchr(b'_', value) else { return false };
    let payload = value.get(prefix + 1..).unwrap_or_default();
    let Some(end) = payload.len().checked_sub(CRC_CHARS).filter(|end| *end > 0) else { return false };
    let (random, sum) = payload.split_at(end);
    let digit =
        |byte: &u8| BASE_62.iter().position(|known| known == byte).and_then(|at| u64::try_from(at).ok());
    // Six digits of base 62 are less than 2^36.
    let sum = sum.iter().try_fold(0u64, |sum, byte| Some(sum * 62 + digit(byte)?));
    sum == Some(u64::from(crc32(random)))
}

/// CRC-32 as in zip and Ethernet (reflected polynomial 0xEDB88320).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0xEDB8_8320 & 0u32.wrapping_sub(crc & 1)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_of_the_documentation_are_no_keys() {
        assert!(!aws_key_id(b"AKIAIOSFODNN7EXAMPLE"));
        assert!(aws_key_id(concat!("AKIA", "Q3EG7ZRHN5WTC2LM").as_bytes()));
        assert!(!aws_key_id(concat!("AKIA", "0000000000000000").as_bytes()));
    }

    #[test]
    fn a_checksum_proves_a_token_and_its_absence_proves_nothing() {
        assert_eq!(crc32(b"123456789"), 0xCBF4_3926, "the check value of the algorithm");
        let sum = |random: &str| {
            let crc = crc32(random.as_bytes());
            let digit = |place: u32| {
                let at = usize::try_from(u64::from(crc) / 62u64.pow(place) % 62).unwrap();
                char::from(BASE_62[at])
            };
            (0..6).rev().map(digit).collect::<String>()
        };
        // A revoked token that was published to show the format.
        assert_eq!(sum(concat!("zQWBuTSOoRi4A9spHc", "VY5ncnsDkxkJ")), "0mLq17");
        let random = concat!("aaaaaaaaaaaaaaa", "aaaaaaaaexample");
        for prefix in ["gh", "np"] {
            let prefix = if prefix == "gh" { "ghp_" } else { "npm_" };
            let token = format!("{prefix}{random}{}", sum(random));
            assert!(has_crc(token.as_bytes()) && checksummed_token(token.as_bytes()), "{token}");
            let wrong = format!("{prefix}{random}0mLq17");
            assert!(!has_crc(wrong.as_bytes()) && !checksummed_token(wrong.as_bytes()), "{wrong}");
            let made_up = format!("{prefix}{}", concat!("q7Zp0WxkV3tGmJd9LfRb", "2sYhGx3kQzw9Tq2L"));
            assert!(!has_crc(made_up.as_bytes()) && checksummed_token(made_up.as_bytes()));
        }
        for edge in ["", "_", "ghp_", "ghp_000000", "ghp_0000000", "ghp_a-b-c-d-e"] {
            assert!(!has_crc(edge.as_bytes()), "{edge}");
        }
    }

    #[test]
    fn the_first_part_is_a_snowflake() {
        // 80351110224678912, the example of Discord's reference.
        assert!(discord_token(b"ODAzNTExMTAyMjQ2Nzg5MTI.Gx3kQz.w9Tq2LpVb7sXnR4yKdHf8JmZc1"));
        assert!(!discord_token(b"q7Zp0WxkV3tGmJd9LfRb2sYh.Gx3kQz.w9Tq2LpVb7sXnR4yKdHf8JmZc1"));
    }
}
