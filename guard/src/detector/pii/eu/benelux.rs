//! Identifiers of the Netherlands, Belgium and Luxembourg.

use super::super::checksum::{digits, is_day, luhn, number, verhoeff, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "nl-bsn",
        entity: "NL_BSN",
        tier: Tier::B,
        about: "Dutch citizen service number: weighted sum modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999999999", bsn), b("9999~99~999", bsn), b("999~999~999", bsn), b("99999999", short_bsn)],
        context: &[
            "bsn",
            "burgerservicenummer",
            "sofinummer",
            "sofi-nummer",
            "sofi",
            "burger service",
            "citizen service",
        ],
    },
    Entity {
        id: "be-national",
        entity: "BE_NATIONAL_NUMBER",
        tier: Tier::A,
        about: "Belgian national register number: date of birth and 97 minus the rest",
        proof: Proof::Checksum,
        forms: &[
            a("99.99.99-999.99", national),
            b("99999999999", national),
            b("99 99 99 999 99", national),
            b("999999-999-99", national),
        ],
        context: &[
            "rijksregister",
            "rijksregisternummer",
            "registre national",
            "numéro national",
            "nationaal nummer",
            "nrn",
            "niss",
            "insz",
            "national number",
            "national register",
            "nationalregister",
        ],
    },
    Entity {
        id: "lu-national",
        entity: "LU_NATIONAL_NUMBER",
        tier: Tier::B,
        about: "Luxembourgish national number: date of birth, Luhn and Verhoeff",
        proof: Proof::Checksum,
        forms: &[
            b("9999999999999", luxembourg),
            b("9999 9999 99999", luxembourg),
            b("9999 99 99 99999", luxembourg),
        ],
        context: &[
            "matricule",
            "numéro d'identification national",
            "luxembourg",
            "identification national",
            "cns",
        ],
    },
];

/// Weights 9 to 2 and minus 1; the sum is a multiple of 11. Source: Besluit burgerservicenummer; Logisch Ontwerp BSN.
pub(super) fn bsn(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let sum = weighted(&d, &[9, 8, 7, 6, 5, 4, 3, 2]);
        sum > 0 && sum % 11 == d[8]
    })
}

fn short_bsn(value: &[u8]) -> bool {
    bsn(&[b"0", value].concat())
}

/// 97 minus the rest of the first nine digits; those born since 2000 get a 2 before them. A month may be raised by 20 or 40.
/// Source: Arrêté royal du 3 avril 1984.
pub(super) fn national(value: &[u8]) -> bool {
    let (Some(body), Some(check)) = (value.get(..9).and_then(number), value.get(9..11).and_then(number))
    else {
        return false;
    };
    let Some(d) = digits::<11>(value) else { return false };
    let (month, day) = (d[2] * 10 + d[3], d[4] * 10 + d[5]);
    let month = if month > 40 {
        month - 40
    } else if month > 20 {
        month - 20
    } else {
        month
    };
    let dated = is_day(month, day) || (month == 0 && day <= 31);
    dated && body % 1000 > 0 && [body, body + 2_000_000_000].iter().any(|body| 97 - body % 97 == check)
}

/// Date of birth, serial, Luhn over the first eleven and twelfth, Verhoeff over the first eleven and thirteenth.
/// Source: Loi du 19 juin 2013 relative à l'identification des personnes physiques.
pub(super) fn luxembourg(value: &[u8]) -> bool {
    let Some(d) = digits::<13>(value) else { return false };
    let year = number(&value[..4]);
    let dated = matches!(year, Some(1850..=2100)) && is_day(d[4] * 10 + d[5], d[6] * 10 + d[7]);
    dated && luhn(&value[..12]) && verhoeff(&[&value[..11], &value[12..]].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(bsn(b"111222333") && bsn(b"941331490") && !bsn(b"111252333") && !bsn(b"000000000"));
        assert!(
            national(b"85073003328")
                && national(b"17073003384")
                && !national(b"85073003329")
                && !national(b"85133003328")
        );
        assert!(luxembourg(b"1893120105732") && !luxembourg(b"1893120105733"));
    }
}
