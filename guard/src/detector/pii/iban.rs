//! International bank account numbers. Source: ISO 13616; countries, lengths and structures of the SWIFT IBAN Registry,
//! release 101.

use std::collections::BTreeMap;

use super::checksum::mod97;
use super::entity::{Entity, Proof};
use super::text;
use crate::Tier;

/// Letters and digits of the longest number that ISO 13616 allows.
const MAX_LETTERS: usize = 34;

pub(super) const IBAN: Entity = Entity {
    id: "iban",
    entity: "IBAN",
    tier: Tier::A,
    about: "International bank account number: country, length, structure and MOD 97-10 check digits",
    proof: Proof::Checksum,
    forms: &[],
    context: &[
        "iban",
        "bank account",
        "account",
        "konto",
        "kontonummer",
        "bankverbindung",
        "compte",
        "compte bancaire",
        "rib",
        "cuenta",
        "conto",
        "conta",
        "rekening",
        "rekeningnummer",
        "rachunek",
        "konta",
        "bic",
        "sepa",
    ],
};

/// Countries, and what follows the check digits: counts of digits (`n`), letters (`a`) and either (`c`).
const COUNTRIES: &str = "\
    AD 8n12c; AE 19n; AL 8n16c; AT 16n; AZ 4a20c; BA 16n; BE 12n; BG 4a6n8c; BH 4a14c; BI 23n; \
    BR 23n1a1c; BY 4c4n16c; CH 5n12c; CR 18n; CY 8n16c; CZ 20n; DE 18n; DJ 23n; DK 14n; DO 4c20n; \
    EE 16n; EG 25n; ES 20n; FI 14n; FK 2a12n; FO 14n; FR 10n11c2n; GB 4a14n; GE 2a16n; GI 4a15c; \
    GL 14n; GR 7n16c; GT 24c; HN 4a20n; HR 17n; HU 24n; IE 4a14n; IL 19n; IQ 4a15n; IS 22n; \
    IT 1a10n12c; JO 4a4n18c; KW 4a22c; KZ 3n13c; LB 4n20c; LC 4a24c; LI 5n12c; LT 16n; LU 3n13c; \
    LV 4a13c; LY 21n; MC 10n11c2n; MD 20c; ME 18n; MK 3n10c2n; MN 16n; MR 23n; MT 4a5n18c; MU 4a19n3a; \
    NI 4a20n; NL 4a10n; NO 11n; OM 3n16c; PK 4a16c; PL 24n; PS 4a21c; PT 21n; QA 4a21c; RO 4a16c; \
    RS 18n; RU 14n15c; SA 2n18c; SC 4a20n3a; SD 14n; SE 20n; SI 15n; SK 20n; SM 1a10n12c; SO 19n; \
    ST 21n; SV 4a20n; TL 19n; TN 20n; TR 6n16c; UA 6n19c; VA 18n; VG 4a16n; XK 16n; YE 4a4n18c";

/// Countries by their letters.
#[derive(Debug)]
pub(super) struct Countries(BTreeMap<[u8; 2], Box<[u8]>>);

impl Countries {
    pub(super) fn new() -> Countries {
        let row = |row: &str| {
            let (country, structure) = row.split_once(' ')?;
            let country = country.as_bytes().first_chunk::<2>()?;
            Some((*country, classes(structure)))
        };
        Countries(COUNTRIES.split("; ").filter_map(row).collect())
    }

    /// The value that begins at a run of letters and digits: its end.
    pub(super) fn find(&self, text: &[u8], start: usize) -> Option<usize> {
        let [a, b, c, d] = *text.get(start..)?.first_chunk::<4>()?;
        if !(a.is_ascii_alphabetic() && b.is_ascii_alphabetic() && c.is_ascii_digit() && d.is_ascii_digit()) {
            return None;
        }
        let classes = self.0.get(&[a.to_ascii_uppercase(), b.to_ascii_uppercase()])?;
        if matches!(text::before(text, start), b'_' | b'+' | b'/') {
            return None;
        }
        let (end, value) = gather(text, start, classes.len() + 4)?;
        let value = value.get(..classes.len() + 4)?;
        let (head, body) = value.split_at_checked(4)?;
        let fits = body.iter().zip(classes).all(|(&byte, &class)| match class {
            b'n' => byte.is_ascii_digit(),
            b'a' => byte.is_ascii_alphabetic(),
            _ => true,
        });
        let valid = fits && mod97(body.iter().chain(head).copied()) == Some(1);
        (valid && !text::joined_right(text, end, 0)).then_some(end)
    }
}

