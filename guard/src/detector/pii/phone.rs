//! Telephone numbers. Sources: ITU-T E.164 (international form, calling codes), E.123 (how numbers are written), the
//! national numbering plans for lengths and leading digits.

use std::ops::Range;

use super::checksum::number;
use super::entity::{Entity, Proof};
use super::form::{Form, a, b};
use super::text;
use crate::Tier;

/// Digits of the longest number (E.164).
const MAX_DIGITS: usize = 15;
/// Digits of the shortest number, with its calling code.
const MIN_DIGITS: usize = 8;
/// Bytes of the longest number with its punctuation.
const MAX_WRITTEN: usize = 32;

pub(super) const PHONE: Entity = Entity {
    id: "phone",
    entity: "PHONE",
    tier: Tier::A,
    about: "Telephone number: international with its calling code, or grouped as a country groups it",
    proof: Proof::Shape,
    forms: FORMS,
    context: &[
        "phone",
        "telephone",
        "tel",
        "mobile",
        "cell",
        "cellphone",
        "call me",
        "call us",
        "call him",
        "call her",
        "please call",
        "fax",
        "phone number",
        "whatsapp",
        "sms to",
        "text me",
        "hotline",
        "telefon",
        "telefonnummer",
        "handy",
        "handynummer",
        "mobilnummer",
        "mobiltelefon",
        "rufnummer",
        "anrufen",
        "téléphone",
        "telephone",
        "portable",
        "appelez",
        "appeler",
        "numéro de tél",
        "teléfono",
        "telefono",
        "móvil",
        "movil",
        "celular",
        "llámame",
        "llamar",
        "cellulare",
        "chiama",
        "telefone",
        "telemóvel",
        "ligue",
        "telefoon",
        "telefoonnummer",
        "mobiel",
        "gsm-nummer",
        "komórka",
        "komórkowy",
        "numer telefonu",
        "zadzwoń",
        "puhelin",
        "телефон",
        "тел.",
        "电话",
        "手机",
        "電話",
        "携帯",
        "전화",
        "휴대폰",
        "โทร",
        "điện thoại",
        "telepon",
        "no. hp",
        "फोन",
    ],
};

const FORMS: &[Form] = &[
    // North America.
    a("(999) 999-9999", north_america),
    a("(999)999-9999", north_america),
    a("(999) 999 9999", north_america),
    a("999-999-9999", north_america),
    a("1-999-999-9999", north_america),
    a("1 (999) 999-9999", north_america),
    b("999.999.9999", north_america),
    b("999 999 9999", north_america),
    b("9999999999", north_america),
    b("19999999999", north_america),
    // United Kingdom: 10 digits after the trunk prefix.
    a("099 9999 9999", kingdom),
    a("0999 999 9999", kingdom),
    a("09999 999999", kingdom),
    a("09999 999 999", kingdom),
    b("09999999999", kingdom),
    // Germany: an area or mobile code, then at least five digits.
    a("0999 9999999", germany),
    a("0999 99999999", germany),
    a("0999-9999999", germany),
    a("0999-99999999", germany),
    a("0999/9999999", germany),
    a("0999/99999999", germany),
    a("0999 999 9999", germany),
    a("099 99999999", germany),
    a("099/99999999", germany),
    a("099-99999999", germany),
    b("099 999999", germany),
    b("099 9999999", germany),
    b("099/999999", germany),
    b("09999999999", germany),
    b("099999999999", germany),
    // France: five pairs.
    a("09~99~99~99~99", france),
    b("0999999999", france),
    // Spain, Portugal, Poland: nine digits without trunk prefix.
    b("999 999 999", iberia),
    b("999 99 99 99", iberia),
    b("999-999-999", iberia),
    b("999999999", iberia),
    // Italy.
    b("399 999 9999", italy),
    b("399 9999999", italy),
    b("3999999999", italy),
    b("09 9999 9999", italy),
    // Netherlands, Belgium.
    a("06-99999999", any),
    b("06 99999999", any),
    b("06 99 99 99 99", any),
    a("0999-999999", netherlands),
    a("099-9999999", netherlands),
    b("0499 99 99 99", any),
    b("0499/99 99 99", any),
    b("0499/99.99.99", any),
    // Switzerland, Austria.
    a("099 999 99 99", switzerland),
    b("0699 99999999", any),
    b("0669 9999999", any),
    // Sweden, Norway, Denmark, Finland.
    a("079-999 99 99", any),
    b("08-999 999 99", any),
    b("99999999", eight),
    b("9999 9999", eight),
    b("999 99 999", any),
    b("99 99 99 99", any),
    b("049 999 9999", any),
    // Brazil.
    a("(99) 99999-9999", brazil),
    a("(99) 9999-9999", brazil),
    b("99 99999-9999", brazil),
    b("99999999999", brazil_mobile),
    // Mexico.
    b("99 9999 9999", any),
    // Russia.
    a("8 (999) 999-99-99", any),
    b("8 999 999-99-99", any),
    b("8-999-999-99-99", any),
    b("8 999 999 99 99", any),
    b("8 (999) 999-9999", any),
    b("9999-9999", eight),
    b("99 9999-9999", brazil),
    b("89999999999", any),
    // Turkey.
    b("0599 999 99 99", any),
    // Japan, Korea.
    a("099-9999-9999", east),
    a("09-9999-9999", east),
    a("0999-99-9999", east),
    b("029-999-9999", any),
    // China, India.
    b("199 9999 9999", any),
    b("199-9999-9999", any),
    b("19999999999", china),
    b("99999 99999", india),
    b("9999999999", india),
    // Australia, New Zealand, South Africa, Israel.
    a("(09) 9999 9999", australia),
    a("0499 999 999", any),
    b("09 9999 9999", australia),
    b("029 999 9999", any),
    b("089 999 9999", any),
    a("059-999-9999", any),
    b("059-9999999", any),
];

