//! Identifiers of Poland.

use super::super::checksum::{base36, digits, is_day, uniform, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::b;
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "pl-pesel",
        entity: "PL_PESEL",
        tier: Tier::B,
        about: "Polish identity number: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999999", pesel)],
        context: &["pesel", "numer pesel", "numerem pesel"],
    },
    Entity {
        id: "pl-nip",
        entity: "PL_NIP",
        tier: Tier::B,
        about: "Polish tax number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[
            b("9999999999", nip),
            b("999-999-99-99", nip),
            b("999-99-99-999", nip),
            b("999 999 99 99", nip),
        ],
        context: &["nip", "podatkowy", "identyfikacji podatkowej", "numer identyfikacji", "podatnik"],
    },
    Entity {
        id: "pl-regon",
        entity: "PL_REGON",
        tier: Tier::B,
        about: "Polish business number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999999999", regon), b("999-999-999", regon), b("99999999999999", long_regon)],
        context: &["regon"],
    },
    Entity {
        id: "pl-id-card",
        entity: "PL_ID_CARD",
        tier: Tier::B,
        about: "Polish identity card number: check digit (7-3-1)",
        proof: Proof::Checksum,
        forms: &[b("AAA999999", card), b("AAA 999999", card)],
        context: &["dowód", "dowod", "dowodu", "dowód osobisty", "dowodu osobistego", "id card"],
    },
];

/// Weights 1, 3, 7, 9; the month tells the century. Source: Ustawa o ewidencji ludności, Ministerstwo Cyfryzacji.
pub(super) fn pesel(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let check = (10 - weighted(&d, &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]) % 10) % 10;
        is_day((d[2] * 10 + d[3]) % 20, d[4] * 10 + d[5]) && check == d[10]
    })
}

/// Source: Ustawa o zasadach ewidencji i identyfikacji podatników i płatników.
pub(super) fn nip(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        d[0] > 0 && weighted(&d, &[6, 5, 7, 2, 3, 4, 5, 6, 7]) % 11 == d[9] && !uniform(value)
    })
}

/// Source: Rozporządzenie w sprawie rejestru REGON.
pub(super) fn regon(value: &[u8]) -> bool {
    digits::<9>(value)
        .is_some_and(|d| weighted(&d, &[8, 9, 2, 3, 4, 5, 6, 7]) % 11 % 10 == d[8] && !uniform(value))
}

fn long_regon(value: &[u8]) -> bool {
    value.get(..9).is_some_and(regon)
        && digits::<14>(value)
            .is_some_and(|d| weighted(&d, &[2, 4, 8, 5, 0, 9, 7, 3, 6, 1, 2, 4, 8]) % 11 % 10 == d[13])
}

/// Weights 7, 3, 1 over letters and digits, the first digit being the check digit. Source: Ustawa o dowodach osobistych.
pub(super) fn card(value: &[u8]) -> bool {
    let Some(values) = value.iter().map(|byte| base36(*byte)).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    value.len() == 9 && weighted(&values, &[7, 3, 1, 9, 7, 3, 1, 7, 3]).is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            pesel(b"44051401359")
                && pesel(b"02070803628")
                && !pesel(b"44051401358")
                && !pesel(b"44131401351")
        );
        assert!(nip(b"8567346215") && nip(b"1234563218") && !nip(b"8567346216"));
        assert!(regon(b"192598184") && regon(b"123456785") && !regon(b"192598183"));
        assert!(long_regon(b"12345678512347") && !long_regon(b"12345678512348"));
        assert!(card(b"ABA300000") && !card(b"ABA400000"));
    }
}
