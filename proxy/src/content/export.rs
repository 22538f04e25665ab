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
    let scanned = ledger.scan_content(asked.filter, asked.before, limits, &mut |content| match reader
        .record(content.record)
    {
        Ok(record) => {
            let line = json!({"record": record, "content": view::content(&content)}).to_string();
            chain.add(line.as_bytes());
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
            lines += 1;
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
    let signer = master.signer().map_err(|fault| LedgerError::ContentKey(fault.to_string()))?;
    let mut manifest = manifest(asked, lines, &chain, scanned.next);
    manifest["public_key"] = json!(hex(signer.public_key().as_ref()));
    manifest["signature"] = json!(hex(signer.sign(signed_text(&manifest).as_bytes()).as_ref()));
    text.extend_from_slice(json!({"manifest": manifest}).to_string().as_bytes());
    text.push(b'\n');
    Ok(Part { text, lines, next: scanned.next })
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
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verified {
    pub(crate) parts: usize,
    pub(crate) lines: usize,
    /// Whether the last part says that nothing comes after it.
    pub(crate) complete: bool,
    /// Who signed all of it.
    pub(crate) public_key: String,
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
    #[error("there is no manifest at the end: lines are missing")]
    NoEnd,
}

/// Verifies an export of one part or several. Without `trusted`, the key that it has to be signed with, it shows only that
/// whoever has the key it names has signed it.
pub(crate) fn verify(mut from: impl BufRead, trusted: Option<&str>) -> Result<Verified, Flaw> {
    let mut verified = Verified { parts: 0, lines: 0, complete: false, public_key: String::new() };
    let (mut chain, mut lines, mut number, mut next) = (Chain::default(), 0, 0, Value::Null);
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
        if verified.parts > 0 && (next.is_null() || manifest.get("before") != Some(&next)) {
            return Err(Flaw::Gap(number));
        }
        next = manifest.get("next").cloned().unwrap_or_default();
        verified.public_key = key;
        verified.parts += 1;
        verified.lines += std::mem::take(&mut lines);
        chain = Chain::default();
    }
    if lines > 0 || verified.parts == 0 {
        return Err(Flaw::NoEnd);
    }
    verified.complete = next.is_null();
    Ok(verified)
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