/// For layouts whose fixed digits are all there is to check.
fn any(_: &[u8]) -> bool {
    true
}

/// Ten digits: area and exchange begin with 2 to 9 and are not service codes such as 911 (North American Numbering Plan).
fn north_america(value: &[u8]) -> bool {
    let value = if value.len() == 11 { value.strip_prefix(b"1").unwrap_or_default() } else { value };
    let &[a, b, c, d, e, f, ..] = value else { return false };
    value.len() == 10
        && a >= b'2'
        && d >= b'2'
        && (b, c) != (b'1', b'1')
        && (e, f) != (b'1', b'1')
        && b != b'9'
}

/// Geographic 01 and 02, 03, mobile 07, service 08 (Ofcom's National Telephone Numbering Plan).
fn kingdom(value: &[u8]) -> bool {
    value.len() == 11 && matches!(value.get(1), Some(b'1' | b'2' | b'3' | b'7' | b'8'))
}

/// Area codes begin with 2 to 9, mobile codes with 15, 16, 17 (Bundesnetzagentur's Nummernplan).
fn germany(value: &[u8]) -> bool {
    match value {
        [b'0', b'1', b'5' | b'6' | b'7', ..] => (11..=12).contains(&value.len()),
        [b'0', b'2'..=b'9', ..] => (9..=12).contains(&value.len()),
        _ => false,
    }
}

/// 01 to 05 geographic, 06 and 07 mobile, 08 and 09 others (Arcep's plan de numérotation).
fn france(value: &[u8]) -> bool {
    // Bytes that count up, as documentation writes them: `01 02 03 04 05`.
    let counting = value
        .chunks(2)
        .zip(value.chunks(2).skip(1))
        .all(|(pair, next)| number(next).zip(number(pair)).is_some_and(|(next, pair)| next == pair + 1));
    value.len() == 10 && matches!(value, [b'0', b'1'..=b'9', ..]) && !counting
}

/// Spain 6 to 9, Portugal 2, 3, 9, Poland most.
fn iberia(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'2'..=b'9'))
}

/// Eight digits without trunk prefix, as in Scandinavia; not the years from and to which something lasts.
fn eight(value: &[u8]) -> bool {
    let year = |from: usize| matches!(value.get(from..from + 2), Some(b"19" | b"20"));
    value.len() == 8 && iberia(value) && !(year(0) && year(4))
}

fn italy(value: &[u8]) -> bool {
    matches!(value, [b'3', ..] | [b'0', b'1'..=b'9', ..])
}

fn netherlands(value: &[u8]) -> bool {
    value.len() == 10 && matches!(value.get(1), Some(b'1'..=b'5' | b'7'))
}

fn switzerland(value: &[u8]) -> bool {
    matches!(value.get(1..3).and_then(number), Some(21..=91))
}

