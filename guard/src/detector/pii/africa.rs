//! Identifiers of Africa and the Middle East.

use super::checksum::{digits, is_day, luhn, uniform, verhoeff, weighted};
use super::entity::{Entity, Proof};
use super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "za-id",
        entity: "ZA_ID",
        tier: Tier::B,
        about: "South African identity number: date of birth and Luhn",
        proof: Proof::Checksum,
        forms: &[
            b("9999999999999", south_africa),
            b("999999 9999 999", south_africa),
            b("999999 9999 99 9", south_africa),
        ],
        context: &[
            "id number",
            "south africa",
            "south african",
            "identity number",
            "rsa id",
            "sa id",
            "id no",
            "identiteitsnommer",
        ],
    },
    Entity {
        id: "ng-nin",
        entity: "NG_NIN",
        tier: Tier::B,
        about: "Nigerian identity number: Verhoeff check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999999", nigeria), b("9999 9999 999", nigeria), b("9999-9999-999", nigeria)],
        context: &["nin", "nimc", "nigeria", "nigerian", "national identification number"],
    },
    Entity {
        id: "il-id",
        entity: "IL_ID",
        tier: Tier::B,
        about: "Israeli identity number: Luhn",
        proof: Proof::Checksum,
        forms: &[b("999999999", israel), b("99999999-9", israel), b("9-9999999-9", israel)],
        context: &[
            "תעודת זהות",
            "ת.ז",
            "ת\"ז",
            "מספר זהות",
            "teudat zehut",
            "israel",
            "israeli",
            "israeli id",
            "t.z",
            "id number",
        ],
    },
    Entity {
        id: "tr-tckn",
        entity: "TR_TCKN",
        tier: Tier::B,
        about: "Turkish identity number: two check digits",
        proof: Proof::Checksum,
        forms: &[b("99999999999", turkey), b("999 999 999 99", turkey)],
        context: &[
            "tc",
            "t.c",
            "tckn",
            "kimlik",
            "tc kimlik",
            "kimlik no",
            "kimlik numarası",
            "vatandaşlık",
            "turkish id",
        ],
    },
    Entity {
        id: "ae-emirates-id",
        entity: "AE_EMIRATES_ID",
        tier: Tier::A,
        about: "Emirates identity number: 784, year of birth and Luhn; bare only with context",
        proof: Proof::Checksum,
        forms: &[
            a("784-9999-9999999-9", emirates),
            b("784999999999999", emirates),
            b("784 9999 9999999 9", emirates),
        ],
        context: &["emirates id", "eid", "uae", "الهوية", "رقم الهوية", "هوية", "emirates"],
    },
    Entity {
        id: "sa-id",
        entity: "SA_ID",
        tier: Tier::B,
        about: "Saudi identity number of a citizen or resident: Luhn",
        proof: Proof::Checksum,
        forms: &[b("9999999999", saudi)],
        context: &[
            "iqama",
            "national id",
            "saudi",
            "رقم الهوية",
            "هوية",
            "الهوية الوطنية",
            "إقامة",
            "الإقامة",
            "saudi id",
        ],
    },
];

/// Date of birth, serial, 0 for citizens, 1 for residents and 2 for refugees. Source: Department of Home Affairs,
/// Identification Act 68 of 1997.
pub(super) fn south_africa(value: &[u8]) -> bool {
    digits::<13>(value)
        .is_some_and(|d| is_day(d[2] * 10 + d[3], d[4] * 10 + d[5]) && d[10] <= 2 && luhn(value))
}

/// Source: National Identity Management Commission.
pub(super) fn nigeria(value: &[u8]) -> bool {
    value.len() == 11 && verhoeff(value) && !uniform(value)
}

/// Source: רשות האוכלוסין, "ספרת ביקורת".
pub(super) fn israel(value: &[u8]) -> bool {
    value.len() == 9 && luhn(value) && !uniform(value)
}

/// The tenth digit from seven times the odd less the even places, the eleventh from the sum of all.
/// Source: Nüfus ve Vatandaşlık İşleri Genel Müdürlüğü.
pub(super) fn turkey(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let odd = d[0] + d[2] + d[4] + d[6] + d[8];
        let even = d[1] + d[3] + d[5] + d[7];
        let sum = weighted(&d, &[1; 10]);
        d[0] > 0 && (odd * 7 + 100 - even) % 10 == d[9] && sum % 10 == d[10]
    })
}

/// Source: Federal Authority for Identity and Citizenship; ISO 3166-1 numeric 784.
pub(super) fn emirates(value: &[u8]) -> bool {
    digits::<15>(value).is_some_and(|d| {
        let year = d[3] * 1000 + d[4] * 100 + d[5] * 10 + d[6];
        (1900..=2100).contains(&year) && luhn(value)
    })
}

/// Citizens begin with 1, residents with 2. Source: Ministry of Interior, Absher.
pub(super) fn saudi(value: &[u8]) -> bool {
    value.len() == 10 && matches!(value.first(), Some(b'1' | b'2')) && luhn(value) && !uniform(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            south_africa(b"7503305044089")
                && south_africa(b"8001015009087")
                && !south_africa(b"8001015009088")
        );
        assert!(!south_africa(b"8013015009087"));
        let nigerian = (b'0'..=b'9')
            .map(|check| [b"1234567890".as_slice(), &[check]].concat())
            .find(|value| nigeria(value));
        assert!(nigerian.is_some() && !nigeria(b"11111111111"));
        assert!(israel(b"039337423") && israel(b"123456782") && !israel(b"039337424"));
        assert!(
            turkey(b"17291716060")
                && turkey(b"10000000146")
                && !turkey(b"17291716050")
                && !turkey(b"17291716061")
        );
        assert!(
            emirates(b"784198012345678") && !emirates(b"784198012345679") && !emirates(b"784180012345678")
        );
        assert!(saudi(b"1000000008") && !saudi(b"1000000009") && !saudi(b"3000000006"));
    }
}
