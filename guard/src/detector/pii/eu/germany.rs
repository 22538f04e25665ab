//! Identifiers of Germany.

use super::super::checksum::{base36, digit, digits, is_day, mod11_10};
use super::super::entity::{Entity, Proof};
use super::super::form::b;
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "de-tax-id",
        entity: "DE_TAX_ID",
        tier: Tier::B,
        about: "German tax identification number: ISO 7064 check digit and repeated digits",
        proof: Proof::Checksum,
        forms: &[b("99999999999", tax_id), b("99 999 999 999", tax_id), b("999/999/99999", tax_id)],
        context: &[
            "steuer-id",
            "steuerid",
            "steueridentifikationsnummer",
            "steuer-idnr",
            "steuer-identifikationsnummer",
            "idnr",
            "identifikationsnummer",
            "steuernummer",
            "tax id",
            "tin",
            "tax identification",
            "steuerliche",
        ],
    },
    Entity {
        id: "de-id-card",
        entity: "DE_ID_CARD",
        tier: Tier::B,
        about: "German identity card or passport number with its check digit (7-3-1)",
        proof: Proof::Checksum,
        forms: &[b("AXXXXXXXX9", card), b("9999999999", old_card)],
        context: &[
            "personalausweis",
            "ausweisnummer",
            "ausweis",
            "ausweis-nr",
            "personalausweisnummer",
            "reisepass",
            "passnummer",
            "reisepassnummer",
            "id card",
            "identity card",
            "passport",
            "seriennummer",
        ],
    },
    Entity {
        id: "de-pension",
        entity: "DE_PENSION_NUMBER",
        tier: Tier::B,
        about: "German pension insurance number: date of birth, letter and check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999A999", pension), b("99~999999~A~999", pension), b("99 99 99 99 A 999", pension)],
        context: &[
            "rentenversicherung",
            "rentenversicherungsnummer",
            "rvnr",
            "sozialversicherung",
            "sozialversicherungsnummer",
            "sv-nummer",
            "svnr",
            "versicherungsnummer",
            "social security",
            "rv-nummer",
            "vsnr",
        ],
    },
    Entity {
        id: "de-health",
        entity: "DE_HEALTH_NUMBER",
        tier: Tier::B,
        about: "German health insurance number: letter, nine digits, check digit",
        proof: Proof::Checksum,
        forms: &[b("A999999999", health), b("A999 999 999", health)],
        context: &[
            "krankenversicherung",
            "krankenversichertennummer",
            "kvnr",
            "versichertennummer",
            "gesundheitskarte",
            "krankenkasse",
            "health insurance",
            "versichertennr",
            "egk",
            "krankenversicherungsnummer",
        ],
    },
    Entity {
        id: "de-doctor",
        entity: "DE_DOCTOR_NUMBER",
        tier: Tier::B,
        about: "German lifelong number of a doctor: check digit (4-9)",
        proof: Proof::Checksum,
        forms: &[b("999999999", doctor)],
        context: &["lanr", "arztnummer", "lebenslange arztnummer", "arzt-nr"],
    },
];

/// ISO 7064 MOD 11,10; the first digit is not 0, and of the first ten one occurs two or three times, the others at most
/// once. Source: Bundeszentralamt für Steuern, "Steueridentifikationsnummer", annex on check digits.
pub(super) fn tax_id(value: &[u8]) -> bool {
    let Some(body) = value.get(..10).filter(|_| value.len() == 11) else { return false };
    let count = |wanted: u8| body.iter().filter(|byte| **byte == wanted).count();
    let counts: Vec<usize> = (b'0'..=b'9').map(count).filter(|count| *count > 1).collect();
    value.first() != Some(&b'0') && matches!(counts.as_slice(), [2 | 3]) && mod11_10(value)
}

