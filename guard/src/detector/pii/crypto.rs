//! Addresses of cryptocurrency wallets. Sources: Bitcoin's Base58Check, BIP 173 and BIP 350 (bech32, bech32m), EIP-55
//! (Ethereum), each network's version bytes.

use sha2::{Digest, Sha256};
use sha3::Keccak256;

use super::entity::{Entity, Proof};
use super::text::{LOWER, UPPER};
use crate::Tier;

/// Letters and digits of the shortest and longest address (Cardano's, in bech32).
pub(super) const LENGTHS: std::ops::RangeInclusive<usize> = 14..=110;

/// Bytes of a decoded address in Base58Check: version, hash of 20 bytes, checksum of four.
const DECODED: usize = 25;

const CONTEXT: &[&str] = &[
    "wallet",
    "address",
    "btc",
    "bitcoin",
    "eth",
    "ethereum",
    "ether",
    "ltc",
    "litecoin",
    "doge",
    "dogecoin",
    "dash",
    "trx",
    "tron",
    "usdt",
    "xrp",
    "ripple",
    "ada",
    "cardano",
    "crypto",
    "coin",
    "adresse",
    "billetera",
    "portafoglio",
    "carteira",
];

pub(super) const BITCOIN: Entity = Entity {
    id: "bitcoin-address",
    entity: "BTC_ADDRESS",
    tier: Tier::A,
    about: "Bitcoin address: Base58Check or bech32(m) checksum",
    proof: Proof::Checksum,
    forms: &[],
    context: CONTEXT,
};

pub(super) const ETHEREUM: Entity = Entity {
    id: "ethereum-address",
    entity: "ETH_ADDRESS",
    tier: Tier::A,
    about: "Ethereum address: EIP-55 checksum in its capitals",
    proof: Proof::Checksum,
    forms: &[],
    context: CONTEXT,
};

pub(super) const ETHEREUM_UNCHECKED: Entity = Entity {
    id: "ethereum-address-unchecked",
    entity: "ETH_ADDRESS",
    tier: Tier::B,
    about: "Ethereum address without capitals, hence without checksum",
    proof: Proof::Shape,
    forms: &[],
    context: CONTEXT,
};

pub(super) const OTHER: Entity = Entity {
    id: "crypto-address",
    entity: "CRYPTO_ADDRESS",
    tier: Tier::A,
    about: "Litecoin, Dogecoin, Dash, Tron, XRP, Cardano or Cosmos address: checksum",
    proof: Proof::Checksum,
    forms: &[],
    context: CONTEXT,
};

/// What an address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Network {
    Bitcoin,
    Ethereum,
    /// An Ethereum address without capitals, hence without checksum.
    EthereumUnchecked,
    Other,
}

/// The network of which a run of letters and digits is an address.
pub(super) fn network(run: &[u8], seen: u8) -> Option<Network> {
    match run {
        [b'0', b'x', hex @ ..] if hex.len() == 40 => ethereum(hex),
        [b'b' | b'B', b'c' | b'C', b'1', ..] => bech32(run).then_some(Network::Bitcoin),
        [b'l', b't', b'c', b'1', ..]
        | [b'a', b'd', b'd', b'r', b'1', ..]
        | [b'c', b'o', b's', b'm', b'o', b's', b'1', ..]
            if run.len() > 38 =>
        {
            bech32(run).then_some(Network::Other)
        }
        [first, ..] if (26..=35).contains(&run.len()) && seen & UPPER != 0 && seen & LOWER != 0 => {
            base58(*first, run)
        }
        _ => None,
    }
}

/// EIP-55: a letter is a capital where the hash of the address in small letters has a half byte of 8 or more.
fn ethereum(hex: &[u8]) -> Option<Network> {
    if !hex.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let upper = hex.iter().any(u8::is_ascii_uppercase);
    let lower = hex.iter().any(u8::is_ascii_lowercase);
    if !(upper && lower) {
        let zeros = hex.iter().filter(|byte| **byte == b'0').count();
        return (zeros < 20).then_some(Network::EthereumUnchecked);
    }
    let hash = Keccak256::digest(hex.to_ascii_lowercase());
    let fits = hex.iter().enumerate().all(|(place, byte)| {
        let pair = hash.get(place / 2).copied().unwrap_or(0);
        let half = if place % 2 == 0 { pair >> 4 } else { pair & 15 };
        !byte.is_ascii_alphabetic() || byte.is_ascii_uppercase() == (half >= 8)
    });
    fits.then_some(Network::Ethereum)
}

const BITCOIN_ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const RIPPLE_ALPHABET: &[u8; 58] = b"rpshnaf39wBUDNEGHJKLM4PQRST7VWXYZ2bcdeCg65jkm8oFqi1tuvAxyz";

