//! Identifiers of the United States.

use super::checksum::{digits, luhn, number, weighted};
use super::entity::{Entity, Proof};
use super::form::{a, b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "us-ssn",
        entity: "US_SSN",
        tier: Tier::A,
        about: "US social security number: area, group and serial that exist; without dashes only with context",
        proof: Proof::Shape,
        forms: &[
            a("999-99-9999", ssn),
            b("999-99-9999", sample),
            b("999 99 9999", social),
            b("999.99.9999", social),
            b("999999999", social),
        ],
        context: &["ssn", "social security", "social sec", "soc sec", "ss#", "ssn#", "seguro social", "ssns"],
    },
    Entity {
        id: "us-itin",
        entity: "US_ITIN",
        tier: Tier::B,
        about: "US individual taxpayer identification number: ranges that are issued",
        proof: Proof::Shape,
        forms: &[b("999_99_9999", itin)],
        context: &["itin", "taxpayer", "tax id", "tax identification", "tin", "individual taxpayer"],
    },
    Entity {
        id: "us-ein",
        entity: "US_EIN",
        tier: Tier::B,
        about: "US employer identification number: prefixes that are issued",
        proof: Proof::Shape,
        forms: &[b("99-9999999", ein)],
        context: &["ein", "fein", "employer identification", "federal tax", "tax id", "employer id"],
    },
    Entity {
        id: "us-npi",
        entity: "US_NPI",
        tier: Tier::B,
        about: "US national provider identifier: Luhn with the prefix 80840",
        proof: Proof::Checksum,
        forms: &[b("9999999999", npi)],
        context: &["npi", "national provider", "provider id", "provider number", "physician"],
    },
    Entity {
        id: "us-dea",
        entity: "US_DEA",
        tier: Tier::B,
        about: "US DEA registration of a prescriber: check digit",
        proof: Proof::Checksum,
        forms: &[b("AA9999999", dea), b("A99999999", dea)],
        context: &[
            "dea",
            "drug enforcement",
            "prescriber",
            "medical license",
            "medical licence",
            "controlled substance",
        ],
    },
    Entity {
        id: "us-mbi",
        entity: "US_MBI",
        tier: Tier::B,
        about: "US Medicare beneficiary identifier: the class of each place",
        proof: Proof::Shape,
        forms: &[b("9AX9AX9AA99", mbi), b("9AX9-AX9-AA99", mbi)],
        context: &["mbi", "medicare", "beneficiary", "medicare number", "cms"],
    },
    Entity {
        id: "us-passport",
        entity: "US_PASSPORT",
        tier: Tier::C,
        about: "US passport number: nine digits, or a letter and eight",
        proof: Proof::Loose,
        forms: &[c("999999999", any), c("A99999999", any)],
        context: &["passport", "passport number", "passport no", "travel document"],
    },
    Entity {
        id: "us-driver-license",
        entity: "US_DRIVER_LICENSE",
        tier: Tier::C,
        about: "US driver's licence number: shapes that states use",
        proof: Proof::Loose,
        forms: &[
            c("A9999999", any),
            c("99999999", any),
            c("999999999", any),
            c("A99999999", any),
            c("A999999999999", any),
            c("A999-9999-9999", any),
            c("A999-999-99-999-9", any),
            c("A9999-99999-99999", any),
            c("AA999999A", any),
            c("AA999999", any),
            c("999AA9999", any),
        ],
        context: &[
            "driver license",
            "driver's license",
            "drivers license",
            "driver licence",
            "driver's licence",
            "driving licence",
            "driving license",
            "license number",
            "licence number",
            "dl",
            "dmv",
            "dl#",
        ],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// Numbers that were printed in advertisements and are therefore nobody's (Social Security Administration).
const ADVERTISED: [&[u8]; 3] = [b"078051120", b"219099999", b"457555462"];

/// The number that everybody writes as an example.
const SAMPLE: &[u8] = b"123456789";

/// Area not 000, 666 or 900 and above, group not 00, serial not 0000. Source: Social Security Administration, since 2011.
pub(super) fn social(value: &[u8]) -> bool {
    let parts =
        (value.get(..3).and_then(number), value.get(3..5).and_then(number), value.get(5..9).and_then(number));
    let (Some(area), Some(group), Some(serial)) = parts else { return false };
    let issued = area != 0 && area != 666 && area < 900 && group != 0 && serial != 0;
    value.len() == 9 && issued && !ADVERTISED.contains(&value)
}

fn ssn(value: &[u8]) -> bool {
    social(value) && value != SAMPLE
}

fn sample(value: &[u8]) -> bool {
    value == SAMPLE
}

/// 9xx with a group of 50 to 65, 70 to 88, 90 to 92 or 94 to 99. Source: IRS Publication 1915 and IRM 3.21.263.
pub(super) fn itin(value: &[u8]) -> bool {
    let group = value.get(3..5).and_then(number);
    value.len() == 9
        && value.first() == Some(&b'9')
        && matches!(group, Some(50..=65 | 70..=88 | 90..=92 | 94..=99))
}

/// Prefixes of the campuses that issue them. Source: IRS, "How EINs are assigned and valid EIN prefixes".
pub(super) fn ein(value: &[u8]) -> bool {
    let prefix = value.get(..2).and_then(number);
    value.len() == 9
        && matches!(
            prefix,
            Some(1..=6 | 10..=16 | 20..=27 | 30..=48 | 50..=68 | 71..=77 | 80..=88 | 90..=95 | 98 | 99)
        )
}

/// Luhn over the number behind 80840. Source: 45 CFR 162.406 and CMS, "NPI check digit".
pub(super) fn npi(value: &[u8]) -> bool {
    let prefixed = [b"80840", value].concat();
    value.len() == 10 && matches!(value.first(), Some(b'1' | b'2')) && luhn(&prefixed)
}

/// The sum of the odd places and twice the even ones ends with the check digit. Source: DEA Diversion Control Division.
pub(super) fn dea(value: &[u8]) -> bool {
    let Some((letters, number)) = value.split_at_checked(2) else { return false };
    let kind = letters.first().is_some_and(|letter| b"ABCDEFGHJKLMPRSTUX".contains(letter));
    let name = letters.last().is_some_and(|letter| letter.is_ascii_uppercase() || *letter == b'9');
    digits::<7>(number).is_some_and(|d| {
        kind && name && weighted(&d, &[1, 2, 1, 2, 1, 2]) % 10 == d[6] && d.iter().any(|digit| *digit != 0)
    })
}

/// Letters are never S, L, O, I, B or Z; the first place is not 0. Source: CMS, "Understanding the MBI format".
pub(super) fn mbi(value: &[u8]) -> bool {
    let letters = value.iter().all(|byte| !b"SLOIBZ".contains(byte));
    value.len() == 11 && letters && value.first() != Some(&b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(ssn(b"536904399") && sample(b"123456789") && social(b"001010001"));
        for other in
            ["000123456", "666123456", "900123456", "123001234", "123450000", "078051120", "12345678"]
        {
            assert!(!social(other.as_bytes()), "{other}");
        }
        assert!(social(b"078051121"), "samples match whole");
        assert!(itin(b"912703456") && itin(b"900500000") && !itin(b"912663456") && !itin(b"812703456"));
        assert!(ein(b"911144442") && !ein(b"071144442"));
        assert!(npi(b"1234567893") && npi(b"1245319599") && !npi(b"1234567890") && !npi(b"3234567893"));
        assert!(dea(b"BB1388568") && dea(b"F91234563") && !dea(b"BB1388569") && !dea(b"IB1388568"));
        assert!(mbi(b"1EG4TE5MK73") && !mbi(b"1SG4TE5MK73") && !mbi(b"0EG4TE5MK73"));
    }
}
