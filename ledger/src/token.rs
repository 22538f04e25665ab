//! The text form of virtual keys and admin tokens: `nrw_<public id>_<secret><checksum>`.
//!
//! A prefix lets secret scanners recognise a leaked key, the public id finds the entry without a search over
//! hashes, and the checksum tells a typing error from a key that was never issued.

use sha2::{Digest, Sha256};
use std::fmt;

/// Characters of the public id (71 bits; enough that ids never collide, and short enough to read out).
pub const PUBLIC_ID_LEN: usize = 12;
/// Characters of the secret: 32 × log2(62) = 190.5 bits.
pub const SECRET_LEN: usize = 32;
/// Characters of the checksum: the CRC-32 of everything before it, as six base62 digits.
pub const CHECKSUM_LEN: usize = 6;
/// How every virtual key starts. No value that starts with it may leave for a provider.
pub const KEY_PREFIX: &str = "nrw_";
/// How every admin token starts.
pub const ADMIN_PREFIX: &str = "nra_";
/// Length of a whole key or token in bytes.
pub const TOKEN_LEN: usize = PREFIX_LEN + PUBLIC_ID_LEN + 1 + SECRET_LEN + CHECKSUM_LEN;

const PREFIX_LEN: usize = 4;
const ID_END: usize = PREFIX_LEN + PUBLIC_ID_LEN;
const SECRET_START: usize = ID_END + 1;
const SECRET_END: usize = SECRET_START + SECRET_LEN;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of a secret, the only thing that is stored.
///
/// A plain hash is right here: the secret is 190 random bits, so there is nothing to guess and a slow password
/// hash would only cost every request its time.
pub(crate) type SecretHash = [u8; 32];

/// What a token opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// A virtual key (`nrw_…`): model calls.
    VirtualKey,
    /// An admin token (`nra_…`): the administration API.
    Admin,
}

impl TokenKind {
    fn prefix(self) -> &'static str {
        match self {
            TokenKind::VirtualKey => KEY_PREFIX,
            TokenKind::Admin => ADMIN_PREFIX,
        }
    }
}

/// A text that must not be seen: it neither prints nor serializes. [`Secret::expose`] is the only way in.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into custody, one that came from another gateway, say.
    pub fn new(text: impl Into<String>) -> Secret {
        Secret(text.into())
    }

    /// The text itself, to be shown to its owner once and to nobody else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(hidden)")
    }
}

/// Why a text cannot be a key of this gateway, whatever the store holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It does not start with a prefix of ours.
    #[error("not a Narrows key: it does not start with {KEY_PREFIX} or {ADMIN_PREFIX}")]
    Prefix,
    /// Wrong length, or characters outside base62.
    #[error(
        "not a whole key: a key has {TOKEN_LEN} letters, digits and underscores; was it cut when copied?"
    )]
    Shape,
    /// The checksum does not fit: a character was mistyped.
    #[error("the key's checksum does not fit: a character was mistyped")]
    Checksum,
}

/// The public id of a key or token: base62, safe to log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PublicId(pub(crate) [u8; PUBLIC_ID_LEN]);

impl PublicId {
    /// The id in `text`, if it is twelve bytes long.
    pub(crate) fn from_text(text: &str) -> Option<PublicId> {
        text.as_bytes().try_into().ok().map(PublicId)
    }
}

impl std::hash::Hash for PublicId {
    /// Eight of the twelve random characters are plenty to spread a table of keys.
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        state.write_u64(u64::from_le_bytes([a, b, c, d, e, f, g, h]));
    }
}

/// A key as somebody presented it: well formed, not yet known to be valid. Borrows, never allocates.
#[derive(Clone, Copy)]
pub struct PresentedKey<'a> {
    kind: TokenKind,
    text: &'a str,
    id: PublicId,
}

impl<'a> PresentedKey<'a> {
    /// Takes a text apart and checks its shape and checksum.
    ///
    /// # Errors
    /// [`Malformed`] says in which way the text cannot be a key.
    pub fn parse(text: &'a str) -> Result<PresentedKey<'a>, Malformed> {
        let kind = if text.starts_with(KEY_PREFIX) {
            TokenKind::VirtualKey
        } else if text.starts_with(ADMIN_PREFIX) {
            TokenKind::Admin
        } else {
            return Err(Malformed::Prefix);
        };
        let bytes: &[u8; TOKEN_LEN] = text.as_bytes().try_into().map_err(|_short| Malformed::Shape)?;
        let shaped = bytes
            .iter()
            .enumerate()
            .skip(PREFIX_LEN)
            .all(|(at, byte)| if at == ID_END { *byte == b'_' } else { byte.is_ascii_alphanumeric() });
        if !shaped {
            return Err(Malformed::Shape);
        }
        let (body, checksum) = bytes.split_at(SECRET_END);
        if checksum_of(body) != *checksum {
            return Err(Malformed::Checksum);
        }
        let id = text.get(PREFIX_LEN..ID_END).and_then(PublicId::from_text).ok_or(Malformed::Shape)?;
        Ok(PresentedKey { kind, text, id })
    }

    /// What the token opens.
    pub fn kind(&self) -> TokenKind {
        self.kind
    }

    /// The public id, safe to log.
    pub fn id(&self) -> &'a str {
        self.text.get(PREFIX_LEN..ID_END).unwrap_or_default()
    }

