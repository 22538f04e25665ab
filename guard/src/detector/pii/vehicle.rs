//! Identifiers of vehicles and devices.

use super::checksum::{luhn, uniform};
use super::entity::{Entity, Proof};
use super::form::b;
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "vin",
        entity: "VIN",
        tier: Tier::B,
        about: "Vehicle identification number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("XXXXXXXXXXXXXXXXX", vin)],
        context: &[
            "vin",
            "vehicle",
            "vehicle identification",
            "chassis",
            "car",
            "fahrgestellnummer",
            "fin",
            "fahrzeug",
            "châssis",
            "bastidor",
            "telaio",
            "chassi",
            "nadwozia",
            "voertuig",
        ],
    },
    Entity {
        id: "imei",
        entity: "IMEI",
        tier: Tier::B,
        about: "Identity of a mobile device: 15 digits with Luhn",
        proof: Proof::Checksum,
        forms: &[b("999999999999999", imei), b("99-999999-999999-9", imei), b("99 999999 999999 9", imei)],
        context: &["imei", "device id", "mobile device", "handset"],
    },
];

/// Weights 8 to 2, 10, 0 (the check digit), 9 to 2 over letters and digits, modulo 11 with X for ten; no I, O or Q.
/// Source: 49 CFR 565.15.
pub(super) fn vin(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let transliterate = |byte: u8| match byte {
        b'0'..=b'9' => Some(u32::from(byte - b'0')),
        b'A'..=b'H' => Some(u32::from(byte - b'A' + 1)),
        b'J'..=b'N' => Some(u32::from(byte - b'J' + 1)),
        b'P' => Some(7),
        b'R' => Some(9),
        b'S'..=b'Z' => Some(u32::from(byte - b'S' + 2)),
        _ => None,
    };
    let Some(values) = value.iter().map(|byte| transliterate(*byte)).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let rest = values.iter().zip(WEIGHTS).map(|(value, weight)| value * weight).sum::<u32>() % 11;
    let check = if rest == 10 { b'X' } else { b'0' + u8::try_from(rest).unwrap_or(0) };
    value.len() == 17 && value.get(8) == Some(&check) && !uniform(value)
}

/// Source: 3GPP TS 23.003 section 6.2.
pub(super) fn imei(value: &[u8]) -> bool {
    value.len() == 15 && luhn(value) && !uniform(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(vin(b"1M8GDM9AXKP042788") && vin(b"1HGCM82633A004352") && !vin(b"1HGCM82633A004353"));
        assert!(!vin(b"1HGCM82633AO04352") && !vin(b"11111111111111111"));
        assert!(imei(b"490154203237518") && !imei(b"490154203237517"));
    }
}