/// The class of each place of a structure.
fn classes(structure: &str) -> Box<[u8]> {
    let mut classes = Vec::new();
    let mut count = 0;
    for byte in structure.bytes() {
        match byte {
            b'0'..=b'9' => count = count * 10 + usize::from(byte - b'0'),
            class => classes.extend(std::iter::repeat_n(class, std::mem::take(&mut count))),
        }
    }
    classes.into()
}

/// Letters and digits from a place on, with the same single separator between groups or none: the end, and the letters.
fn gather(text: &[u8], start: usize, wanted: usize) -> Option<(usize, [u8; MAX_LETTERS])> {
    let mut letters = [0; MAX_LETTERS];
    let mut separator = None;
    let (mut place, mut count) = (start, 0);
    while count < wanted {
        let byte = text::at(text, place);
        if text::kind(byte) != 0 {
            *letters.get_mut(count)? = byte.to_ascii_uppercase();
            count += 1;
        } else if !matches!(byte, b' ' | b'-' | b'.')
            || *separator.get_or_insert(byte) != byte
            || text::kind(text::before(text, place)) == 0
        {
            return None;
        }
        place += 1;
    }
    Some((place, letters))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Option<&str> {
        let countries = Countries::new();
        (0..text.len())
            .filter(|&start| text::kind(text::before(text.as_bytes(), start)) == 0)
            .find_map(|start| Some(&text[start..countries.find(text.as_bytes(), start)?]))
    }

    #[test]
    fn examples_of_the_registry() {
        assert_eq!(Countries::new().0.len(), 89);
        for valid in [
            "AD1200012030200359100100",
            "AE070331234567890123456",
            "AT611904300234573201",
            "BE68539007547034",
            "BR1800360305000010009795493C1",
            "CH9300762011623852957",
            "DE89370400440532013000",
            "DK5000400440116243",
            "ES9121000418450200051332",
            "FI2112345600000785",
            "FR1420041010050500013M02606",
            "GB29NWBK60161331926819",
            "GR1601101250000000012300695",
            "IE29AIBK93115212345678",
            "IT60X0542811101000000123456",
            "LC55HEMM000100010012001200023015",
            "MT84MALT011000012345MTLCAST001S",
            "NL91ABNA0417164300",
            "NO9386011117947",
            "PL61109010140000071219812874",
            "PT50000201231234567890154",
            "SE4550000000058398257466",
            "TR330006100519786457841326",
            "SC18SSCB11010000000000001497USD",
            "MU17BOMM0101101030300200000MUR",
        ] {
            assert_eq!(found(valid), Some(valid));
            assert_eq!(found(&valid.to_lowercase()), Some(valid.to_lowercase().as_str()));
            let groups: Vec<&str> =
                (0..valid.len()).step_by(4).map(|at| &valid[at..valid.len().min(at + 4)]).collect();
            for separator in [" ", "-"] {
                let spaced = groups.join(separator);
                assert_eq!(found(&format!("IBAN: {spaced}.")), Some(spaced.as_str()));
            }
        }
    }

    #[test]
    fn other_lengths_countries_and_check_digits_are_none() {
        for other in [
            "DE88370400440532013000",
            "DE8937040044053201300",
            "DE893704004405320130000",
            "XX89370400440532013000",
            "DE89 3704-0044 0532 0130 00",
            "DE89  3704 0044 0532 0130 00",
            "_DE89370400440532013000",
            "GB29123460161331926819",
        ] {
            assert_eq!(found(other), None, "{other}");
        }
    }
}
