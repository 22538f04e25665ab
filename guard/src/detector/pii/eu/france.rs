//! Identifiers of France.

use super::super::checksum::{luhn, number, uniform};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "fr-nir",
        entity: "FR_NIR",
        tier: Tier::A,
        about: "French social security number with its key: date, department and 97 minus the rest",
        proof: Proof::Checksum,
        forms: &[
            a("99999XX99999999", nir),
            a("9~99~99~XX~999~999~99", nir),
            a("99999XX999999 99", nir),
            a("99999XX999999-99", nir),
            a("9 99 99 XX 999 999 / 99", nir),
        ],
        context: &[
            "nir",
            "sécurité sociale",
            "securite sociale",
            "sécu",
            "numéro de sécurité",
            "insee",
            "carte vitale",
            "nss",
            "social security",
        ],
    },
    Entity {
        id: "fr-siren",
        entity: "FR_SIREN",
        tier: Tier::B,
        about: "French number of an enterprise: Luhn",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", siren)],
        context: &["siren", "rcs", "numéro siren", "entreprise", "société"],
    },
    Entity {
        id: "fr-siret",
        entity: "FR_SIRET",
        tier: Tier::B,
        about: "French number of an establishment: Luhn",
        proof: Proof::Checksum,
        forms: &[b("999_999_999_99999", siret), b("999999999 99999", siret)],
        context: &["siret", "numéro siret", "établissement", "etablissement", "entreprise"],
    },
    Entity {
        id: "fr-tax-number",
        entity: "FR_TAX_NUMBER",
        tier: Tier::B,
        about: "French tax number of a person: key modulo 511",
        proof: Proof::Checksum,
        forms: &[b("9999999999999", fiscal), b("99 99 999 999 999", fiscal)],
        context: &[
            "numéro fiscal",
            "numero fiscal",
            "spi",
            "impôts",
            "impots",
            "référence fiscale",
            "fiscal",
            "tax number",
            "nif",
        ],
    },
    Entity {
        id: "fr-passport",
        entity: "FR_PASSPORT",
        tier: Tier::C,
        about: "French passport number: two digits, two letters, five digits",
        proof: Proof::Loose,
        forms: &[c("99AA99999", any)],
        context: &["passeport", "passport", "numéro de passeport"],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// Sex, year, month, department (2A and 2B for Corsica), commune, order, key. Source: INSEE, "Numéro d'inscription au
/// répertoire"; décret n° 82-103.
pub(super) fn nir(value: &[u8]) -> bool {
    let (Some(body), Some(key)) = (value.get(..13), value.get(13..15).and_then(number)) else { return false };
    // Corsica counts as department 19 or 18 in the sum.
    let body = match body.get(5..7) {
        Some(b"2A") => [&body[..5], b"19", &body[7..]].concat(),
        Some(b"2B") => [&body[..5], b"18", &body[7..]].concat(),
        _ => body.to_vec(),
    };
    let month = value.get(3..5).and_then(number);
    let dated = matches!(month, Some(1..=12 | 20 | 30..=42 | 50..=99));
    let sex = matches!(value.first(), Some(b'1'..=b'4' | b'7' | b'8'));
    let placed = value.get(5..7) != Some(b"00");
    value.len() == 15 && sex && dated && placed && number(&body).is_some_and(|body| 97 - body % 97 == key)
}

/// Source: INSEE, "Système d'identification du répertoire des entreprises".
pub(super) fn siren(value: &[u8]) -> bool {
    value.len() == 9 && luhn(value) && !uniform(value)
}

/// Like SIREN over all digits; establishments of La Poste have a sum of digits that is a multiple of five.
pub(super) fn siret(value: &[u8]) -> bool {
    let (Some(company), Some(office)) = (value.get(..9), value.get(9..14)) else { return false };
    let sum: u64 = value.iter().map(|byte| u64::from(byte.wrapping_sub(b'0'))).sum();
    let post = company == b"356000000" && office != b"00048" && sum.is_multiple_of(5);
    value.len() == 14 && siren(company) && (luhn(value) || post)
}

/// The first ten digits modulo 511 are the last three; the first digit is 0 to 3.
/// Source: Direction générale des finances publiques; European Commission, TIN algorithms.
pub(super) fn fiscal(value: &[u8]) -> bool {
    let (Some(body), Some(key)) = (value.get(..10).and_then(number), value.get(10..13).and_then(number))
    else {
        return false;
    };
    value.len() == 13 && matches!(value.first(), Some(b'0'..=b'3')) && body > 0 && body % 511 == key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(nir(b"295109912611193") && nir(b"253072B07300470") && nir(b"253072A07300443"));
        assert!(!nir(b"295109912611199") && !nir(b"295199912611193") && !nir(b"995109912611193"));
        assert!(siren(b"552008443") && !siren(b"404833047") && !siren(b"000000000"));
        assert!(siret(b"73282932000074") && siret(b"35600000049837") && !siret(b"73282932000079"));
        assert!(fiscal(b"3023217600053"));
        assert!(!fiscal(b"3023217600054"));
    }
}
