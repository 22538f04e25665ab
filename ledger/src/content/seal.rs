//! Sealing: compressed, then AES-256-GCM under a key for each holder and day. Record, side and organization are bound to
//! each text, so that no row can take the place of another.

use super::{ContentState, NewSide};
use crate::error::LedgerError;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use narrows_policy::Caller;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Most bytes kept of one side, before compression: 64 MiB.
pub const SIDE_BYTES_MAX: usize = 64 << 20;
/// Bytes of a key.
pub(crate) const KEY_LEN: usize = 32;
/// Effort of compression: the fastest that looks for repetitions.
const COMPRESSION: u8 = 1;
/// The first byte of what is sealed: how it is written.
const PLAIN: u8 = 0;
const DEFLATED: u8 = 1;
/// Microseconds of a day.
pub(crate) const DAY_US: i64 = 86_400_000_000;

/// Whoever holds the key that wraps all others. The ledger sees wrapped keys on disk, and open ones in memory only.
pub trait KeyWrap: Send + Sync {
    /// What tells the wrapping key from others; says nothing about it.
    fn mark(&self) -> &str;

    /// Wraps a key. `bound` is authenticated with it.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn wrap(&self, bound: &[u8], key: &[u8; 32]) -> Result<Vec<u8>, String>;

    /// Opens what [`wrap`](KeyWrap::wrap) gave for the same `bound`.
    ///
    /// # Errors
    /// A sentence that says what to do.
    fn unwrap(&self, bound: &[u8], wrapped: &[u8]) -> Result<[u8; 32], String>;
}

/// To whom content is attributed: whose erasure takes its key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Holder {
    pub(crate) organization: String,
    pub(crate) scope: &'static str,
    pub(crate) name: String,
    /// Days since 1970 (UTC).
    pub(crate) day: i64,
}

impl Holder {
    pub(crate) fn of(caller: &Caller, at_us: i64) -> Holder {
        let named = [
            ("user", caller.user.as_deref()),
            ("service_account", caller.service_account.as_deref()),
            ("team", caller.team.as_deref()),
        ];
        let found =
            named.into_iter().find_map(|(scope, name)| Some((scope, name.filter(|name| !name.is_empty())?)));
        let (scope, name) = found.unwrap_or(("organization", ""));
        Holder {
            organization: caller.organization.clone(),
            scope,
            name: name.to_owned(),
            day: at_us.div_euclid(DAY_US),
        }
    }
}

/// A key as it is stored.
#[derive(Clone)]
pub(crate) struct WrappedKey {
    pub(crate) id: String,
    pub(crate) organization: String,
    pub(crate) scope: String,
    pub(crate) holder: String,
    pub(crate) day: i64,
    pub(crate) master: String,
    pub(crate) wrapped_key: Vec<u8>,
}

impl WrappedKey {
    /// What is authenticated beside the key; lengths keep the parts apart.
    fn bound(&self) -> Vec<u8> {
        let WrappedKey { id, organization, scope, holder, day, .. } = self;
        format!(
            "narrows content 1 key {id} {} {organization} {scope} {} {holder} {day}",
            organization.len(),
            holder.len()
        )
        .into_bytes()
    }

    /// A new key for a holder.
    pub(crate) fn make(holder: &Holder, wrap: &dyn KeyWrap) -> Result<(WrappedKey, DataKey), LedgerError> {
        let mut key = [0_u8; KEY_LEN];
        getrandom::fill(&mut key)?;
        let mut id = [0_u8; 16];
        getrandom::fill(&mut id)?;
        let mut made = WrappedKey {
            id: uuid::Uuid::from_bytes(id).simple().to_string(),
            organization: holder.organization.clone(),
            scope: holder.scope.to_owned(),
            holder: holder.name.clone(),
            day: holder.day,
            master: wrap.mark().to_owned(),
            wrapped_key: Vec::new(),
        };
        made.wrapped_key = wrap.wrap(&made.bound(), &key).map_err(LedgerError::ContentKey)?;
        Ok((made, DataKey::new(&key)?))
    }

    /// The key itself.
    pub(crate) fn open(&self, wrap: &dyn KeyWrap) -> Result<DataKey, LedgerError> {
        if self.master != wrap.mark() {
            return Err(LedgerError::ContentKey(format!(
                "this content is sealed under the master key {} and the one given is {}; give that one, or bring it over \
                 with `narrows credentials rewrap`",
                self.master,
                wrap.mark()
            )));
        }
        let key = wrap.unwrap(&self.bound(), &self.wrapped_key).map_err(LedgerError::ContentKey)?;
        DataKey::new(&key)
    }

