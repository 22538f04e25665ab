//! Sealing: each value with a key of its own (AES-256-GCM), that key wrapped by the master key. Organization and name
//! are bound to both, so that no row of the store can take the place of another.

use crate::config::Secret;
use narrows_ledger::{KeyWrap, SealedCredential};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::signature::Ed25519KeyPair;
use sha2::{Digest, Sha256};

/// Bytes of a key.
const KEY_LEN: usize = 32;
/// Bytes of the mark that tells master keys apart.
const MARK_LEN: usize = 8;

/// Why sealing or opening failed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum SealFault {
    /// The text is no master key.
    #[error("the master key is not 64 hexadecimal digits; `narrows credentials master-key` makes one")]
    NotAKey,
    /// The value was sealed with another master key.
    #[error(
        "the credential `{name}` is sealed with the master key {found} and the one given is {given}; give that one, or \
         bring it over with `narrows credentials rewrap`"
    )]
    OtherKey { name: String, found: String, given: String },
    /// What is stored was changed.
    #[error(
        "the stored credential `{name}` does not open: the store was changed by somebody else; set it again"
    )]
    Damaged { name: String },
    /// The operating system gave no randomness.
    #[error("the operating system gives no random bytes")]
    Random,
}

/// The key that wraps the keys of credentials and of content.
pub(crate) struct MasterKey {
    key: LessSafeKey,
    mark: String,
    /// What exports of content are signed with: follows from the key, and says nothing about it.
    signing_seed: [u8; KEY_LEN],
}

impl MasterKey {
    /// Reads 64 hexadecimal digits.
    pub(crate) fn parse(text: &Secret) -> Result<MasterKey, SealFault> {
        let digits = text.reveal().trim().as_bytes();
        if digits.len() != KEY_LEN * 2 {
            return Err(SealFault::NotAKey);
        }
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let mut bytes = [0_u8; KEY_LEN];
        let (pairs, _) = digits.as_chunks::<2>();
        for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
            *byte =
                digit(*high).zip(digit(*low)).map(|(high, low)| high << 4 | low).ok_or(SealFault::NotAKey)?;
        }
        let mark = Sha256::new().chain_update(b"narrows master key\0").chain_update(bytes).finalize();
        let mark = mark.iter().take(MARK_LEN).map(|byte| format!("{byte:02x}")).collect();
        let signing_seed =
            Sha256::new().chain_update(b"narrows content exports 1\0").chain_update(bytes).finalize();
        Ok(MasterKey { key: key(&bytes)?, mark, signing_seed: signing_seed.into() })
    }

    /// What signs exports of content (Ed25519, RFC 8032).
    pub(crate) fn signer(&self) -> Result<Ed25519KeyPair, SealFault> {
        Ed25519KeyPair::from_seed_unchecked(&self.signing_seed).map_err(|_seed| SealFault::NotAKey)
    }

    /// A new one, as 64 hexadecimal digits.
    pub(crate) fn generate() -> Result<Secret, SealFault> {
        Ok(Secret::new(random::<KEY_LEN>()?.iter().map(|byte| format!("{byte:02x}")).collect::<String>()))
    }

    /// What tells it from other master keys; says nothing about it.
    pub(crate) fn mark(&self) -> &str {
        &self.mark
    }

    /// Seals a value.
    pub(crate) fn seal(
        &self,
        organization: &str,
        name: &str,
        value: &Secret,
    ) -> Result<SealedCredential, SealFault> {
        let data_key = random::<KEY_LEN>()?;
        Ok(SealedCredential {
            organization: organization.to_owned(),
            name: name.to_owned(),
            master: self.mark.clone(),
            wrapped_key: close(&self.key, &bound("key", organization, name), &data_key)?,
            sealed: close(&key(&data_key)?, &bound("value", organization, name), value.reveal().as_bytes())?,
            changed_at_us: 0,
        })
    }

    /// Opens a value.
    pub(crate) fn open(&self, sealed: &SealedCredential) -> Result<Secret, SealFault> {
        let data_key = self.data_key(sealed)?;
        let bytes =
            open(&key(&data_key)?, &bound("value", &sealed.organization, &sealed.name), &sealed.sealed);
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        text.map(Secret::new).ok_or_else(|| SealFault::Damaged { name: sealed.name.clone() })
    }

    /// The same value, its key wrapped by `new`. The value itself is not opened.
    pub(crate) fn rewrap(
        &self,
        new: &MasterKey,
        sealed: &SealedCredential,
    ) -> Result<SealedCredential, SealFault> {
        let data_key = self.data_key(sealed)?;
        let bound = bound("key", &sealed.organization, &sealed.name);
        let wrapped_key = close(&new.key, &bound, &data_key)?;
        Ok(SealedCredential { master: new.mark.clone(), wrapped_key, ..sealed.clone() })
    }

    fn data_key(&self, sealed: &SealedCredential) -> Result<[u8; KEY_LEN], SealFault> {
        if sealed.master != self.mark {
            return Err(SealFault::OtherKey {
                name: sealed.name.clone(),
                found: sealed.master.clone(),
                given: self.mark.clone(),
            });
        }
        let bound = bound("key", &sealed.organization, &sealed.name);
        open(&self.key, &bound, &sealed.wrapped_key)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| SealFault::Damaged { name: sealed.name.clone() })
    }
}

/// The ledger's keys of content. A random nonce is safe: one is wrapped for each person and day.
impl KeyWrap for MasterKey {
    fn mark(&self) -> &str {
        MasterKey::mark(self)
    }