/// The sum of values and weights 7, 3, 1 modulo ten, a letter being 10 to 35 (ICAO Doc 9303, part 3).
fn seven_three_one(body: &[u8]) -> Option<u32> {
    let values = body.iter().map(|byte| base36(*byte)).collect::<Option<Vec<u32>>>()?;
    Some(values.iter().zip([7, 3, 1].iter().cycle()).map(|(value, weight)| value * weight).sum::<u32>() % 10)
}

/// Serial of nine of the letters that cannot be mistaken, then the check digit. Source: Personalausweisverordnung, ICAO.
pub(super) fn card(value: &[u8]) -> bool {
    let Some((check, serial)) = value.split_last() else { return false };
    let fits = serial.iter().all(|byte| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte));
    serial.len() == 9 && fits && seven_three_one(serial) == Some(digit(*check))
}

/// The digits alone that cards had until 2010.
fn old_card(value: &[u8]) -> bool {
    value.iter().any(|byte| *byte != b'0')
        && value.split_last().is_some_and(|(check, serial)| seven_three_one(serial) == Some(digit(*check)))
}

/// The sum of the digits of products.
fn crossed(values: &[u32], weights: &[u32]) -> u32 {
    values
        .iter()
        .zip(weights)
        .map(|(value, weight)| value * weight)
        .map(|product| product / 10 + product % 10)
        .sum()
}

/// Area, date of birth (the day may be raised by 50), letter, serial, check digit.
/// Source: Verordnung über die Versicherungsnummer (VKVV), section 2 to 4.
pub(super) fn pension(value: &[u8]) -> bool {
    let (Some(first), Some(&letter), Some(last)) =
        (value.get(..8).and_then(digits::<8>), value.get(8), value.get(9..).and_then(digits::<3>))
    else {
        return false;
    };
    let rank = u32::from(letter.saturating_sub(b'A')) + 1;
    let mut all = first.to_vec();
    all.extend([rank / 10, rank % 10, last[0], last[1]]);
    let day = first[2] * 10 + first[3];
    let dated = is_day(first[4] * 10 + first[5], if day > 50 { day - 50 } else { day });
    dated && crossed(&all, &[2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1]) % 10 == last[2]
}

/// A letter as two digits, eight digits, weights 1 and 2, check digit. Source: GKV-Spitzenverband, § 290 SGB V.
pub(super) fn health(value: &[u8]) -> bool {
    let Some((&letter, d)) =
        value.split_first().and_then(|(letter, rest)| Some((letter, digits::<9>(rest)?)))
    else {
        return false;
    };
    let rank = u32::from(letter.saturating_sub(b'A')) + 1;
    let mut all = vec![rank / 10, rank % 10];
    all.extend(&d[..8]);
    crossed(&all, &[1, 2, 1, 2, 1, 2, 1, 2, 1, 2]) % 10 == d[8]
}

/// Weights 4 and 9 over six digits, ten minus the rest, then two digits of the field.
/// Source: Kassenärztliche Bundesvereinigung, "Arztnummern".
pub(super) fn doctor(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let sum: u32 = d.iter().zip([4, 9, 4, 9, 4, 9]).map(|(digit, weight)| digit * weight).sum();
        sum > 0 && (10 - sum % 10) % 10 == d[6]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            tax_id(b"36574261809")
                && tax_id(b"86095742719")
                && tax_id(b"47036892816")
                && tax_id(b"65929970489")
        );
        assert!(!tax_id(b"36574261808") && !tax_id(b"12345678903"));
        assert!(card(b"L01X00T471") && card(b"T220001293") && !card(b"L01X00T472") && !card(b"A01X00T471"));
        assert!(old_card(b"1220001297") && !old_card(b"1220001298") && !old_card(b"0000000000"));
        assert!(pension(b"15070649C103") && !pension(b"15070649C104") && !pension(b"15071349C103"));
        assert!(health(b"A123456780") && !health(b"A123456781"));
        assert!(doctor(b"123456601") && !doctor(b"123456701"));
    }
}