    /// The same key under another wrapping key; what it sealed is not touched.
    pub(crate) fn rewrap(&self, old: &dyn KeyWrap, new: &dyn KeyWrap) -> Result<WrappedKey, LedgerError> {
        if self.master == new.mark() {
            return Ok(self.clone());
        }
        if self.master != old.mark() {
            return Err(LedgerError::ContentKey(format!(
                "a key of content is wrapped by the master key {}, and the old one given is {}",
                self.master,
                old.mark()
            )));
        }
        let key = old.unwrap(&self.bound(), &self.wrapped_key).map_err(LedgerError::ContentKey)?;
        let wrapped_key = new.wrap(&self.bound(), &key).map_err(LedgerError::ContentKey)?;
        Ok(WrappedKey { master: new.mark().to_owned(), wrapped_key, ..self.clone() })
    }
}

/// A key that seals content.
pub(crate) struct DataKey(LessSafeKey);

/// What a sealed text belongs to.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) record: u128,
    /// `request` or `answer`.
    pub(crate) side: &'static str,
    pub(crate) organization: &'a str,
}

impl Place<'_> {
    fn bound(&self) -> Vec<u8> {
        let Place { record, side, organization } = self;
        format!("narrows content 1 {side} {record:032x} {} {organization}", organization.len()).into_bytes()
    }
}

impl DataKey {
    fn new(bytes: &[u8; KEY_LEN]) -> Result<DataKey, LedgerError> {
        let key = UnboundKey::new(&AES_256_GCM, bytes)
            .map_err(|_length| LedgerError::ContentKey("a key of content has the wrong length".to_owned()))?;
        Ok(DataKey(LessSafeKey::new(key)))
    }

    /// Nonce, ciphertext and tag. A random nonce is safe here: a key seals what one holder says in a day, far from the
    /// 2³² texts at which 96 random bits may come twice (NIST SP 800-38D, section 8.3).
    pub(crate) fn seal(&self, place: Place<'_>, text: &[u8]) -> Result<Vec<u8>, LedgerError> {
        let mut nonce = [0_u8; NONCE_LEN];
        getrandom::fill(&mut nonce)?;
        let deflated = compress_to_vec(text, COMPRESSION);
        let (form, body) =
            if deflated.len() < text.len() { (DEFLATED, deflated.as_slice()) } else { (PLAIN, text) };
        let mut sealed = Vec::with_capacity(1 + body.len() + AES_256_GCM.tag_len());
        sealed.push(form);
        sealed.extend_from_slice(body);
        self.0
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(place.bound()),
                &mut sealed,
            )
            .map_err(|_length| LedgerError::ContentKey("a text is too long to be sealed".to_owned()))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// The text again; `None` if it was changed, or belongs elsewhere.
    pub(crate) fn open(&self, place: Place<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut bytes = sealed.to_vec();
        let opened = self
            .0
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(place.bound()), &mut bytes)
            .ok()?;
        match opened.split_first()? {
            (&PLAIN, text) => Some(text.to_vec()),
            (&DEFLATED, text) => decompress_to_vec_with_limit(text, SIDE_BYTES_MAX).ok(),
            _ => None,
        }
    }
}

/// One side as it is stored.
pub(crate) struct SealedSide {
    pub(crate) state: ContentState,
    pub(crate) whole_bytes: u64,
    pub(crate) sealed: Option<Vec<u8>>,
}

impl SealedSide {
    /// Seals a side. More than [`SIDE_BYTES_MAX`] is cut.
    pub(crate) fn of(side: &NewSide, key: &DataKey, place: Place<'_>) -> Result<SealedSide, LedgerError> {
        let (state, whole_bytes) = (side.state, side.whole_bytes);
        if !state.is_kept() {
            return Ok(SealedSide { state, whole_bytes, sealed: None });
        }
        let kept = side.bytes.get(..SIDE_BYTES_MAX);
        let state =
            if kept.is_some() && side.bytes.len() > SIDE_BYTES_MAX { ContentState::Cut } else { state };
        let sealed = key.seal(place, kept.unwrap_or(&side.bytes))?;
        Ok(SealedSide { state, whole_bytes, sealed: Some(sealed) })
    }
}
