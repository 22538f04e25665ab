//! Identifiers of the United Kingdom.

use super::checksum::{digits, is_day, number, uniform, weighted};
use super::entity::{Entity, Proof};
use super::form::{b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "uk-nhs",
        entity: "UK_NHS",
        tier: Tier::B,
        about: "UK National Health Service number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999_999_9999", nhs)],
        context: &["nhs", "national health", "patient", "health service"],
    },
    Entity {
        id: "uk-nino",
        entity: "UK_NINO",
        tier: Tier::B,
        about: "UK national insurance number: prefixes that are issued",
        proof: Proof::Shape,
        forms: &[b("AA999999A", nino), b("AA~99~99~99~A", nino), b("AA 999999 A", nino)],
        context: &["nino", "national insurance", "ni number", "ni no", "insurance number", "ni"],
    },
    Entity {
        id: "uk-driving-licence",
        entity: "UK_DRIVING_LICENCE",
        tier: Tier::B,
        about: "UK driving licence number: the date of birth and the letters in their places",
        proof: Proof::Shape,
        forms: &[b("XXXXX999999XXXAA", licence)],
        context: &[
            "driving licence",
            "driving license",
            "driver",
            "driver's licence",
            "dvla",
            "licence",
            "license",
            "licence number",
        ],
    },
    Entity {
        id: "uk-utr",
        entity: "UK_UTR",
        tier: Tier::B,
        about: "UK unique taxpayer reference: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("9999999999", utr), b("99999 99999", utr)],
        context: &["utr", "taxpayer reference", "hmrc", "self assessment"],
    },
    Entity {
        id: "uk-postcode",
        entity: "UK_POSTCODE",
        tier: Tier::B,
        about: "UK postcode: shapes and letters that exist",
        proof: Proof::Loose,
        forms: &[
            b("A9 9AA", postcode),
            b("A99 9AA", postcode),
            b("AA9 9AA", postcode),
            b("AA99 9AA", postcode),
            b("A9A 9AA", postcode),
            b("AA9A 9AA", postcode),
            b("AA999AA", postcode),
            b("AA9A9AA", postcode),
        ],
        context: &["postcode", "post code", "postal code", "zip code", "address", "postcodes"],
    },
    Entity {
        id: "uk-passport",
        entity: "UK_PASSPORT",
        tier: Tier::C,
        about: "UK passport number: nine digits",
        proof: Proof::Loose,
        forms: &[c("999999999", any)],
        context: &["passport", "passport number", "passport no", "hmpo"],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// Weights 10 to 2, eleven minus the rest. Source: NHS Data Dictionary, "NHS number".
pub(super) fn nhs(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let check = 11 - weighted(&d, &[10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11;
        check % 11 == d[9] && check != 10 && !uniform(value)
    })
}

/// Neither letter is D, F, I, Q, U or V, the second not O; some prefixes are not issued; the suffix is A to D.
/// Source: HMRC, National Insurance Manual NIM39110.
pub(super) fn nino(value: &[u8]) -> bool {
    let [first, second, .., suffix] = value else { return false };
    let prefix = [*first, *second];
    let issued = ![b"BG", b"GB", b"KN", b"NK", b"NT", b"TN", b"ZZ"].contains(&&prefix);
    value.len() == 9
        && issued
        && !b"DFIQUV".contains(first)
        && !b"DFIQUVO".contains(second)
        && (b'A'..=b'D').contains(suffix)
}

/// Five letters of the name filled with 9, decade, month (50 more for women), day, year, initials filled with 9.
/// Source: DVLA, "Driver number" in the INF1D form.
pub(super) fn licence(value: &[u8]) -> bool {
    let (Some(name), Some(initials)) = (value.get(..5), value.get(11..13)) else { return false };
    let filled = |part: &[u8]| {
        let letters = part.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        letters > 0 && part.iter().skip(letters).all(|byte| *byte == b'9')
    };
    let Some(d) = value.get(5..11).and_then(digits::<6>) else { return false };
    let month = d[1] * 10 + d[2];
    let month = if month > 50 { month - 50 } else { month };
    value.len() == 16
        && filled(name)
        && (filled(initials) || initials == b"99")
        && is_day(month, d[3] * 10 + d[4])
}

/// Weights 6, 7, 8, 9, 10, 5, 4, 3, 2 over the last nine digits; the first is the check digit. Source: HMRC, as published in
/// the specification of its self-assessment software interface.
pub(super) fn utr(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        const CHECKS: [u32; 11] = [2, 1, 9, 8, 7, 6, 5, 4, 3, 2, 1];
        let rest = weighted(&d[1..], &[6, 7, 8, 9, 10, 5, 4, 3, 2]) % 11;
        usize::try_from(rest).ok().and_then(|rest| CHECKS.get(rest)) == Some(&d[0])
    })
}

/// Areas begin with no Q, V or X; inward letters are no C, I, K, M, O or V. Source: Royal Mail, Programmers' Guide to PAF.
pub(super) fn postcode(value: &[u8]) -> bool {
    let Some((outward, inward)) = value.split_last_chunk::<3>() else { return false };
    let first = outward.first().is_some_and(|letter| !b"QVX".contains(letter));
    first && inward[1..].iter().all(|letter| !b"CIKMOV".contains(letter)) && number(&inward[..1]).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(nhs(b"9434765919") && nhs(b"4010232137") && !nhs(b"9434765918") && !nhs(b"0000000000"));
        assert!(nino(b"AB123456C") && !nino(b"QQ123456C") && !nino(b"GB123456C") && !nino(b"AB123456E"));
        assert!(
            licence(b"MORGA657054SM9IJ") && licence(b"MORGA753116SM9IJ") && !licence(b"MORGA673054SM9IJ")
        );
        assert!(utr(b"1955839661") && !utr(b"2955839661"));
        assert!(postcode(b"SW1A1AA") && postcode(b"M11AE") && !postcode(b"QW1A1AA") && !postcode(b"M11CE"));
    }
}
