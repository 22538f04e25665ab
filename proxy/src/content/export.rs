//! Exports with proof: JSON Lines, each bound to those before it, and at the end a manifest that is signed.
//!
//! A chain of hashes goes over the lines: it begins with 32 zero bytes, and each line makes it
//! SHA-256(chain ‖ SHA-256(line)). The manifest says how many lines there are and what the chain came to, and is signed
//! with Ed25519 (RFC 8032). So a line that was changed, added, left out or moved shows.

use super::view;
use crate::credentials::seal::{MasterKey, SealFault};
use narrows_ledger::{ContentFilter, Ledger, LedgerError, ScanLimits, time};
use ring::signature::{ED25519, KeyPair, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, Read as _};

/// Most exchanges in one part of an export.
pub(crate) const EXPORT_RECORDS_MAX: usize = 1_000;
/// Bytes of content after which a part of an export ends: 32 MiB.
pub(crate) const EXPORT_BYTES_MAX: usize = 32 << 20;
/// Longest line that is verified: two sides with every byte escaped, and the record.
const LINE_BYTES_MAX: u64 = 1 << 30;

/// What an export is of, and why.
pub(crate) struct Asked<'a> {
    pub(crate) filter: &'a ContentFilter,
    /// Exchanges before this one.
    pub(crate) before: Option<u128>,
    pub(crate) reason: &'a str,
    pub(crate) actor: &'a str,
    /// UTC microseconds since the epoch.
    pub(crate) now_us: i64,
}

/// One part of an export.
pub(crate) struct Part {
    /// Its lines and the manifest.
    pub(crate) text: Vec<u8>,
    pub(crate) lines: usize,
    /// Lines whose content could not be opened; each says why.
    pub(crate) unopened: usize,
    /// Lines by organization.
    pub(crate) by_organization: BTreeMap<String, usize>,
    /// Where the next part goes on; `None` after the last.
    pub(crate) next: Option<u128>,
}

#[derive(Default)]
struct Chain([u8; 32]);

impl Chain {
    fn add(&mut self, line: &[u8]) {
        let line = Sha256::digest(line);
        self.0 = Sha256::new().chain_update(self.0).chain_update(line).finalize().into();
    }
}

/// Makes a part.
pub(crate) fn part(ledger: &Ledger, master: &MasterKey, asked: &Asked<'_>) -> Result<Part, LedgerError> {
    let reader = ledger.reader()?;
    let limits = ScanLimits { records: EXPORT_RECORDS_MAX, bytes: EXPORT_BYTES_MAX };
    let (mut text, mut chain, mut lines, mut failed) = (Vec::new(), Chain::default(), 0, None);
    let mut by_organization: BTreeMap<String, usize> = BTreeMap::new();
    let scanned = ledger.scan_content(asked.filter, asked.before, limits, &mut |content| match reader
        .record(content.record)
    {
        Ok(record) => {
            let line = json!({"record": record, "content": view::content(&content)}).to_string();
            chain.add(line.as_bytes());
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            lines += 1;
            *by_organization.entry(content.organization).or_default() += 1;
            true
        }
        Err(error) => {
            failed = Some(error);
            false
        }
    })?;
    if let Some(error) = failed {
        return Err(error);
    }
    let manifest = signed(manifest(asked, lines, &chain, scanned.next), master)
        .map_err(|fault| LedgerError::ContentKey(fault.to_string()))?;
    text.extend_from_slice(json!({"manifest": manifest}).to_string().as_bytes());
    text.push(b'\n');
    Ok(Part { text, lines, unopened: scanned.unopened, by_organization, next: scanned.next })
}

fn signed(mut manifest: Value, master: &MasterKey) -> Result<Value, SealFault> {
    let signer = master.signer()?;
    manifest["public_key"] = json!(hex(signer.public_key().as_ref()));
    manifest["signature"] = json!(hex(signer.sign(signed_text(&manifest).as_bytes()).as_ref()));
    Ok(manifest)
}

fn manifest(asked: &Asked<'_>, lines: usize, chain: &Chain, next: Option<u128>) -> Value {
    let filter = asked.filter;
    json!({
        "version": "1",
        "lines": lines.to_string(),
        "chain": hex(&chain.0),
        "organization": filter.organization,
        "team": filter.team,
        "user": filter.user,
        "service_account": filter.service_account,
        "from": filter.from_us.and_then(time),
        "to": filter.to_us.and_then(time),
        "before": asked.before.map(view::id_text),
        "next": next.map(view::id_text),
        "reason": asked.reason,
        "exported_by": asked.actor,
        "exported_at": time(asked.now_us),
    })
}