/// Area codes of Brazil are two digits without 0; mobile numbers begin with 9 (Anatel).
fn brazil(value: &[u8]) -> bool {
    let mobile = value.len() != 11 || value.get(2) == Some(&b'9');
    value.iter().take(2).all(|&digit| digit != b'0') && mobile
}

fn brazil_mobile(value: &[u8]) -> bool {
    value.len() == 11 && brazil(value)
}

/// Japan and Korea: mobile 0x0, geographic 0x.
fn east(value: &[u8]) -> bool {
    match value.len() {
        11 => {
            value.get(2) == Some(&b'0')
                || matches!(value.get(1..3), Some(b"10" | b"11" | b"16" | b"17" | b"18" | b"19" | b"31"))
        }
        10 => matches!(value.get(1), Some(b'1'..=b'9')),
        _ => false,
    }
}

/// Mobile numbers of China begin with 13 to 19.
fn china(value: &[u8]) -> bool {
    matches!(value.get(1), Some(b'3'..=b'9'))
}

/// Mobile numbers of India begin with 6 to 9.
fn india(value: &[u8]) -> bool {
    matches!(value.first(), Some(b'6'..=b'9'))
}

fn australia(value: &[u8]) -> bool {
    matches!(value.get(1), Some(b'2' | b'3' | b'4' | b'7' | b'8'))
}

/// The lengths and leading digits of one calling code's national numbers.
#[derive(Debug, Default)]
struct Plan {
    /// Digits that numbers of a length may begin with, as bits.
    leading: [u16; MAX_DIGITS + 1],
}

/// National numbering plans by calling code.
#[derive(Debug)]
pub(super) struct Plans(Vec<Option<Plan>>);

impl Plans {
    pub(super) fn new() -> Plans {
        let mut plans = Vec::new();
        plans.resize_with(1000, || None);
        for line in include_str!("data/calling_codes.txt").lines().filter(|line| !line.starts_with('#')) {
            let Some((code, plan)) = line.split_once(' ') else { continue };
            let place = code.parse::<usize>().ok().and_then(|code| plans.get_mut(code));
            if let Some(place) = place {
                *place = Some(Plan::new(plan));
            }
        }
        Plans(plans)
    }

    /// Whether a calling code and the digits after it are a number.
    fn valid(&self, digits: &[u8]) -> bool {
        (1..=3).any(|len| {
            let Some((code, rest)) = digits.split_at_checked(len) else { return false };
            let code = number(code).and_then(|code| usize::try_from(code).ok());
            let plan = code.and_then(|code| self.0.get(code)).and_then(Option::as_ref);
            plan.is_some_and(|plan| plan.fits(rest)) && (digits.first() != Some(&b'1') || north_america(rest))
        })
    }

    /// The number with its calling code that begins at a `+`.
    pub(super) fn international(&self, text: &[u8], plus: usize) -> Option<Range<usize>> {
        let before = text::before(text, plus);
        if (text::kind(before) != 0 && !text::escape(text, plus))
            || matches!(before, b'_' | b'+' | b'/' | b'.')
        {
            return None;
        }
        let mut digits = [0; MAX_DIGITS];
        let (mut count, mut place, mut end) = (0, plus + 1, None);
        while place - plus < MAX_WRITTEN {
            let (to, seen) = text::run(text, place);
            let run = text.get(place..to)?;
            let run = run.get(..extension_letter(run))?;
            if run.is_empty()
                || count + run.len() > MAX_DIGITS
                || (seen != text::DIGIT && run.len() == to - place)
            {
                break;
            }
            let to = place + run.len();
            // The trunk prefix that is dialled within the country alone: `+44 (0)20`.
            if !(run == b"0" && text::before(text, place) == b'(' && text::at(text, to) == b')') {
                digits.get_mut(count..count + run.len())?.copy_from_slice(run);
                count += run.len();
            }
            if count >= MIN_DIGITS
                && self.valid(digits.get(..count)?)
                && !text::joined_right(text, extension(text, to), 0)
            {
                end = Some(to);
            }
            match separated(text, to) {
                Some(next) => place = next,
                None => break,
            }
        }
        // A parenthesis around the calling code, `(+358) 40 123 4567`, belongs to the number.
        let opened = before == b'('
            && text.get(plus..end?).is_some_and(|value| value.contains(&b')') && !value.contains(&b'('));
        end.map(|end| plus - usize::from(opened)..extension(text, end))
    }
}

