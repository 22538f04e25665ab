//! VAT numbers of the European Union, the United Kingdom and Switzerland, with the country's letters before them.
//! Source: European Commission, "VIES: structure and check digits of VAT numbers"; the countries' tax administrations.

use super::super::checksum::{digits, luhn, mod11_10, mod97, number, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::b;
use super::{balkans, baltic, benelux, central, france, iberia, italy, poland};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[Entity {
    id: "eu-vat",
    entity: "VAT_NUMBER",
    tier: Tier::B,
    about: "VAT number of an EU country, the United Kingdom or Switzerland: the country's check digit",
    proof: Proof::Checksum,
    forms: &[
        b("atu99999999", vat),
        b("at u99999999", vat),
        b("be_9999999999", vat),
        b("be 9999 999 999", vat),
        b("be 9999.999.999", vat),
        b("be9999.999.999", vat),
        b("bg_999999999", vat),
        b("bg_9999999999", vat),
        b("cy_99999999A", vat),
        b("cz_99999999", vat),
        b("cz_999999999", vat),
        b("cz_9999999999", vat),
        b("de_999999999", vat),
        b("de 999 999 999", vat),
        b("dk_99999999", vat),
        b("dk 99 99 99 99", vat),
        b("ee_999999999", vat),
        b("el_999999999", vat),
        b("esX9999999X", vat),
        b("es X9999999X", vat),
        b("es-X9999999X", vat),
        b("fi_99999999", vat),
        b("fr_XX999999999", vat),
        b("fr XX 999999999", vat),
        b("frXX 999999999", vat),
        b("fr XX 999 999 999", vat),
        b("hr_99999999999", vat),
        b("hu_99999999", vat),
        b("ie_9999999A", vat),
        b("ie_9999999AA", vat),
        b("ie_9A99999A", vat),
        b("it_99999999999", vat),
        b("lt_999999999", vat),
        b("lt_999999999999", vat),
        b("lu_99999999", vat),
        b("lv_99999999999", vat),
        b("mt_99999999", vat),
        b("nl_999999999b99", vat),
        b("nl 9999.99.999.b99", vat),
        b("pl_9999999999", vat),
        b("pl 999-999-99-99", vat),
        b("pt_999999999", vat),
        b("pt 999 999 999", vat),
        b("ro_999999", vat),
        b("ro_9999999", vat),
        b("ro_99999999", vat),
        b("ro_999999999", vat),
        b("ro_9999999999", vat),
        b("se_999999999999", vat),
        b("si_99999999", vat),
        b("sk_9999999999", vat),
        b("gb_999999999", vat),
        b("gb 999 9999 99", vat),
        b("gb999 9999 99", vat),
        b("xi_999999999", vat),
        b("che-999.999.999", vat),
        b("che999999999", vat),
    ],
    context: &[
        "vat",
        "vat number",
        "vat no",
        "vat id",
        "ust-id",
        "ust-idnr",
        "ustid",
        "umsatzsteuer",
        "uid",
        "uid-nummer",
        "tva",
        "numéro de tva",
        "iva",
        "partita iva",
        "nif",
        "btw",
        "btw-nummer",
        "nip",
        "moms",
        "momsnummer",
        "alv",
        "dph",
        "dič",
        "afa",
        "áfa",
        "adószám",
        "pdv",
        "pvm",
        "pvn",
        "kmkr",
        "ΑΦΜ",
        "tax",
        "mwst",
    ],
}];

/// A number of up to twelve digits after the country's letters.
type Check = fn(&[u8]) -> bool;

/// The country's own check over what follows its letters.
pub(super) fn vat(value: &[u8]) -> bool {
    let Some((country, rest)) = value.split_at_checked(2) else { return false };
    let check: Check = match country {
        b"AT" => austria,
        b"BE" => belgium,
        b"BG" => bulgaria,
        b"CH" => switzerland,
        b"CY" => cyprus,
        b"CZ" => czechia,
        b"DE" => |value| value.len() == 9 && value.first() != Some(&b'0') && mod11_10(value),
        b"DK" => |value| sum::<8>(value, &[2, 7, 6, 5, 4, 3, 2, 1], 11) && value.first() != Some(&b'0'),
        b"EE" => |value| sum::<9>(value, &[3, 7, 1, 3, 7, 1, 3, 7, 1], 10),
        b"EL" => balkans::afm,
        b"ES" => |value| iberia::dni(value) || iberia::nie(value) || iberia::cif(value),
        b"FI" => |value| sum::<8>(value, &[7, 9, 10, 5, 8, 4, 2, 1], 11),
        b"FR" => french,
        b"GB" | b"XI" => kingdom,
        b"HR" => balkans::oib,
        b"HU" => |value| sum::<8>(value, &[9, 7, 3, 1, 9, 7, 3, 1], 10),
        b"IE" => irish,
        b"IT" => italy::vat,
        b"LT" => lithuania,
        b"LU" => luxembourg,
        b"LV" => latvia,
        b"MT" => |value| sum::<8>(value, &[3, 4, 6, 7, 8, 9, 10, 1], 37),
        b"NL" => dutch,
        b"PL" => poland::nip,
        b"PT" => iberia::nif,
        b"RO" => romania,
        b"SE" => |value| value.ends_with(b"01") && value.get(..10).is_some_and(luhn),
        b"SI" => slovenia,
        b"SK" => slovakia,
        _ => return false,
    };
    check(rest) && rest.iter().any(|byte| !matches!(byte, b'0'))
}

/// Whether the weighted sum of exactly `N` digits is a multiple of the modulus.
fn sum<const N: usize>(value: &[u8], weights: &[u32; N], modulus: u32) -> bool {
    digits::<N>(value).is_some_and(|d| weighted(&d, weights).is_multiple_of(modulus))
}

fn austria(value: &[u8]) -> bool {
    let Some(d) = value.strip_prefix(b"U").and_then(digits::<8>) else { return false };
    let doubled = |digit: u32| digit * 2 / 10 + digit * 2 % 10;
    let sum = d[0] + doubled(d[1]) + d[2] + doubled(d[3]) + d[4] + doubled(d[5]) + d[6];
    (96 - sum) % 10 == d[7]
}

fn belgium(value: &[u8]) -> bool {
    let (Some(body), Some(check)) = (value.get(..8).and_then(number), value.get(8..).and_then(number)) else {
        return false;
    };
    value.len() == 10 && matches!(value.first(), Some(b'0' | b'1')) && 97 - body % 97 == check
}

fn bulgaria(value: &[u8]) -> bool {
    if value.len() == 10 {
        let foreign = digits::<10>(value)
            .is_some_and(|d| (11 - weighted(&d, &[4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11) % 11 == d[9]);
        let resident =
            digits::<10>(value).is_some_and(|d| weighted(&d, &[21, 19, 17, 13, 11, 9, 7, 3, 1]) % 10 == d[9]);
        return balkans::egn(value) || foreign || resident;
    }
    digits::<9>(value).is_some_and(|d| {
        let mut check = weighted(&d, &[1, 2, 3, 4, 5, 6, 7, 8]) % 11;
        if check == 10 {
            check = weighted(&d, &[3, 4, 5, 6, 7, 8, 9, 10]) % 11 % 10;
        }
        check == d[8]
    })
}

/// `CHE` and nine digits, with weights 5, 4, 3, 2, 7, 6, 5, 4.
fn switzerland(value: &[u8]) -> bool {
    let Some(d) = value.strip_prefix(b"E").and_then(digits::<9>) else { return false };
    (11 - weighted(&d, &[5, 4, 3, 2, 7, 6, 5, 4]) % 11) % 11 == d[8]
}

fn cyprus(value: &[u8]) -> bool {
    const ODD: [u32; 10] = [1, 0, 5, 7, 9, 13, 15, 17, 19, 21];
    let Some(d) = value.get(..8).and_then(digits::<8>) else { return false };
    let odd: u32 = d.iter().step_by(2).filter_map(|digit| ODD.get(usize::try_from(*digit).ok()?)).sum();
    let even: u32 = d.iter().skip(1).step_by(2).sum();
    let expected = u8::try_from((odd + even) % 26).map_or(0, |rest| b'A' + rest);
    value.len() == 9 && !value.starts_with(b"12") && value.get(8) == Some(&expected)
}

fn czechia(value: &[u8]) -> bool {
    match value.len() {
        8 => digits::<8>(value).is_some_and(|d| {
            let check = (11 - weighted(&d, &[8, 7, 6, 5, 4, 3, 2]) % 11) % 11;
            d[0] != 9 && (if check == 0 { 1 } else { check % 10 }) == d[7]
        }),
        9 if value.first() == Some(&b'6') => digits::<9>(value).is_some_and(|d| {
            let sum = weighted(&d[1..], &[8, 7, 6, 5, 4, 3, 2]) % 11;
            (18 - (10 + 11 - sum) % 11) % 10 == d[8]
        }),
        9 => central::old_birth(value),
        _ => central::birth(value),
    }
}

/// The key over the number of the enterprise: digits, or a digit and a letter for newer ones.
fn french(value: &[u8]) -> bool {
    let Some((key, company)) = value.split_at_checked(2) else { return false };
    let Some(siren) = number(company) else { return false };
    if !company.starts_with(b"000") && !france::siren(company) {
        return false;
    }
    if let Some(key) = number(key) {
        return (siren * 100 + 12) % 97 == key;
    }
    let rank = |byte: u8| b"0123456789ABCDEFGHJKLMNPQRSTUVWXYZ".iter().position(|letter| *letter == byte);
    let (Some(first), Some(second)) = (rank(key[0]), rank(key[1])) else { return false };
    let check = if first < 10 {
        (first * 24 + second).checked_sub(10)
    } else {
        (first * 34 + second).checked_sub(100)
    };
    let Some(check) = check.and_then(|check| u64::try_from(check).ok()) else { return false };
    (siren + 1 + check / 11) % 11 == check % 11
}

fn kingdom(value: &[u8]) -> bool {
    digits::<9>(value).is_some_and(|d| {
        let rest = weighted(&d, &[8, 7, 6, 5, 4, 3, 2, 10, 1]) % 97;
        rest == 0 || (d[0] > 0 && matches!(rest, 42 | 55))
    })
}

/// A person's number, or the old form with a letter in the second place.
fn irish(value: &[u8]) -> bool {
    match value {
        [first, second, middle @ .., last] if second.is_ascii_alphabetic() => {
            central::pps(&[b"0", middle, &[*first, *last]].concat())
        }
        _ => central::pps(value),
    }
}

fn lithuania(value: &[u8]) -> bool {
    let check = |d: &[u32], last: u32| {
        let cycle =
            |from: usize| (0..d.len()).map(move |place| u32::try_from((place + from) % 9 + 1).unwrap_or(0));
        let sum =
            |from: usize| d.iter().zip(cycle(from)).map(|(digit, weight)| digit * weight).sum::<u32>() % 11;
        (if sum(0) == 10 { sum(2) % 10 } else { sum(0) }) == last
    };
    match value.len() {
        9 => digits::<9>(value).is_some_and(|d| d[7] == 1 && check(&d[..8], d[8])),
        _ => digits::<12>(value).is_some_and(|d| d[10] == 1 && check(&d[..11], d[11])),
    }
}

fn luxembourg(value: &[u8]) -> bool {
    let (Some(body), Some(check)) = (value.get(..6).and_then(number), value.get(6..8).and_then(number))
    else {
        return false;
    };
    value.len() == 8 && body % 89 == check
}

fn latvia(value: &[u8]) -> bool {
    let company = digits::<11>(value)
        .is_some_and(|d| d[0] > 3 && weighted(&d, &[9, 1, 4, 8, 3, 10, 2, 5, 7, 6, 1]) % 11 == 3);
    company || baltic::latvian(value)
}

/// The citizen service number, or since 2020 a number of its own with MOD 97-10 over everything.
fn dutch(value: &[u8]) -> bool {
    let suffix = value.get(10..12).and_then(number);
    let old = value.get(..9).is_some_and(benelux::bsn);
    let new = mod97(b"NL".iter().chain(value).copied()) == Some(1);
    value.len() == 12 && value.get(9) == Some(&b'B') && suffix != Some(0) && (old || new)
}

fn romania(value: &[u8]) -> bool {
    const WEIGHTS: [u32; 9] = [7, 5, 3, 2, 1, 7, 5, 3, 2];
    let Some((check, body)) = value.split_last().filter(|(_, body)| body.len() <= 9) else { return false };
    let weights = WEIGHTS.iter().skip(9 - body.len());
    let sum: u32 =
        body.iter().zip(weights).map(|(byte, weight)| u32::from(byte.wrapping_sub(b'0')) * weight).sum();
    let digits = value.iter().all(u8::is_ascii_digit) && value.first() != Some(&b'0');
    digits && sum * 10 % 11 % 10 == u32::from(check.wrapping_sub(b'0'))
}

fn slovenia(value: &[u8]) -> bool {
    digits::<8>(value).is_some_and(|d| {
        let check = 11 - weighted(&d, &[8, 7, 6, 5, 4, 3, 2]) % 11;
        d[0] > 0 && (if check == 10 { 0 } else { check }) == d[7]
    })
}

fn slovakia(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let company = d[0] > 0
            && matches!(d[2], 2 | 3 | 4 | 7 | 8 | 9)
            && number(value).is_some_and(|value| value % 11 == 0);
        company || central::birth(value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        for valid in [
            "ATU13585627",
            "BE0403019261",
            "BG175074752",
            "CY10259033P",
            "CZ25123891",
            "CZ7103192745",
            "DE136695976",
            "DK13585628",
            "EE100931558",
            "EL094259216",
            "ESB64717838",
            "FI20774740",
            "FR40303265045",
            "FR83404833048",
            "GB980780684",
            "HR33392005961",
            "HU12892312",
            "IE6433435F",
            "IE8D79739I",
            "IT00743110157",
            "LT119511515",
            "LT100001919017",
            "LU15027442",
            "LV40003521600",
            "MT11679112",
            "NL004495445B01",
            "PL8567346215",
            "PT501964843",
            "RO18547290",
            "SE123456789701",
            "SI50223054",
            "SK2022749619",
            "CHE100155212",
            "FRK7399859412",
        ] {
            assert!(vat(valid.as_bytes()), "{valid}");
            // The last digits of a Dutch and a Swedish number are no check digits.
            let place = if valid.starts_with("NL") || valid.starts_with("SE") { 8 } else { valid.len() - 2 };
            let mut other = valid.as_bytes().to_vec();
            other[place] = if other[place] == b'9' { b'0' } else { other[place].wrapping_add(1) };
            assert!(!vat(&other), "{}", String::from_utf8_lossy(&other));
        }
        assert!(!vat(b"XX123456789") && !vat(b"DE000000000") && !vat(b"D") && !vat(b"FRAA"));
    }
}