/// The fields of a manifest that are signed, in the order in which they are.
const SIGNED: [&str; 15] = [
    "version",
    "lines",
    "chain",
    "organization",
    "team",
    "user",
    "service_account",
    "from",
    "to",
    "before",
    "next",
    "reason",
    "exported_by",
    "exported_at",
    "public_key",
];

/// The fields of a manifest that say what an export is of; all parts of one have the same.
const FILTER: [&str; 6] = ["organization", "team", "user", "service_account", "from", "to"];

/// What is signed: a line for each field, its name and its value as JSON.
fn signed_text(manifest: &Value) -> String {
    let line = |name: &&str| format!("{name}={}\n", manifest.get(*name).unwrap_or(&Value::Null));
    SIGNED.iter().map(line).collect()
}

/// The key that verifies what a master key signs.
pub(crate) fn public_key(master: &MasterKey) -> Result<String, SealFault> {
    Ok(hex(master.signer()?.public_key().as_ref()))
}

/// What was verified.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) parts: usize,
    pub(crate) lines: usize,
    /// Lines without the content that was kept, because it could not be opened.
    pub(crate) unopened: usize,
    /// What all parts were asked for: fields of a filter with their values. Nothing for all that was kept.
    pub(crate) of: Vec<(&'static str, String)>,
    /// The exchange before which the first part begins; what comes before that part is missing.
    pub(crate) begins: Option<String>,
    /// The exchange before which the last part says that another one goes on; it and what follows are missing.
    pub(crate) goes_on: Option<String>,
    /// Who signed all of it.
    pub(crate) public_key: String,
}

impl Verified {
    /// Whether no part is missing, neither at the beginning nor at the end.
    pub(crate) fn is_complete(&self) -> bool {
        self.begins.is_none() && self.goes_on.is_none()
    }
}

/// Why an export is not what it was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Flaw {
    #[error("cannot read it: {0}")]
    Unreadable(#[from] std::io::Error),
    #[error("line {0} is no line of an export")]
    Line(usize),
    #[error("the part that ends in line {0} was changed: its lines are not those that were exported")]
    Changed(usize),
    #[error("the manifest in line {0} was changed, or was not signed with the key it names")]
    Signature(usize),
    #[error("the manifest in line {0} is signed with another key: {1}")]
    OtherKey(usize, String),
    #[error("the part that ends in line {0} does not go on where the one before ended")]
    Gap(usize),
    #[error("the part that ends in line {0} is of another export than those before: its `{1}` is not theirs")]
    OtherFilter(usize, &'static str),
    #[error("there is no manifest at the end: lines are missing")]
    NoEnd,
}

/// Verifies an export of one part or several. Without `trusted`, the key that it has to be signed with, it shows only that
/// whoever has the key it names has signed it.
pub(crate) fn verify(mut from: impl BufRead, trusted: Option<&str>) -> Result<Verified, Flaw> {
    let mut verified = Verified::default();
    let (mut chain, mut lines, mut number, mut last) = (Chain::default(), 0, 0, None);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            break;
        }
        number += 1;
        let text = line.strip_suffix(b"\n").ok_or(Flaw::NoEnd)?;
        let value: Value = serde_json::from_slice(text).map_err(|_error| Flaw::Line(number))?;
        let Some(manifest) = value.get("manifest") else {
            chain.add(text);
            lines += 1;
            let unopened = value.get("content").and_then(|content| content.get("unopened"));
            verified.unopened += usize::from(unopened.is_some_and(|cause| !cause.is_null()));
            continue;
        };
        let is = |name: &str, wanted: &str| manifest.get(name).and_then(Value::as_str) == Some(wanted);
        if !is("lines", &lines.to_string()) || !is("chain", &hex(&chain.0)) {
            return Err(Flaw::Changed(number));
        }
        let key = signed_by(manifest).ok_or(Flaw::Signature(number))?;
        let expected =
            trusted.or(Some(&verified.public_key).filter(|_| verified.parts > 0).map(String::as_str));
        if expected.is_some_and(|expected| expected != key) {
            return Err(Flaw::OtherKey(number, key));
        }
        match &last {
            None => {
                let value = |name: &&'static str| Some((*name, text_of(manifest, name)?));
                (verified.of, verified.begins) =
                    (FILTER.iter().filter_map(value).collect(), text_of(manifest, "before"));
            }
            Some(last) => follows(last, manifest, number)?,
        }
        verified.goes_on = text_of(manifest, "next");
        last = Some(manifest.clone());
        verified.public_key = key;
        verified.parts += 1;
        verified.lines += std::mem::take(&mut lines);
        chain = Chain::default();
    }
    if lines > 0 || verified.parts == 0 {
        return Err(Flaw::NoEnd);
    }
    Ok(verified)
}

