//! Identifiers of Latin America.

use super::checksum::{base36, digits, is_day, number, uniform, weighted};
use super::entity::{Entity, Proof};
use super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "br-cpf",
        entity: "BR_CPF",
        tier: Tier::A,
        about: "Brazilian number of a person: two check digits; bare only with context",
        proof: Proof::Checksum,
        forms: &[
            a("999.999.999-99", cpf),
            b("999999999-99", cpf),
            b("99999999999", cpf),
            b("999 999 999 99", cpf),
        ],
        context: &["cpf", "cadastro de pessoa", "contribuinte", "cpf/mf"],
    },
    Entity {
        id: "br-cnpj",
        entity: "BR_CNPJ",
        tier: Tier::A,
        about: "Brazilian number of a company, with letters since 2026: two check digits; bare only with context",
        proof: Proof::Checksum,
        forms: &[a("XX.XXX.XXX/XXXX-99", cnpj), b("XXXXXXXXXXXX99", cnpj), b("XXXXXXXX/XXXX-99", cnpj)],
        context: &["cnpj", "cadastro nacional", "pessoa jurídica", "empresa", "razão social"],
    },
    Entity {
        id: "ar-cuit",
        entity: "AR_CUIT",
        tier: Tier::A,
        about: "Argentine tax number: check digit modulo 11; bare only with context",
        proof: Proof::Checksum,
        forms: &[
            a("99-99999999-9", cuit),
            b("99999999999", cuit),
            b("99 99999999 9", cuit),
            b("99-99.999.999-9", cuit),
        ],
        context: &["cuit", "cuil", "c.u.i.t", "afip", "clave única", "tributaria"],
    },
    Entity {
        id: "cl-rut",
        entity: "CL_RUT",
        tier: Tier::A,
        about: "Chilean number of a person or company: check digit modulo 11; without dots only with context",
        proof: Proof::Checksum,
        forms: &[
            a("99.999.999-X", rut),
            a("9.999.999-X", rut),
            b("99999999-X", rut),
            b("9999999-X", rut),
            b("99999999X", rut),
            b("9999999X", rut),
        ],
        context: &["rut", "run", "rol único", "rol unico", "cédula de identidad", "r.u.t"],
    },
    Entity {
        id: "mx-curp",
        entity: "MX_CURP",
        tier: Tier::A,
        about: "Mexican population code: date of birth, state and check digit",
        proof: Proof::Checksum,
        forms: &[a("AAAA999999AAAAAAX9", curp)],
        context: &["curp", "clave única de registro", "registro de población"],
    },
    Entity {
        id: "mx-rfc",
        entity: "MX_RFC",
        tier: Tier::B,
        about: "Mexican taxpayer code: date and check character",
        proof: Proof::Checksum,
        forms: &[
            b("AAAA999999XXX", rfc),
            b("AAA999999XXX", rfc),
            b("AAAA-999999-XXX", rfc),
            b("AAA-999999-XXX", rfc),
        ],
        context: &["rfc", "registro federal", "contribuyentes", "sat", "homoclave"],
    },
    Entity {
        id: "co-nit",
        entity: "CO_NIT",
        tier: Tier::A,
        about: "Colombian tax number: check digit modulo 11; without dots only with context",
        proof: Proof::Checksum,
        forms: &[
            a("999.999.999-9", nit),
            b("999999999-9", nit),
            b("9999999999", nit),
            b("9.999.999.999-9", nit),
        ],
        context: &["nit", "número de identificación tributaria", "dian", "rut"],
    },
    Entity {
        id: "pe-ruc",
        entity: "PE_RUC",
        tier: Tier::B,
        about: "Peruvian taxpayer number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("99999999999", ruc)],
        context: &["ruc", "registro único de contribuyentes", "sunat"],
    },
];

/// Two check digits, weights 10 to 2 and 11 to 2. Source: Receita Federal, Instrução Normativa RFB 1548/2015.
pub(super) fn cpf(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let check = |weights: &[u32]| (11 - weighted(&d, weights) % 11) % 11 % 10;
        check(&[10, 9, 8, 7, 6, 5, 4, 3, 2]) == d[9]
            && check(&[11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) == d[10]
            && !uniform(value)
    })
}

/// Two check digits over twelve letters and digits, each counting as its ASCII code less 48.
/// Source: Receita Federal, Instrução Normativa RFB 2229/2024.
pub(super) fn cnpj(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 13] = [6, 5, 4, 3, 2, 9, 8, 7, 6, 5, 4, 3, 2];
    let values: Vec<u32> = value.iter().map(|byte| u32::from(byte.wrapping_sub(b'0'))).collect();
    let check = |count: usize| {
        let sum =
            values.get(..count).map(|values| weighted(values, &WEIGHTS[13 - count..])).unwrap_or_default();
        (11 - sum % 11) % 11 % 10
    };
    value.len() == 14
        && !uniform(value)
        && value.iter().any(u8::is_ascii_digit)
        && values.get(12..) == Some(&[check(12), check(13)])
}

/// Kinds of taxpayer, weights 5, 4, 3, 2, 7 … 2. Source: AFIP, Resolución General 10/1997.
pub(super) fn cuit(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let known = matches!(d[0] * 10 + d[1], 20 | 23..=27 | 30 | 33 | 34 | 50 | 51 | 55);
        let check = (11 - weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        known && check.min(9) == d[10]
    })
}