    pub(crate) fn public_id(&self) -> PublicId {
        self.id
    }

    pub(crate) fn secret_hash(&self) -> SecretHash {
        Sha256::digest(self.text.get(SECRET_START..SECRET_END).unwrap_or_default()).into()
    }
}

impl fmt::Debug for PresentedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PresentedKey")
            .field("kind", &self.kind)
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

/// A freshly drawn token: the whole text for its owner, the id and the hash for the store.
pub(crate) struct IssuedToken {
    pub(crate) id: String,
    pub(crate) text: Secret,
    pub(crate) hash: SecretHash,
}

/// Draws a new token. `id` keeps an existing public id (rotation); without it a new one is drawn.
pub(crate) fn issue(kind: TokenKind, id: Option<&str>) -> Result<IssuedToken, getrandom::Error> {
    let id = match id {
        Some(id) => id.to_owned(),
        None => random_base62(PUBLIC_ID_LEN)?,
    };
    let secret = random_base62(SECRET_LEN)?;
    let mut text = format!("{}{id}_{secret}", kind.prefix());
    let checksum = checksum_of(text.as_bytes());
    text.extend(checksum.iter().map(|byte| char::from(*byte)));
    Ok(IssuedToken { id, text: Secret(text), hash: Sha256::digest(&secret).into() })
}

/// Draws a public id for something that has no secret.
pub(crate) fn public_id() -> Result<String, getrandom::Error> {
    random_base62(PUBLIC_ID_LEN)
}

/// Random characters without bias: bytes at or above 4 × 62 are thrown away.
fn random_base62(len: usize) -> Result<String, getrandom::Error> {
    let mut text = String::with_capacity(len);
    let mut pool = [0_u8; 64];
    while text.len() < len {
        getrandom::fill(&mut pool)?;
        let fair =
            pool.iter().filter(|byte| **byte < 248).map(|byte| char::from(ALPHABET[usize::from(*byte) % 62]));
        text.extend(fair.take(len - text.len()));
    }
    Ok(text)
}

fn checksum_of(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(body);
    let mut digits = [b'0'; CHECKSUM_LEN];
    for digit in digits.iter_mut().rev() {
        *digit = ALPHABET[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_as_it_was_issued() {
        for kind in [TokenKind::VirtualKey, TokenKind::Admin] {
            let issued = issue(kind, None).unwrap();
            let text = issued.text.expose();
            assert_eq!(text.len(), TOKEN_LEN);
            let key = PresentedKey::parse(text).unwrap();
            assert_eq!((key.kind(), key.id()), (kind, issued.id.as_str()));
            assert_eq!(key.secret_hash(), issued.hash);
        }
    }

    #[test]
    fn every_single_typing_error_is_told_apart() {
        let issued = issue(TokenKind::VirtualKey, None).unwrap();
        let text = issued.text.expose();
        for at in PREFIX_LEN..TOKEN_LEN {
            if at == ID_END {
                continue;
            }
            let mut typo = text.as_bytes().to_vec();
            typo[at] = if typo[at] == b'x' { b'y' } else { b'x' };
            let typo = String::from_utf8(typo).unwrap();
            assert_eq!(PresentedKey::parse(&typo).unwrap_err(), Malformed::Checksum, "at {at}");
        }
    }

    #[test]
    fn shapes_that_are_not_keys_are_refused() {
        let issued = issue(TokenKind::VirtualKey, None).unwrap();
        let text = issued.text.expose();
        assert_eq!(PresentedKey::parse("sk-proj-1234").unwrap_err(), Malformed::Prefix);
        assert_eq!(PresentedKey::parse("").unwrap_err(), Malformed::Prefix);
        assert_eq!(PresentedKey::parse(&text[..TOKEN_LEN - 1]).unwrap_err(), Malformed::Shape);
        assert_eq!(PresentedKey::parse(&format!("{text}0")).unwrap_err(), Malformed::Shape);
        assert_eq!(PresentedKey::parse(&text.replace('_', "-")).unwrap_err(), Malformed::Prefix);
        let accent = format!("{}é", &text[..TOKEN_LEN - 2]);
        assert_eq!(PresentedKey::parse(&accent).unwrap_err(), Malformed::Shape);
    }

    #[test]
    fn the_checksum_is_the_known_one() {
        // CRC-32 of "123456789" is 0xCBF43926 (the check value of CRC-32/ISO-HDLC) = 3421780262.
        assert_eq!(&checksum_of(b"123456789"), b"3jZRME");
    }

    #[test]
    fn nothing_prints_the_secret() {
        let issued = issue(TokenKind::VirtualKey, None).unwrap();
        let text = issued.text.expose();
        let secret = &text[SECRET_START..SECRET_END];
        let shown = format!("{:?} {:?}", issued.text, PresentedKey::parse(text).unwrap());
        assert!(!shown.contains(secret) && shown.contains(&issued.id), "{shown}");
    }
}