/// A field of a manifest; what is there and no text is told as it stands.
fn text_of(manifest: &Value, name: &str) -> Option<String> {
    match manifest.get(name)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// Whether a part is the next one of the same export.
fn follows(last: &Value, manifest: &Value, number: usize) -> Result<(), Flaw> {
    let next = text_of(last, "next");
    if next.is_none() || text_of(manifest, "before") != next {
        return Err(Flaw::Gap(number));
    }
    let other = FILTER.into_iter().find(|name| text_of(last, name) != text_of(manifest, name));
    other.map_or(Ok(()), |name| Err(Flaw::OtherFilter(number, name)))
}

/// The key that signed a manifest, if one did.
fn signed_by(manifest: &Value) -> Option<String> {
    let text = |name: &str| manifest.get(name).and_then(Value::as_str);
    let key = text("public_key")?;
    let (public, signature) = (unhex(key)?, unhex(text("signature")?)?);
    UnparsedPublicKey::new(&ED25519, public).verify(signed_text(manifest).as_bytes(), &signature).ok()?;
    Some(key.to_owned())
}

/// Bytes as hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn key() -> MasterKey {
        MasterKey::parse(&Secret::new("5a".repeat(32))).unwrap()
    }

    /// A part with one line, of what `filter` says, before one exchange and up to another.
    fn part(filter: &ContentFilter, before: Option<u128>, next: Option<u128>) -> String {
        let asked = Asked { filter, before, reason: "court", actor: "cli", now_us: 1 };
        let (line, mut chain) = (json!({"record": {}, "content": {}}).to_string(), Chain::default());
        chain.add(line.as_bytes());
        let manifest = signed(manifest(&asked, 1, &chain, next), &key()).unwrap();
        format!("{line}\n{}\n", json!({"manifest": manifest}))
    }

    #[test]
    fn an_export_is_complete_with_its_first_part_and_its_last_only() {
        let all = ContentFilter::default();
        let (first, second, third) =
            (part(&all, None, Some(9)), part(&all, Some(9), Some(4)), part(&all, Some(4), None));
        let check = |parts: &[&String]| {
            verify(parts.iter().map(|part| part.as_str()).collect::<String>().as_bytes(), None)
        };
        let whole = check(&[&first, &second, &third]).unwrap();
        assert!(whole.is_complete() && whole.of.is_empty() && whole.parts == 3, "{whole:?}");
        let later = check(&[&second, &third]).unwrap();
        assert_eq!((later.is_complete(), later.begins, later.goes_on), (false, Some(view::id_text(9)), None));
        let earlier = check(&[&first, &second]).unwrap();
        assert_eq!(
            (earlier.is_complete(), earlier.begins, earlier.goes_on),
            (false, None, Some(view::id_text(4)))
        );
        assert!(matches!(check(&[&first, &third]), Err(Flaw::Gap(4))));
        assert!(matches!(check(&[&third, &first]), Err(Flaw::Gap(4))));
    }

    #[test]
    fn parts_of_different_exports_are_not_one() {
        let all = ContentFilter { organization: Some("acme".into()), ..ContentFilter::default() };
        let first = part(&all, None, Some(9));
        let others = [
            ("team", ContentFilter { team: Some("red".into()), ..all.clone() }),
            ("user", ContentFilter { user: Some("ada".into()), ..all.clone() }),
            ("service_account", ContentFilter { service_account: Some("ci".into()), ..all.clone() }),
            ("organization", ContentFilter::default()),
            ("from", ContentFilter { from_us: Some(0), ..all.clone() }),
            ("to", ContentFilter { to_us: Some(1), ..all.clone() }),
        ];
        for (name, other) in others {
            let text = format!("{first}{}", part(&other, Some(9), None));
            let flaw = verify(text.as_bytes(), None).unwrap_err();
            assert!(matches!(flaw, Flaw::OtherFilter(4, found) if found == name), "{name}: {flaw}");
        }
        let text = format!("{first}{}", part(&all, Some(9), None));
        assert_eq!(verify(text.as_bytes(), None).unwrap().of, [("organization", "acme".to_owned())]);
    }
}
