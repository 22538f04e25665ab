//! Identifiers of Canada and Australia.

use super::checksum::{digits, luhn, weighted};
use super::entity::{Entity, Proof};
use super::form::b;
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "ca-sin",
        entity: "CA_SIN",
        tier: Tier::B,
        about: "Canadian social insurance number: Luhn, first digit not 0 or 8",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", sin)],
        context: &["sin", "social insurance", "nas", "assurance sociale", "sin number"],
    },
    Entity {
        id: "au-tfn",
        entity: "AU_TFN",
        tier: Tier::B,
        about: "Australian tax file number: weighted sum modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", tfn), b("99_999_999", tfn)],
        context: &["tfn", "tax file", "tax file number", "ato"],
    },
    Entity {
        id: "au-abn",
        entity: "AU_ABN",
        tier: Tier::B,
        about: "Australian business number: weighted sum modulo 89",
        proof: Proof::Checksum,
        forms: &[b("99_999_999_999", abn)],
        context: &["abn", "australian business", "business number"],
    },
    Entity {
        id: "au-acn",
        entity: "AU_ACN",
        tier: Tier::B,
        about: "Australian company number: check digit modulo 10",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", acn)],
        context: &["acn", "australian company", "company number", "asic"],
    },
    Entity {
        id: "au-medicare",
        entity: "AU_MEDICARE",
        tier: Tier::B,
        about: "Australian Medicare card number: check digit modulo 10",
        proof: Proof::Checksum,
        forms: &[
            b("9999_99999_9", medicare),
            b("9999 99999 9 9", medicare),
            b("9999 99999 9-9", medicare),
            b("9999 99999 9/9", medicare),
            b("9999999999-9", medicare),
            b("9999999999/9", medicare),
            b("99999999999", medicare),
        ],
        context: &["medicare", "medicare card", "medicare number", "irn"],
    },
];

/// Luhn; 0 is not assigned and 8 is for businesses. Source: Government of Canada, "Social Insurance Number".
pub(super) fn sin(value: &[u8]) -> bool {
    value.len() == 9 && !matches!(value.first(), Some(b'0' | b'8')) && luhn(value)
}

/// Weights 1, 4, 3, 7, 5, 8, 6, 9, 10; the sum is a multiple of 11. Source: Australian Taxation Office.
pub(super) fn tfn(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 9] = [1, 4, 3, 7, 5, 8, 6, 9, 10];
    let sum = match value.len() {
        8 => digits::<8>(value).map(|d| weighted(&d, &[10, 7, 8, 4, 6, 3, 5, 1])),
        _ => digits::<9>(value).map(|d| weighted(&d, &WEIGHTS)),
    };
    sum.is_some_and(|sum| sum.is_multiple_of(11) && sum > 0)
}

/// One less in the first digit, weights 10, 1, 3 … 19, a multiple of 89. Source: Australian Business Register.
pub(super) fn abn(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let sum = weighted(&d, &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
        d[0] > 0 && (sum - 10).is_multiple_of(89)
    })
}

/// Weights 8 to 1, ten minus the rest. Source: ASIC, "Australian Company Number".
pub(super) fn acn(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let sum = weighted(&d, &[8, 7, 6, 5, 4, 3, 2, 1]);
        (sum + d[8]).is_multiple_of(10) && sum > 0
    })
}

/// First digit 2 to 6, weights 1, 3, 7, 9 twice, the ninth digit is the rest modulo 10. Source: Services Australia.
pub(super) fn medicare(value: &[u8]) -> bool {
    let issue = value.get(9).is_some_and(|digit| *digit != b'0');
    let Some(d) = value.get(..9).and_then(digits::<9>) else { return false };
    issue && (2..=6).contains(&d[0]) && weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9]) % 10 == d[8]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(sin(b"130692544") && !sin(b"130692543") && !sin(b"046454286"));
        assert!(tfn(b"123456782") && tfn(b"876543210") && !tfn(b"123456783"));
        assert!(abn(b"51824753556") && abn(b"83914571673") && !abn(b"51824753557"));
        assert!(acn(b"004085616") && acn(b"000000019") && !acn(b"004085617"));
        assert!(
            medicare(b"2123456701")
                && medicare(b"21234567011")
                && !medicare(b"2123456711")
                && !medicare(b"1123456701")
        );
    }
}
