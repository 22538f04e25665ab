//! Identifiers of Italy.

use super::super::checksum::{base36, luhn, number};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "it-fiscal-code",
        entity: "IT_FISCAL_CODE",
        tier: Tier::A,
        about: "Italian fiscal code of a person: date of birth and check letter",
        proof: Proof::Checksum,
        forms: &[a("AAAAAAXXAXXAXXXA", fiscal_code), a("AAA AAA XXAXX AXXXA", fiscal_code)],
        context: &["codice fiscale", "cf", "c.f.", "cod. fisc", "fiscal code", "fiscale"],
    },
    Entity {
        id: "it-vat",
        entity: "IT_VAT",
        tier: Tier::B,
        about: "Italian VAT number: Luhn",
        proof: Proof::Checksum,
        forms: &[b("99999999999", vat)],
        context: &["partita iva", "p.iva", "p. iva", "piva", "p.i.", "iva", "vat"],
    },
    Entity {
        id: "it-document",
        entity: "IT_DOCUMENT",
        tier: Tier::C,
        about: "Italian identity card, passport or driving licence number",
        proof: Proof::Loose,
        forms: &[c("AA99999AA", any), c("AA9999999", any), c("AA9999999A", any), c("9999999AA", any)],
        context: &[
            "carta d'identità",
            "carta di identità",
            "passaporto",
            "patente",
            "documento",
            "identity card",
        ],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// Values of digits and letters on odd places, from 0 to Z with letters counting like the digits 0 to 9 first.
const ODD: [u32; 26] =
    [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];

/// Name, date of birth (40 more for women), municipality, check letter; digits may be replaced by letters where two people
/// share a code. Source: Decreto ministeriale 23 dicembre 1976.
pub(super) fn fiscal_code(value: &[u8]) -> bool {
    let Some((check, body)) = value.split_last().filter(|_| value.len() == 16) else { return false };
    let digit = |place: usize| match *value.get(place)? {
        byte @ b'0'..=b'9' => Some(u32::from(byte - b'0')),
        byte => b"LMNPQRSTUV".iter().position(|letter| *letter == byte).and_then(|at| u32::try_from(at).ok()),
    };
    let digits: Option<Vec<u32>> = [6, 7, 9, 10, 12, 13, 14].into_iter().map(digit).collect();
    let Some(digits) = digits else { return false };
    let day = digits[2] * 10 + digits[3];
    let month = value.get(8).is_some_and(|month| b"ABCDEHLMPRST".contains(month));
    let sum: Option<u32> = body.iter().enumerate().map(|(place, byte)| share(place, *byte)).sum();
    let expected = sum.and_then(|sum| u8::try_from(sum % 26).ok()).map(|rest| b'A' + rest);
    month && matches!(day, 1..=31 | 41..=71) && expected == Some(*check)
}

/// What one place adds to the sum.
fn share(place: usize, byte: u8) -> Option<u32> {
    let value = base36(byte)?;
    let value = if value >= 10 { value - 10 } else { value };
    if place % 2 == 1 { Some(value) } else { ODD.get(usize::try_from(value).ok()?).copied() }
}

/// Luhn; the eighth to tenth digit are the province's office. Source: D.P.R. 633/1972, Agenzia delle Entrate.
pub(super) fn vat(value: &[u8]) -> bool {
    let office = value.get(7..10).and_then(number);
    value.len() == 11
        && matches!(office, Some(1..=100 | 120 | 121 | 888 | 999))
        && luhn(value)
        && value[..7] != *b"0000000"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(fiscal_code(b"RCCMNL83S18D969H") && fiscal_code(b"RSSMRA85T10A562S"));
        assert!(!fiscal_code(b"RCCMNL83S18D967H") && !fiscal_code(b"RCCMNL83S38D969H"));
        assert!(vat(b"00743110157") && !vat(b"00743110158"));
    }
}
