//! Identifiers of Romania, Bulgaria, Croatia, Slovenia, Serbia and Greece.

use super::super::checksum::{digits, is_day, luhn, mod11_10, number, uniform, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::b;
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "ro-cnp",
        entity: "RO_CNP",
        tier: Tier::B,
        about: "Romanian personal number: date of birth, county and check digit",
        proof: Proof::Checksum,
        forms: &[b("9999999999999", cnp)],
        context: &["cnp", "cod numeric personal", "codul numeric", "cnp-ul"],
    },
    Entity {
        id: "bg-egn",
        entity: "BG_EGN",
        tier: Tier::B,
        about: "Bulgarian citizen number: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("9999999999", egn)],
        context: &["egn", "егн", "ЕГН", "единен граждански номер", "Единен граждански номер", "civil number"],
    },
    Entity {
        id: "hr-oib",
        entity: "HR_OIB",
        tier: Tier::B,
        about: "Croatian identification number: ISO 7064 check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999999", oib)],
        context: &["oib", "osobni identifikacijski", "osobni identifikacijski broj"],
    },
    Entity {
        id: "jmbg",
        entity: "JMBG",
        tier: Tier::B,
        about: "Citizen number of Slovenia (EMŠO), Serbia and neighbours: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("9999999999999", jmbg)],
        context: &["jmbg", "emšo", "emso", "EMŠO", "matični broj", "maticni broj", "јмбг", "ЈМБГ"],
    },
    Entity {
        id: "gr-amka",
        entity: "GR_AMKA",
        tier: Tier::B,
        about: "Greek social security number: date of birth and Luhn",
        proof: Proof::Checksum,
        forms: &[b("99999999999", amka)],
        context: &["amka", "αμκα", "ΑΜΚΑ", "α.μ.κ.α", "Α.Μ.Κ.Α", "κοινωνικής ασφάλισης"],
    },
    Entity {
        id: "gr-afm",
        entity: "GR_AFM",
        tier: Tier::B,
        about: "Greek tax number: powers of two modulo 11",
        proof: Proof::Checksum,
        forms: &[b("999999999", afm)],
        context: &["afm", "αφμ", "ΑΦΜ", "α.φ.μ", "Α.Φ.Μ", "φορολογικού μητρώου", "vat"],
    },
];

/// Weights 2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9; ten counts as one. Source: Legea 105/1996; Ordonanța 97/2005.
pub(super) fn cnp(value: &[u8]) -> bool {
    digits::<13>(value).is_some_and(|d| {
        let check = weighted(&d, &[2, 7, 9, 1, 4, 6, 3, 5, 8, 2, 7, 9]) % 11;
        let county = d[7] * 10 + d[8];
        let placed = matches!(county, 1..=48 | 51 | 52 | 70 | 80..=83);
        let dated = is_day(d[3] * 10 + d[4], d[5] * 10 + d[6]);
        d[0] > 0 && dated && placed && (if check == 10 { 1 } else { check }) == d[12]
    })
}

/// The month is raised by 20 before 1900 and by 40 since 2000. Source: Закон за гражданската регистрация.
pub(super) fn egn(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let month = (d[2] * 10 + d[3]) % 20;
        is_day(month, d[4] * 10 + d[5]) && weighted(&d, &[2, 4, 8, 5, 10, 9, 7, 3, 6]) % 11 % 10 == d[9]
    })
}

/// Source: Zakon o osobnom identifikacijskom broju; ISO 7064 MOD 11,10.
pub(super) fn oib(value: &[u8]) -> bool {
    value.len() == 11 && mod11_10(value) && !uniform(value)
}

/// Weights 7 to 2 twice; eleven minus the rest. Source: Zakon o centralnem registru prebivalstva.
pub(super) fn jmbg(value: &[u8]) -> bool {
    digits::<13>(value).is_some_and(|d| {
        let check = (11 - weighted(&d, &[7, 6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11;
        is_day(d[2] * 10 + d[3], d[0] * 10 + d[1]) && check == d[12]
    })
}

/// Source: ΗΔΙΚΑ, ν. 3655/2008.
pub(super) fn amka(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| is_day(d[2] * 10 + d[3], d[0] * 10 + d[1]) && luhn(value))
}

/// Source: ΑΑΔΕ; European Commission, VIES algorithms.
pub(super) fn afm(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let check = weighted(&d, &[256, 128, 64, 32, 16, 8, 4, 2]) % 11 % 10;
        number(value) != Some(0) && check == d[8]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(cnp(b"1630615123457") && !cnp(b"1630615123458") && !cnp(b"0800101221142"));
        assert!(egn(b"7523169263") && egn(b"8032056031") && !egn(b"7552A10004") && !egn(b"8019010008"));
        assert!(oib(b"33392005961") && !oib(b"33392005962"));
        assert!(jmbg(b"0101006500006") && !jmbg(b"0101006500007"));
        assert!(amka(b"01013099997") && !amka(b"01013099999"));
        assert!(afm(b"094259216") && afm(b"023456780") && !afm(b"123456781"));
    }
}