fn base58(first: u8, run: &[u8]) -> Option<Network> {
    let (alphabet, versions, network): (_, &[u8], _) = match first {
        b'1' => (BITCOIN_ALPHABET, &[0x00], Network::Bitcoin),
        b'3' => (BITCOIN_ALPHABET, &[0x05], Network::Bitcoin),
        b'L' | b'M' => (BITCOIN_ALPHABET, &[0x30, 0x32], Network::Other),
        b'D' | b'9' | b'A' => (BITCOIN_ALPHABET, &[0x1E, 0x16], Network::Other),
        b'X' | b'7' => (BITCOIN_ALPHABET, &[0x4C, 0x10], Network::Other),
        b'T' => (BITCOIN_ALPHABET, &[0x41], Network::Other),
        b'r' => (RIPPLE_ALPHABET, &[0x00], Network::Other),
        _ => return None,
    };
    let bytes = decode58(run, alphabet)?;
    let (body, check) = bytes.split_at_checked(DECODED - 4)?;
    let version = bytes.first()?;
    let hash = Sha256::digest(Sha256::digest(body));
    (versions.contains(version) && hash.get(..4) == Some(check)).then_some(network)
}

/// A number in base 58 as bytes, the highest first.
fn decode58(run: &[u8], alphabet: &[u8; 58]) -> Option<[u8; DECODED]> {
    let mut bytes = [0u8; DECODED];
    for letter in run {
        let mut carry = u32::try_from(alphabet.iter().position(|known| known == letter)?).ok()?;
        for byte in bytes.iter_mut().rev() {
            carry += u32::from(*byte) * 58;
            *byte = u8::try_from(carry & 0xFF).ok()?;
            carry >>= 8;
        }
        if carry != 0 {
            return None;
        }
    }
    Some(bytes)
}

const BECH32_ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// Whether a run is bech32 (BIP 173) or bech32m (BIP 350), in one case.
fn bech32(run: &[u8]) -> bool {
    let lower = run.to_ascii_lowercase();
    if run != lower && run != run.to_ascii_uppercase() {
        return false;
    }
    let Some(split) = lower.iter().position(|byte| *byte == b'1') else { return false };
    let (Some(prefix), Some(data)) = (lower.get(..split), lower.get(split + 1..)) else { return false };
    let value = |byte: &u8| {
        BECH32_ALPHABET.iter().position(|known| known == byte).and_then(|at| u32::try_from(at).ok())
    };
    let Some(data) = data.iter().map(value).collect::<Option<Vec<u32>>>() else { return false };
    let high = prefix.iter().map(|byte| u32::from(byte >> 5));
    let low = prefix.iter().map(|byte| u32::from(byte & 31));
    let sum = high.chain([0]).chain(low).chain(data.iter().copied()).fold(1, polymod);
    data.len() > 6 && matches!(sum, 1 | 0x2BC8_30A3)
}

/// One step of BIP 173's checksum.
fn polymod(sum: u32, value: u32) -> u32 {
    const GENERATORS: [u32; 5] = [0x3B6A_57B2, 0x2650_8E6D, 0x1EA1_19FA, 0x3D42_33DD, 0x2A14_62B3];
    let top = sum >> 25;
    let start = (sum & 0x1FF_FFFF) << 5 ^ value;
    GENERATORS
        .iter()
        .enumerate()
        .fold(start, |sum, (bit, generator)| if top >> bit & 1 == 1 { sum ^ generator } else { sum })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detector::pii::text::run;

    fn found(text: &str) -> Option<Network> {
        network(text.as_bytes(), run(text.as_bytes(), 0).1)
    }

    #[test]
    fn published_addresses() {
        for (address, expected) in [
            ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", Network::Bitcoin),
            ("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", Network::Bitcoin),
            ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", Network::Bitcoin),
            ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", Network::Bitcoin),
            ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", Network::Bitcoin),
            ("0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed", Network::Ethereum),
            ("0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359", Network::Ethereum),
            ("0xfb6916095ca1df60bb79ce92ce3ea74c37c5d359", Network::EthereumUnchecked),
            ("rHb9CJAWyB4rj91VRWn96DkukG4bwdtyTh", Network::Other),
            ("TR7NHqjeKQxGTCi8q8ZY4pL8otSzgjLj6t", Network::Other),
            ("DH5yaieqoZN36fDVciNyRueRGvGLR3mr7L", Network::Other),
        ] {
            assert_eq!(found(address), Some(expected), "{address}");
        }
    }

    #[test]
    fn a_wrong_letter_is_noticed() {
        for other in [
            "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5",
            "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3T4",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD",
            "0x0000000000000000000000000000000000000001",
            "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe",
            "bc1",
            "",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