/// Digits of the shortest and longest number as it is dialled within a country; of one to another country, more.
const NATIONAL: std::ops::RangeInclusive<usize> = 8..=13;

/// Whether a run of digits may begin a number as it is dialled within a country.
#[inline]
pub(super) fn begins(text: &[u8], start: usize, len: usize, next: u8) -> bool {
    let grouped = matches!(next, b' ' | b'-' | b'.' | b'/' | b')');
    match text::before(text, start) {
        b'(' => len <= 5 && next == b')',
        _ => {
            text::at(text, start) == b'0' && (grouped || len >= 8)
                || len == 3 && grouped && text::at(text, start) >= b'2'
        }
    }
}

/// The number as it is dialled within a country that begins at a run of digits: with a trunk prefix `0`, the prefix `00`
/// for other countries, or an area code in parentheses, and maybe an extension. [`Tier::A`] where a parenthesis and the
/// rules of its country make it unmistakable, otherwise it needs a word nearby.
pub(super) fn national(text: &[u8], start: usize) -> Option<(Range<usize>, Tier)> {
    let parenthesis = text::before(text, start) == b'(';
    let from = start - usize::from(parenthesis);
    let mut digits = [0; MAX_DIGITS];
    let (mut count, mut place, mut groups) = (0, start, 0);
    let end = loop {
        let (to, seen) = text::run(text, place);
        let run = text.get(place..to)?;
        let run = run.get(..extension_letter(run))?;
        if run.is_empty()
            || count + run.len() > MAX_DIGITS
            || (seen != text::DIGIT && run.len() == to - place)
        {
            return None;
        }
        digits.get_mut(count..count + run.len())?.copy_from_slice(run);
        (count, groups) = (count + run.len(), groups + 1);
        if groups == 1 && parenthesis && text::at(text, to) != b')' {
            return None;
        }
        match separated(text, place + run.len()) {
            Some(next) => place = next,
            None => break place + run.len(),
        }
    };
    let value = digits.get(..count)?;
    let area = north_america(value) && groups > 1;
    let abroad = value.starts_with(b"00") && count > MIN_DIGITS;
    if !(NATIONAL.contains(&count) || abroad) || !(parenthesis || value.first() == Some(&b'0') || area) {
        return None;
    }
    let end = extension(text, end);
    let tier =
        if parenthesis && groups > 1 && (area || value.first() == Some(&b'0')) { Tier::A } else { Tier::B };
    let alone = !text::joined_left(text, from, 0) && !text::joined_right(text, end, 0);
    alone.then_some((from..end, tier))
}

/// Where the `x` of an extension stands in a run, or its end.
fn extension_letter(run: &[u8]) -> usize {
    run.iter().position(|byte| *byte == b'x').filter(|place| *place > 0).unwrap_or(run.len())
}

/// The end of a number with its extension: `x123`, ` x123`, ` ext. 123`.
fn extension(text: &[u8], end: usize) -> usize {
    for mark in [&b"x"[..], b" x", b" ext. ", b" ext ", b" ext.", b" extension "] {
        let digits = end + mark.len();
        if text.get(end..digits) == Some(mark) {
            let (to, seen) = text::run(text, digits);
            if seen == text::DIGIT && to - digits <= MAX_EXTENSION {
                return to;
            }
        }
    }
    end
}

/// Digits of the longest extension.
const MAX_EXTENSION: usize = 6;

/// The next digit after at most two bytes of punctuation.
fn separated(text: &[u8], place: usize) -> Option<usize> {
    let separator = |byte: u8| matches!(byte, b' ' | b'-' | b'.' | b'/' | b'(' | b')');
    let mut next = place;
    while next - place < 3 && separator(text::at(text, next)) {
        next += 1;
    }
    (next > place && text::at(text, next).is_ascii_digit()).then_some(next)
}

impl Plan {
    /// Reads `10:23456789 7,8:1`: lengths, then leading digits.
    fn new(written: &str) -> Plan {
        let mut plan = Plan::default();
        for (lengths, leading) in written.split(' ').filter_map(|part| part.split_once(':')) {
            let bits = leading.bytes().fold(0, |bits, byte| bits | 1 << (byte & 15));
            for len in lengths.split(',').filter_map(|len| len.parse::<usize>().ok()) {
                if let Some(place) = plan.leading.get_mut(len) {
                    *place |= bits;
                }
            }
        }
        plan
    }

