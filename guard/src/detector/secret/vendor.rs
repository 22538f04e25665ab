//! Checks that one vendor's tokens have.

use super::base64::decode;
use super::placeholder;

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
    fn the_first_part_is_a_snowflake() {
        // 80351110224678912, the example of Discord's reference.
        assert!(discord_token(b"ODAzNTExMTAyMjQ2Nzg5MTI.Gx3kQz.w9Tq2LpVb7sXnR4yKdHf8JmZc1"));
        assert!(!discord_token(b"q7Zp0WxkV3tGmJd9LfRb2sYh.Gx3kQz.w9Tq2LpVb7sXnR4yKdHf8JmZc1"));
    }
}