/// Weights 2 to 7 from the right, K for ten. Source: Servicio de Registro Civil; Decreto 18 of 1969.
pub(super) fn rut(value: &[u8]) -> bool {
    let Some((check, body)) = value.split_last() else { return false };
    let Some(number) = number(body) else { return false };
    let sum: u32 = body
        .iter()
        .rev()
        .zip([2, 3, 4, 5, 6, 7, 2, 3])
        .map(|(byte, weight)| u32::from(byte - b'0') * weight)
        .sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'K',
        rest => b'0' + u8::try_from(rest).unwrap_or(0),
    };
    number >= 1_000_000 && *check == expected && !uniform(body)
}

/// States of Mexico, and NE for those born abroad.
const STATES: &str =
    "AS BC BS CC CS CH CL CM DF DG GT GR HG JC MC MN MS NT NL OC PL QT QR SP SL SR TC TS TL VZ YN ZS NE";

/// Year, month and day at a place.
fn dated(value: &[u8], place: usize) -> bool {
    let part =
        |from: usize| value.get(from..from + 2).and_then(number).and_then(|part| u32::try_from(part).ok());
    matches!((part(place + 2), part(place + 4)), (Some(month), Some(day)) if is_day(month, day))
}

/// Weights 18 to 2 over the values in the alphabet with Ñ. Source: Diario Oficial de la Federación, 18 October 2021.
pub(super) fn curp(value: &[u8]) -> bool {
    let alphabet = |byte: u8| base36(byte).map(|value| if value >= 24 { value + 1 } else { value });
    let Some(values) = value.iter().map(|byte| alphabet(*byte)).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let sum: u32 = values.iter().take(17).zip((2..=18).rev()).map(|(value, weight)| value * weight).sum();
    let state =
        value.get(11..13).is_some_and(|state| STATES.split(' ').any(|known| known.as_bytes() == state));
    let sex = value.get(10).is_some_and(|sex| b"HMX".contains(sex));
    value.len() == 18 && sex && state && dated(value, 4) && values.get(17) == Some(&((10 - sum % 10) % 10))
}

/// Weights 13 to 2 over the values in the tax administration's alphabet; eleven minus the rest, A for ten.
/// Source: SAT, "Algoritmo para generar el RFC con homoclave".
pub(super) fn rfc(value: &[u8]) -> bool {
    const ALPHABET: &[u8] = b"0123456789ABCDEFGHIJKLMN&OPQRSTUVWXYZ ";
    let padded = if value.len() == 12 { [b" ", value].concat() } else { value.to_vec() };
    let Some((check, body)) = padded.split_last().filter(|_| padded.len() == 13) else { return false };
    let rank =
        |byte: &u8| ALPHABET.iter().position(|letter| letter == byte).and_then(|at| u32::try_from(at).ok());
    let Some(values) = body.iter().map(rank).collect::<Option<Vec<u32>>>() else { return false };
    let sum: u32 = values.iter().zip((2..=13).rev()).map(|(value, weight)| value * weight).sum();
    let expected = match 11 - sum % 11 {
        11 => b'0',
        10 => b'A',
        rest => b'0' + u8::try_from(rest).unwrap_or(0),
    };
    dated(&padded, 4) && *check == expected
}

/// Weights 3, 7, 13, 17 … from the right. Source: DIAN, Orden Administrativa 4 of 1989.
pub(super) fn nit(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 15] = [3, 7, 13, 17, 19, 23, 29, 37, 41, 43, 47, 53, 59, 67, 71];
    let Some((check, body)) = value.split_last().filter(|_| value.iter().all(u8::is_ascii_digit)) else {
        return false;
    };
    let sum: u32 = body.iter().rev().zip(WEIGHTS).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
    let expected = match sum % 11 {
        rest @ 0..=1 => rest,
        rest => 11 - rest,
    };
    value.first() != Some(&b'0') && u32::from(check - b'0') == expected && !uniform(body)
}

/// Weights 5, 4, 3, 2, 7 … 2; 10 for people, 20 for companies. Source: SUNAT.
pub(super) fn ruc(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let known = matches!(d[0] * 10 + d[1], 10 | 15 | 16 | 17 | 20);
        known && (11 - weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 10 == d[10]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(cpf(b"39053344705") && cpf(b"11144477735") && !cpf(b"39053344706") && !cpf(b"11111111111"));
        assert!(
            cnpj(b"16727230000197")
                && cnpj(b"12ABC34501DE35")
                && !cnpj(b"16727230000198")
                && !cnpj(b"12ABC34501DE36")
        );
        assert!(
            cuit(b"20055361682") && cuit(b"20267565393") && !cuit(b"20267565392") && !cuit(b"99267565393")
        );
        assert!(rut(b"125319092") && rut(b"760864285") && !rut(b"125319093"));
        assert!(curp(b"BOXW310820HNERXN09") && !curp(b"BOXW310820HNERXN08") && !curp(b"BOXW311320HNERXN09"));
        assert!(rfc(b"GODE561231GR8") && !rfc(b"GODE561231GR9"));
        assert!(nit(b"2131234321") && !nit(b"2131234322") && ruc(b"20512333797") && !ruc(b"20512333798"));
    }
}
