//! Payment cards. Source: ISO/IEC 7812 (number and check digit); issuer ranges as the networks publish them.

use super::checksum::{luhn, number, uniform};
use super::entity::{Entity, Proof};
use super::form::{a, b};
use crate::Tier;

const CONTEXT: &[&str] = &[
    "card",
    "card number",
    "credit card",
    "creditcard",
    "debit card",
    "cc",
    "ccn",
    "pan",
    "visa",
    "mastercard",
    "amex",
    "american express",
    "discover",
    "diners",
    "jcb",
    "maestro",
    "unionpay",
    "payment",
    "kreditkarte",
    "kartennummer",
    "karte",
    "carte",
    "carte bancaire",
    "carte bleue",
    "tarjeta",
    "carta",
    "carta di credito",
    "cartão",
    "cartao",
    "kaart",
    "creditcardnummer",
    "karta",
    "karty",
    "numer karty",
    "カード",
    "卡号",
    "信用卡",
    "카드",
];

pub(super) const ENTITIES: &[Entity] = &[Entity {
    id: "payment-card",
    entity: "CARD",
    tier: Tier::A,
    about: "Payment card number: issuer range, length and Luhn check digit",
    proof: Proof::Checksum,
    forms: &[
        a("9999~9999~9999~9999", card),
        a("9999~9999~9999~9999~999", card),
        a("9999~9999~9999~9999~99", card),
        a("9999~999999~99999", card),
        a("9999~999999~9999", card),
        a("9999999999999999", card),
        a("999999999999999", card),
        a("99999999999999", card),
        b("9999999999999999999", card),
        b("999999999999999999", card),
        b("99999999999999999", card),
        b("9999~9999~9999~9999", rare),
        b("9999~9999~9999", rare),
        b("9999999999999999999", rare),
        b("999999999999999999", rare),
        b("99999999999999999", rare),
        b("9999999999999999", rare),
        b("999999999999999", rare),
        b("99999999999999", rare),
        b("9999999999999", rare),
        b("999999999999", rare),
    ],
    context: CONTEXT,
}];

/// A number of a network whose ranges are narrow enough to count by themselves.
pub(super) fn card(value: &[u8]) -> bool {
    let Some(issuer) = value.get(..6).and_then(number) else { return false };
    networks(issuer, value.len()) && luhn(value) && !uniform(value)
}

/// A number of a network with many lengths or a wide range: Maestro, Visa's old 13 digits, UATP.
pub(super) fn rare(value: &[u8]) -> bool {
    let Some(issuer) = value.get(..6).and_then(number) else { return false };
    let maestro = matches!(issuer, 500_000..=509_999 | 560_000..=589_999 | 600_000..=699_999);
    let known = match value.len() {
        12 | 14 | 17 => maestro,
        13 => maestro || matches!(issuer, 400_000..=499_999),
        15 => maestro || matches!(issuer, 100_000..=199_999),
        16 => maestro,
        18 | 19 => maestro || matches!(issuer, 400_000..=499_999),
        _ => false,
    };
    known && luhn(value) && !uniform(value)
}

fn networks(issuer: u64, len: usize) -> bool {
    match issuer {
        // American Express.
        340_000..=349_999 | 370_000..=379_999 => len == 15,
        // Diners Club.
        300_000..=305_999 | 309_500..=309_599 | 360_000..=369_999 | 380_000..=399_999 => {
            len == 14 || len == 16
        }
        // JCB, with its old 15 digits.
        213_100..=213_199 | 180_000..=180_099 => len == 15,
        352_800..=358_999 => (16..=19).contains(&len),
        // Mir.
        220_000..=220_499 => (16..=19).contains(&len),
        // Mastercard.
        510_000..=559_999 | 222_100..=272_099 => len == 16,
        // Visa.
        400_000..=499_999 => len == 16,
        // Discover and UnionPay.
        601_100..=601_199 | 622_126..=622_925 | 644_000..=659_999 => (16..=19).contains(&len),
        620_000..=629_999 | 810_000..=817_199 => (16..=19).contains(&len),
        // Dankort, Verve, Elo, Hipercard, InstaPayment, RuPay, Troy.
        501_900..=501_999 | 506_099..=506_198 | 636_297 | 636_368 | 606_282 => len == 16,
        637_000..=639_999 | 508_500..=508_999 | 606_985..=607_984 | 608_001..=608_500 | 979_200..=979_289 => {
            len == 16
        }
        // Maestro, where issuers use 16 digits and more.
        501_800..=501_899 | 502_000..=502_099 | 503_800..=503_899 | 589_300..=589_399 | 630_400..=630_499 => {
            (16..=19).contains(&len)
        }
        675_900..=675_999 | 676_100..=676_399 => (16..=19).contains(&len),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_networks_own_test_numbers() {
        for valid in [
            "4111111111111111",
            "4012888888881881",
            "5555555555554444",
            "5105105105105100",
            "2223000048410010",
            "378282246310005",
            "371449635398431",
            "6011111111111117",
            "6011000990139424",
            "30569309025904",
            "38520000023237",
            "36227206271667",
            "3530111333300000",
            "3566002020360505",
            "6200000000000005",
            "6205500000000000004",
            "2200000000000004",
            "6304000000000000",
            "6759649826438453",
        ] {
            assert!(card(valid.as_bytes()), "{valid}");
        }
        for other in [
            "4111111111111112",
            "411111111111111",
            "41111111111111111",
            "1234567812345670",
            "0000000000000000",
            "4444444444444444",
            "1700000000000000009",
            "9007199254740991",
            "378282246310006",
            "5555555555554445",
        ] {
            assert!(!card(other.as_bytes()), "{other}");
        }
        assert!(rare(b"4222222222222") && rare(b"676770000006") == luhn(b"676770000006"));
    }
}
