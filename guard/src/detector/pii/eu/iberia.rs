//! Identifiers of Spain and Portugal.

use super::super::checksum::{base36, digits, luhn, number, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "es-dni",
        entity: "ES_DNI",
        tier: Tier::A,
        about: "Spanish identity card number: letter modulo 23",
        proof: Proof::Checksum,
        forms: &[
            a("99999999A", dni),
            a("99999999-A", dni),
            a("99999999 A", dni),
            a("99.999.999-A", dni),
            a("99.999.999A", dni),
            a("99.999.999 A", dni),
            b("9999999A", short_dni),
            b("9999999-A", short_dni),
        ],
        context: &["dni", "nif", "documento nacional", "identidad", "documento de identidad", "carnet"],
    },
    Entity {
        id: "es-nie",
        entity: "ES_NIE",
        tier: Tier::A,
        about: "Spanish number of a foreigner: letter modulo 23",
        proof: Proof::Checksum,
        forms: &[
            a("A9999999A", nie),
            a("A-9999999-A", nie),
            a("A-9999999A", nie),
            a("A9999999-A", nie),
            a("A 9999999 A", nie),
            a("A-9.999.999-A", nie),
        ],
        context: &["nie", "extranjero", "nif", "identidad de extranjero", "residencia"],
    },
    Entity {
        id: "es-cif",
        entity: "ES_CIF",
        tier: Tier::B,
        about: "Spanish number of a company: check digit or letter",
        proof: Proof::Checksum,
        forms: &[b("A9999999X", cif), b("A-99999999", cif), b("A-9999999-X", cif), b("A-9999999X", cif)],
        context: &["cif", "nif", "empresa", "sociedad", "compañía", "fiscal"],
    },
    Entity {
        id: "es-social-security",
        entity: "ES_SOCIAL_SECURITY",
        tier: Tier::B,
        about: "Spanish social security number: two digits modulo 97",
        proof: Proof::Checksum,
        forms: &[
            b("999999999999", nss),
            b("99 99999999 99", nss),
            b("99/99999999/99", nss),
            b("99-99999999-99", nss),
        ],
        context: &["seguridad social", "nss", "afiliación", "afiliacion", "naf", "social security"],
    },
    Entity {
        id: "pt-nif",
        entity: "PT_NIF",
        tier: Tier::B,
        about: "Portuguese tax number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", nif)],
        context: &[
            "nif",
            "contribuinte",
            "número de contribuinte",
            "nipc",
            "fiscal",
            "identificação fiscal",
            "finanças",
        ],
    },
    Entity {
        id: "pt-citizen-card",
        entity: "PT_CITIZEN_CARD",
        tier: Tier::B,
        about: "Portuguese citizen card number: check digit over letters and digits",
        proof: Proof::Checksum,
        forms: &[b("999999999AX9", citizen), b("99999999 9 AX9", citizen), b("99999999-9-AX9", citizen)],
        context: &[
            "cartão de cidadão",
            "cartao de cidadao",
            "cidadão",
            "bilhete de identidade",
            "cc",
            "identificação civil",
        ],
    },
    Entity {
        id: "es-passport",
        entity: "ES_PASSPORT",
        tier: Tier::C,
        about: "Spanish passport number: two or three letters, six digits",
        proof: Proof::Loose,
        forms: &[c("AA9999999", any), c("AAA999999", any)],
        context: &["pasaporte", "passport"],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// The letter of a number. Source: Real Decreto 1553/2005; Ministerio del Interior, "Cálculo del dígito de control".
fn letter(number: u64) -> Option<u8> {
    usize::try_from(number % 23).ok().and_then(|rest| b"TRWAGMYFPDXBNJZSQVHLCKE".get(rest).copied())
}

pub(super) fn dni(value: &[u8]) -> bool {
    let Some((last, body)) = value.split_last() else { return false };
    body.len() == 8 && body != b"00000000" && number(body).and_then(letter) == Some(*last)
}

/// Written without its leading zero.
fn short_dni(value: &[u8]) -> bool {
    dni(&[b"0", value].concat())
}

/// X, Y and Z count as 0, 1 and 2. Source: Real Decreto 557/2011.
pub(super) fn nie(value: &[u8]) -> bool {
    let Some((first, rest)) = value.split_first() else { return false };
    let first = match first {
        b'X' => b'0',
        b'Y' => b'1',
        b'Z' => b'2',
        _ => return false,
    };
    let Some((last, body)) = rest.split_last() else { return false };
    body.len() == 7 && number(&[&[first], body].concat()).and_then(letter) == Some(*last)
}

/// Luhn over seven digits; some kinds of company write the check digit as a letter, J for 0.
/// Source: Decreto 2423/1975, Orden EHA/451/2008.
pub(super) fn cif(value: &[u8]) -> bool {
    let (Some(kind), Some(body), Some(last)) = (value.first(), value.get(1..8), value.get(8)) else {
        return false;
    };
    let check = (b'0'..=b'9').find(|check| luhn(&[body, &[*check]].concat()));
    let Some(check) = check.filter(|_| value.len() == 9) else { return false };
    let as_letter = b"JABCDEFGHI".get(usize::from(check - b'0')).copied();
    let known = b"ABCDEFGHJKLMNPQRSUVW".contains(kind);
    known && (*last == check || Some(*last) == as_letter)
}

/// Province and number modulo 97; numbers below ten million are joined without padding.
/// Source: Tesorería General de la Seguridad Social.
pub(super) fn nss(value: &[u8]) -> bool {
    let parts = (
        value.get(..2).and_then(number),
        value.get(2..10).and_then(number),
        value.get(10..12).and_then(number),
    );
    let (Some(province), Some(serial), Some(check)) = parts else { return false };
    let joined =
        if serial < 10_000_000 { serial + province * 10_000_000 } else { serial + province * 100_000_000 };
    value.len() == 12 && (1..=66).contains(&province) && serial > 0 && joined % 97 == check
}

/// Weights 9 to 2, eleven minus the rest, 10 and 11 count as 0. Source: Decreto-Lei n.º 14/2013.
pub(super) fn nif(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let check = (11 - weighted(&d, &[9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 11 % 10;
        d[0] > 0 && check == d[8]
    })
}

/// Luhn over letters (10 to 35) and digits. Source: Autoridade Tributária, "Validação de Número de Documento do Cartão
/// de Cidadão".
pub(super) fn citizen(value: &[u8]) -> bool {
    let mut sum = 0;
    for (place, byte) in value.iter().rev().enumerate() {
        let Some(value) = base36(*byte) else { return false };
        let value = if place % 2 == 1 { value * 2 } else { value };
        sum += if place % 2 == 1 && value > 9 { value - 9 } else { value };
    }
    value.len() == 12 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(dni(b"54362315K") && dni(b"12345678Z") && !dni(b"54362315Z") && !dni(b"00000000T"));
        assert!(nie(b"X2482300W") && nie(b"X5253868R") && !nie(b"X2482300A") && !nie(b"A2482300W"));
        assert!(
            cif(b"J99216582")
                && cif(b"B64717838")
                && cif(b"Q2876031B")
                && !cif(b"J99216583")
                && !cif(b"M1234567L")
        );
        assert!(nss(b"281234567840") && !nss(b"281234567841"));
        assert!(nif(b"501964843") && nif(b"123456789") && !nif(b"501964842") && !nif(b"023456780"));
        assert!(citizen(b"000000000ZZ4") && !citizen(b"000000000ZZ3"));
    }
}
