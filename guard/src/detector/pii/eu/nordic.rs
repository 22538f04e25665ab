//! Identifiers of Denmark, Norway, Sweden and Finland.

use super::super::checksum::{digits, is_day, luhn, number, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "dk-cpr",
        entity: "DK_CPR",
        tier: Tier::B,
        about: "Danish person number: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("999999-9999", cpr), b("9999999999", cpr), b("999999 9999", cpr)],
        context: &["cpr", "cpr-nummer", "cpr-nr", "personnummer", "cprnr", "cpr number"],
    },
    Entity {
        id: "no-birth-number",
        entity: "NO_BIRTH_NUMBER",
        tier: Tier::B,
        about: "Norwegian birth number: date of birth and two check digits",
        proof: Proof::Checksum,
        forms: &[b("99999999999", norwegian), b("999999 99999", norwegian), b("999999-99999", norwegian)],
        context: &[
            "fødselsnummer",
            "fodselsnummer",
            "fødselsnr",
            "personnummer",
            "fnr",
            "d-nummer",
            "national identity",
        ],
    },
    Entity {
        id: "se-person-number",
        entity: "SE_PERSON_NUMBER",
        tier: Tier::B,
        about: "Swedish person number: date of birth and Luhn",
        proof: Proof::Checksum,
        forms: &[
            b("999999-9999", swedish),
            b("999999+9999", swedish),
            b("9999999999", swedish),
            b("99999999-9999", swedish_long),
            b("99999999+9999", swedish_long),
            b("999999999999", swedish_long),
        ],
        context: &[
            "personnummer",
            "personnr",
            "pnr",
            "samordningsnummer",
            "person number",
            "personal number",
            "personal identity",
        ],
    },
    Entity {
        id: "se-organisation-number",
        entity: "SE_ORGANISATION_NUMBER",
        tier: Tier::B,
        about: "Swedish number of an organisation: Luhn",
        proof: Proof::Checksum,
        forms: &[b("999999-9999", organisation), b("9999999999", organisation)],
        context: &["organisationsnummer", "org.nr", "orgnr", "org nr", "organisation number", "org-nr"],
    },
    Entity {
        id: "fi-hetu",
        entity: "FI_HETU",
        tier: Tier::A,
        about: "Finnish identity code: date of birth, century and check character",
        proof: Proof::Checksum,
        forms: &[a("999999-999X", hetu), a("999999+999X", hetu), a("999999A999X", hetu_letter)],
        context: &["hetu", "henkilötunnus", "henkilötunnuksen", "sotu", "personbeteckning", "identity code"],
    },
];

/// Date of birth, serial, weights 4, 3, 2, 7, 6, 5, 4, 3, 2, 1. Since October 2007, numbers without check digit are issued
/// too: to those born since, and for first days of a year. Source: CPR-kontoret, "Personnummeret i CPR".
pub(super) fn cpr(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let (day, month, year) = (d[0] * 10 + d[1], d[2] * 10 + d[3], d[4] * 10 + d[5]);
        let checked = weighted(&d, &[4, 3, 2, 7, 6, 5, 4, 3, 2, 1]).is_multiple_of(11);
        let this_century = matches!((d[6], year), (4 | 9, 7..=36) | (5..=8, 7..=57));
        let dated = is_day(month, day) && value.get(6..) != Some(b"0000");
        dated && (checked || this_century || (month, day) == (1, 1))
    })
}

/// Day raised by 40 for foreigners (D number), month by 40 or 80 for others. Source: Skatteetaten, folkeregisterforskriften.
pub(super) fn norwegian(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let (day, month) = (d[0] * 10 + d[1], d[2] * 10 + d[3]);
        let dated = is_day(month % 40, if day > 40 { day - 40 } else { day });
        let first = weighted(&d, &[3, 7, 6, 1, 8, 9, 4, 5, 2, 1]);
        let second = weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4, 3, 2, 1]);
        dated && first.is_multiple_of(11) && second.is_multiple_of(11)
    })
}

/// The day is raised by 60 in coordination numbers. Source: Skatteverket, SKV 704.
pub(super) fn swedish(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let day = d[4] * 10 + d[5];
        is_day(d[2] * 10 + d[3], if day > 60 { day - 60 } else { day }) && luhn(value)
    })
}

fn swedish_long(value: &[u8]) -> bool {
    let century = value.get(..2).and_then(number);
    value.len() == 12 && matches!(century, Some(18..=20)) && value.get(2..).is_some_and(swedish)
}

/// The third digit is 2 or more, so that it is no date. Source: Bolagsverket, lag (1974:174).
pub(super) fn organisation(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| d[2] >= 2 && d[0] > 0 && luhn(value))
}

const HETU: &[u8; 31] = b"0123456789ABCDEFHJKLMNPRSTUVWXY";

/// Nine digits modulo 31. Source: Digi- ja väestötietovirasto, "Henkilötunnus".
pub(super) fn hetu(value: &[u8]) -> bool {
    let (Some(body), Some(last)) = (value.get(..9), value.get(9)) else { return false };
    let Some(d) = digits::<9>(body) else { return false };
    let rest = number(body).and_then(|body| usize::try_from(body % 31).ok());
    let serial = number(&body[6..]).is_some_and(|serial| serial >= 2);
    let expected = rest.and_then(|rest| HETU.get(rest));
    value.len() == 10 && is_day(d[2] * 10 + d[3], d[0] * 10 + d[1]) && serial && expected == Some(last)
}

/// With a letter for the century: A to F since 2000, U to Y before.
fn hetu_letter(value: &[u8]) -> bool {
    let century = value.get(6).is_some_and(|letter| matches!(letter, b'A'..=b'F' | b'U'..=b'Y'));
    let rest = [value.get(..6).unwrap_or_default(), value.get(7..).unwrap_or_default()].concat();
    century && hetu(&rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            cpr(b"2110625629")
                && cpr(b"0101651234")
                && !cpr(b"2110625628")
                && !cpr(b"2113625629")
                && !cpr(b"3202625629")
        );
        assert!(norwegian(b"15108695088") && norwegian(b"15021951940") && !norwegian(b"15108695077"));
        assert!(swedish(b"8803200016") && swedish(b"6408233234") && !swedish(b"8803200018"));
        assert!(swedish_long(b"188803200016") && !swedish_long(b"218803200016"));
        assert!(organisation(b"1234567897") && !organisation(b"1234567891"));
        assert!(hetu(b"131052308T") && !hetu(b"131052308U") && !hetu(b"411052308T"));
        assert!(hetu_letter(b"131052A308T") && !hetu_letter(b"131052G308T"));
    }
}