    fn fits(&self, rest: &[u8]) -> bool {
        let bits = self.leading.get(rest.len()).copied().unwrap_or(0);
        rest.first().is_some_and(|first| bits >> (first & 15) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static PLANS: std::sync::LazyLock<Plans> = std::sync::LazyLock::new(Plans::new);

    fn found(text: &str) -> Option<&str> {
        let plus = text.find('+')?;
        PLANS.international(text.as_bytes(), plus).map(|range| &text[range])
    }

    #[test]
    fn international_numbers_are_found_whole() {
        for number in [
            "+14155552671",
            "+1 415 555 2671",
            "+1 (415) 555-2671",
            "+1-415-555-2671",
            "+1.415.555.2671",
            "+442071838750",
            "+44 20 7183 8750",
            "+44 (0)20 7183 8750",
            "+49 30 123456",
            "+49 (0) 171 1234567",
            "+33 1 23 45 67 89",
            "+33.6.12.34.56.78",
            "+34 612 345 678",
            "+39 06 698 12345",
            "+48 512 345 678",
            "+31 6 12345678",
            "+55 11 91234-5678",
            "+91 98765 43210",
            "+81 90-1234-5678",
            "+86 138 1234 5678",
            "+353 86 123 4567",
            "+971 50 123 4567",
            "+61 412 345 678",
            "+41 44 668 18 00",
            "+82-10-1234-5678",
        ] {
            for text in [
                number.to_owned(),
                format!("call {number}."),
                format!("\"{number}\","),
                format!("({number})"),
            ] {
                assert_eq!(found(&text), Some(number), "{text}");
            }
        }
    }

    #[test]
    fn other_numbers_are_left() {
        for text in [
            "+1 123 456 7890",
            "+999 123456789",
            "+1234",
            "x+14155552671",
            "+1415555267",
            "+141555526711",
            "+0200 12345678",
            "+14155552671a",
            "+4.5678901234",
            "+49",
        ] {
            assert_eq!(found(text), None, "{text}");
        }
    }

    #[test]
    fn a_parenthesis_around_the_calling_code_belongs_to_the_number() {
        let range = |text: &str| PLANS.international(text.as_bytes(), text.find('+').unwrap()).unwrap();
        assert_eq!(range("x (+358) 40 123 4567 y"), 2..20);
        assert_eq!(range("x (+358 40 123 4567) y"), 3..19);
    }

    #[test]
    fn extensions_belong_to_the_number() {
        for number in ["+1-877-853-3139x9332", "+1 415 555 2671 ext. 12", "+49 30 123456 x7"] {
            assert_eq!(found(&format!("call {number}, now")), Some(number));
        }
    }

    #[test]
    fn numbers_dialled_within_a_country() {
        let found = |text: &str| {
            let start = text.find(|c: char| c.is_ascii_digit())?;
            national(text.as_bytes(), start).map(|(range, tier)| (text[range].to_owned(), tier))
        };
        for (number, tier) in [
            ("(0191) 496 0126", Tier::A),
            ("(030) 123456", Tier::A),
            ("(219)753-1811x017", Tier::A),
            ("03236 35270", Tier::B),
            ("062-495-0610", Tier::B),
            ("00420 604 019 654", Tier::B),
            ("1-321-456-6632x706", Tier::B),
            ("(06804) 44910", Tier::A),
            ("319.444.8289x3049", Tier::B),
            ("095351402", Tier::B),
        ] {
            assert_eq!(found(&format!("x: {number} .")), Some((number.to_owned(), tier)), "{number}");
        }
        for other in
            ["(12) 34", "0123", "2024-01-15", "012345678901234", "01234567a", "(0191 4960126", "0.12345678_"]
        {
            assert_eq!(found(other), None, "{other}");
        }
    }

    #[test]
    fn national_forms_are_checked() {
        assert!(north_america(b"4155552671") && north_america(b"14155552671"));
        assert!(
            !north_america(b"1234567890") && !north_america(b"9115552671") && !north_america(b"4151552671")
        );
        assert!(kingdom(b"02079460958") && germany(b"01711234567") && france(b"0123456789"));
        assert!(!france(b"0102030405") && eight(b"23701652") && !eight(b"20082019"));
    }
}
