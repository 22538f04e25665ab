//! Identifiers of Switzerland, Austria, Czechia, Slovakia, Hungary and Ireland.

use super::super::checksum::{digits, is_day, number, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "ch-ahv",
        entity: "CH_AHV",
        tier: Tier::A,
        about: "Swiss social security number: 756 and the check digit of EAN-13",
        proof: Proof::Checksum,
        forms: &[
            a("756.9999.9999.99", ahv),
            a("756 9999 9999 99", ahv),
            b("7569999999999", ahv),
            b("756-9999-9999-99", ahv),
        ],
        context: &[
            "ahv",
            "avs",
            "ahv-nr",
            "ahv-nummer",
            "sozialversicherungsnummer",
            "numéro avs",
            "navs",
            "social security",
            "oasi",
        ],
    },
    Entity {
        id: "at-social-security",
        entity: "AT_SVNR",
        tier: Tier::B,
        about: "Austrian social security number: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[
            b("9999999999", svnr),
            b("9999 999999", svnr),
            b("9999-999999", svnr),
            b("9999/999999", svnr),
        ],
        context: &[
            "svnr",
            "sozialversicherungsnummer",
            "sv-nummer",
            "svn",
            "versicherungsnummer",
            "sozialversicherung",
        ],
    },
    Entity {
        id: "cz-birth-number",
        entity: "CZ_BIRTH_NUMBER",
        tier: Tier::B,
        about: "Czech or Slovak birth number: date of birth, a multiple of 11",
        proof: Proof::Checksum,
        forms: &[
            b("999999/9999", birth),
            b("9999999999", birth),
            b("999999/999", old_birth),
            b("999999 9999", birth),
        ],
        context: &["rodné číslo", "rodne cislo", "rodného čísla", "r.č.", "rč", "birth number", "rc"],
    },
    Entity {
        id: "hu-tax-id",
        entity: "HU_TAX_ID",
        tier: Tier::B,
        about: "Hungarian tax number of a person: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("8999999999", hungarian)],
        context: &["adóazonosító", "adoazonosito", "adóazonosító jel", "adószám"],
    },
    Entity {
        id: "hu-taj",
        entity: "HU_TAJ",
        tier: Tier::B,
        about: "Hungarian social security number: check digit modulo 10",
        proof: Proof::Checksum,
        forms: &[b("999_999_999", taj)],
        context: &["taj", "taj szám", "taj-szám", "társadalombiztosítási"],
    },
    Entity {
        id: "ie-pps",
        entity: "IE_PPS",
        tier: Tier::B,
        about: "Irish personal public service number: letter modulo 23",
        proof: Proof::Checksum,
        forms: &[b("9999999A", pps), b("9999999AA", pps), b("9999999 A", pps), b("9999999 AA", pps)],
        context: &["pps", "ppsn", "pps number", "personal public service", "rsi"],
    },
];

/// Source: Zentrale Ausgleichsstelle, "AHV-Nummer"; GS1, EAN-13.
pub(super) fn ahv(value: &[u8]) -> bool {
    digits::<13>(value).is_some_and(|d| {
        let sum = weighted(&d, &[1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1, 3, 1]);
        value.starts_with(b"756") && sum.is_multiple_of(10)
    })
}

/// Weights 3, 7, 9, 5, 8, 4, 2, 1, 6 around the check digit in the fourth place; months 13 to 15 stand in for more
/// numbers of a day. Source: Dachverband der Sozialversicherungsträger.
pub(super) fn svnr(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let month = d[6] * 10 + d[7];
        let dated = is_day(if month > 12 { 1 } else { month }, d[4] * 10 + d[5]) && month < 16;
        d[0] > 0 && dated && weighted(&d, &[3, 7, 9, 0, 5, 8, 4, 2, 1, 6]) % 11 == d[3]
    })
}

/// The month is raised by 50 for women, by 20 or 70 where a day ran out of numbers; until 1985 a rest of ten counts as 0.
/// Source: Zákon č. 133/2000 Sb.
pub(super) fn birth(value: &[u8]) -> bool {
    let Some(d) = digits::<10>(value) else { return false };
    let (whole, body) = (number(value).unwrap_or(1), number(&value[..9]).unwrap_or(0));
    let year = d[0] * 10 + d[1];
    let exception = (54..86).contains(&year) && body % 11 == 10 && d[9] == 0;
    birthday(&d) && (whole.is_multiple_of(11) || exception)
}

/// Nine digits without check digit, until 1953.
pub(super) fn old_birth(value: &[u8]) -> bool {
    digits::<9>(value)
        .is_some_and(|d| d[0] * 10 + d[1] < 54 && birthday(&d) && value.get(6..) != Some(b"000"))
}

fn birthday(d: &[u32]) -> bool {
    let &[_, _, m, n, t, u, ..] = d else { return false };
    let month = (m * 10 + n) % 50;
    is_day(if month > 20 { month - 20 } else { month }, t * 10 + u)
}

/// Weights 1 to 9; a person's begins with 8. Source: 1996. évi XX. törvény.
pub(super) fn hungarian(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| d[0] == 8 && weighted(&d, &[1, 2, 3, 4, 5, 6, 7, 8, 9]) % 11 == d[9])
}

/// Weights 3 and 7. Source: 1996. évi XX. törvény.
pub(super) fn taj(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let sum = weighted(&d, &[3, 7, 3, 7, 3, 7, 3, 7]);
        sum > 0 && sum % 10 == d[8]
    })
}

/// Weights 8 to 2, and 9 for the second letter (W counts as 0); W for a rest of 0, else the letter of the rest.
/// Source: Department of Social Protection; Revenue.
pub(super) fn pps(value: &[u8]) -> bool {
    let Some(d) = value.get(..7).and_then(digits::<7>) else { return false };
    let second = match value.get(8) {
        None => 0,
        Some(letter @ b'A'..=b'I') => u32::from(letter - b'A' + 1),
        Some(b'W' | b'T' | b'X') => 0,
        Some(_) => return false,
    };
    let rest = (weighted(&d, &[8, 7, 6, 5, 4, 3, 2]) + second * 9) % 23;
    let expected = if rest == 0 { b'W' } else { b'@' + u8::try_from(rest).unwrap_or(0) };
    value.len() <= 9 && value.get(7) == Some(&expected) && d.iter().any(|digit| *digit != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(ahv(b"7569217076985") && !ahv(b"7569217076984"));
        assert!(svnr(b"1237010180") && !svnr(b"2237010180"));
        assert!(birth(b"7103192745") && !birth(b"7103192746") && !birth(b"7113192745"));
        assert!(old_birth(b"401224001") && !old_birth(b"701224001"));
        assert!(hungarian(b"8071592153") && !hungarian(b"8071592154"));
        assert!(taj(b"111111110") && !taj(b"111111111"));
        assert!(
            pps(b"6433435F")
                && pps(b"6433435FT")
                && pps(b"6433435OA")
                && !pps(b"6433435E")
                && !pps(b"6433435VH")
        );
    }
}
