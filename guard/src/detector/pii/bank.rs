//! Bank identifiers other than cards and IBANs.

use super::checksum::{digits, weighted};
use super::entity::{Entity, Proof};
use super::form::{b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "us-bank-routing",
        entity: "US_BANK_ROUTING",
        tier: Tier::B,
        about: "US bank routing number (ABA): Federal Reserve prefix and check digit",
        proof: Proof::Checksum,
        forms: &[b("999999999", routing), b("9999-9999-9", routing)],
        context: &["aba", "routing", "routing number", "rtn", "transit number", "ach", "wire", "bank code"],
    },
    Entity {
        id: "us-bank-account",
        entity: "BANK_ACCOUNT",
        tier: Tier::C,
        about: "Bank account number: digits next to words for an account",
        proof: Proof::Loose,
        forms: &[
            c("99999999", any),
            c("999999999", any),
            c("9999999999", any),
            c("99999999999", any),
            c("999999999999", any),
            c("9999999999999", any),
            c("99999999999999", any),
            c("99999999999999999", any),
        ],
        context: &[
            "account number",
            "account no",
            "acct",
            "bank account",
            "checking",
            "savings",
            "kontonummer",
            "account #",
        ],
    },
    Entity {
        id: "swift-bic",
        entity: "SWIFT_BIC",
        tier: Tier::C,
        about: "Business identifier code of a bank: ISO 9362 shape with a country",
        proof: Proof::Shape,
        forms: &[c("AAAAAAXX", bic), c("AAAAAAXXXXX", bic)],
        context: &["swift", "bic", "swift code", "iban", "bank", "code swift", "código swift"],
    },
];

fn any(_: &[u8]) -> bool {
    true
}

/// Weights 3, 7, 1 modulo ten; the first two digits name a Federal Reserve district or a kind of institution.
/// Source: American Bankers Association, "Routing Number Policy and Procedures".
pub(super) fn routing(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let district = d[0] * 10 + d[1];
        let known = matches!(district, 1..=12 | 21..=32 | 61..=72 | 80);
        known && weighted(&d, &[3, 7, 1, 3, 7, 1, 3, 7, 1]).is_multiple_of(10)
    })
}

/// Countries of ISO 3166-1, and Kosovo.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV \
    BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR \
    GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG \
    KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX \
    MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG \
    SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG \
    VI VN VU WF WS XK YE YT ZA ZM ZW";

/// Four letters of the bank, two of the country, two and maybe three of the place. Source: ISO 9362.
pub(super) fn bic(value: &[u8]) -> bool {
    let country = value.get(4..6).unwrap_or_default();
    COUNTRIES.split_ascii_whitespace().any(|known| known.as_bytes() == country)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        for valid in ["021000021", "011401533", "121000248", "026009593", "111000025"] {
            assert!(routing(valid.as_bytes()), "{valid}");
        }
        for other in ["021000022", "991000021", "02100002", "123456789"] {
            assert!(!routing(other.as_bytes()), "{other}");
        }
        assert!(bic(b"DEUTDEFF") && bic(b"NEDSZAJJXXX") && !bic(b"FUNCTION") && !bic(b"ABCDQQXX"));
    }
}