    fn wrap(&self, bound: &[u8], key: &[u8; KEY_LEN]) -> Result<Vec<u8>, String> {
        close(&self.key, bound, key).map_err(|fault| fault.to_string())
    }

    fn unwrap(&self, bound: &[u8], wrapped: &[u8]) -> Result<[u8; KEY_LEN], String> {
        let key = open(&self.key, bound, wrapped).and_then(|bytes| bytes.try_into().ok());
        key.ok_or_else(|| {
            "a stored key of content does not open: the store was changed by somebody else".to_owned()
        })
    }
}

fn key(bytes: &[u8; KEY_LEN]) -> Result<LessSafeKey, SealFault> {
    let key = UnboundKey::new(&AES_256_GCM, bytes).map_err(|_length| SealFault::NotAKey)?;
    Ok(LessSafeKey::new(key))
}

fn random<const LEN: usize>() -> Result<[u8; LEN], SealFault> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|_none| SealFault::Random)?;
    Ok(bytes)
}

/// What is authenticated beside the bytes; lengths keep the parts apart.
fn bound(what: &str, organization: &str, name: &str) -> Vec<u8> {
    format!("narrows credential 1 {what} {} {organization} {} {name}", organization.len(), name.len())
        .into_bytes()
}

/// Nonce, ciphertext and tag. A random nonce is safe here: a data key seals once, and a master key wraps few.
fn close(key: &LessSafeKey, bound: &[u8], bytes: &[u8]) -> Result<Vec<u8>, SealFault> {
    let nonce = random::<NONCE_LEN>()?;
    let mut sealed = bytes.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(bound), &mut sealed)
        .map_err(|_length| SealFault::Random)?;
    Ok([&nonce[..], &sealed].concat())
}

fn open(key: &LessSafeKey, bound: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
    let mut bytes = sealed.to_vec();
    let opened =
        key.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(bound), &mut bytes).ok()?;
    Some(opened.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use ring::signature::KeyPair;

    fn master(byte: u8) -> MasterKey {
        MasterKey::parse(&Secret::new(format!("{byte:02x}").repeat(KEY_LEN))).unwrap()
    }

    #[test]
    fn what_was_sealed_opens_with_the_same_key_only() {
        let (one, other) = (master(1), master(2));
        let sealed = one.seal("acme", "openai", &Secret::new("sk-canary")).unwrap();
        assert_eq!(one.open(&sealed).unwrap().reveal(), "sk-canary");
        assert!(matches!(other.open(&sealed), Err(SealFault::OtherKey { .. })));
        let shown = format!("{sealed:?}");
        assert!(!shown.contains("canary"), "{shown}");
        let again = one.seal("acme", "openai", &Secret::new("sk-canary")).unwrap();
        assert_ne!((sealed.sealed, sealed.wrapped_key), (again.sealed, again.wrapped_key));
    }

    #[test]
    fn a_row_cannot_take_the_place_of_another() {
        let master = master(1);
        let sealed = master.seal("acme", "openai", &Secret::new("sk-canary")).unwrap();
        let damaged = |change: &dyn Fn(&mut SealedCredential)| {
            let mut sealed = sealed.clone();
            change(&mut sealed);
            assert!(matches!(master.open(&sealed), Err(SealFault::Damaged { .. })), "{sealed:?}");
        };
        damaged(&|sealed| sealed.name = "other".into());
        damaged(&|sealed| sealed.organization = "umbra".into());
        damaged(&|sealed| sealed.sealed[20] ^= 1);
        damaged(&|sealed| sealed.wrapped_key[0] ^= 1);
        damaged(&|sealed| sealed.sealed.truncate(5));
        damaged(&|sealed| sealed.wrapped_key.clear());
        // The value of another credential under this one's key.
        let theirs = master.seal("acme", "openai", &Secret::new("sk-other")).unwrap();
        damaged(&|sealed| sealed.sealed.clone_from(&theirs.sealed));
    }

    #[test]
    fn a_master_key_is_replaced_without_opening_values() {
        let (old, new) = (master(1), master(2));
        let sealed = old.seal("acme", "openai", &Secret::new("sk-canary")).unwrap();
        let moved = old.rewrap(&new, &sealed).unwrap();
        assert_eq!(moved.sealed, sealed.sealed);
        assert_eq!(new.open(&moved).unwrap().reveal(), "sk-canary");
        assert!(old.open(&moved).is_err() && new.rewrap(&old, &sealed).is_err());
    }

    #[test]
    fn keys_of_content_open_where_they_were_bound_only() {
        let (one, other) = (master(1), master(2));
        let wrapped = one.wrap(b"here", &[7; KEY_LEN]).unwrap();
        assert_eq!(one.unwrap(b"here", &wrapped), Ok([7; KEY_LEN]));
        assert!(one.unwrap(b"there", &wrapped).is_err() && other.unwrap(b"here", &wrapped).is_err());
        let public = |master: &MasterKey| master.signer().unwrap().public_key().as_ref().to_vec();
        assert_eq!(public(&one), public(&master(1)));
        assert_ne!(public(&one), public(&other));
    }

    #[test]
    fn a_master_key_has_one_form() {
        let made = MasterKey::generate().unwrap();
        let read = MasterKey::parse(&made).unwrap();
        assert_eq!(read.mark().len(), MARK_LEN * 2);
        assert!(!made.reveal().contains(read.mark()));
        for wrong in ["", "ab", &"g".repeat(64), &"a".repeat(63), &"a".repeat(65), &"ü".repeat(32)] {
            assert_eq!(MasterKey::parse(&Secret::new(wrong)).err(), Some(SealFault::NotAKey), "{wrong}");
        }
    }
}
