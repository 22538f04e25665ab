//! Identifiers of Asia.

use super::checksum::{base36, digit, digits, is_day, number, uniform, verhoeff, weighted};
use super::entity::{Entity, Proof};
use super::form::{a, b, c};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "in-aadhaar",
        entity: "IN_AADHAAR",
        tier: Tier::B,
        about: "Indian identity number: Verhoeff check digit",
        proof: Proof::Checksum,
        forms: &[b("9999_9999_9999", aadhaar)],
        context: &["aadhaar", "aadhar", "adhaar", "uidai", "uid", "आधार", "aadhaar number"],
    },
    Entity {
        id: "in-pan",
        entity: "IN_PAN",
        tier: Tier::B,
        about: "Indian permanent account number: kind of holder in the fourth place",
        proof: Proof::Shape,
        forms: &[b("AAAAA9999A", pan)],
        context: &["pan", "permanent account", "pan card", "income tax", "pan number", "पैन"],
    },
    Entity {
        id: "in-gstin",
        entity: "IN_GSTIN",
        tier: Tier::A,
        about: "Indian goods and services tax number: state, PAN and check character",
        proof: Proof::Checksum,
        forms: &[a("99AAAAA9999AXXX", gstin)],
        context: &["gstin", "gst", "gst number", "tax"],
    },
    Entity {
        id: "in-voter",
        entity: "IN_VOTER",
        tier: Tier::B,
        about: "Indian voter card: three letters and seven digits",
        proof: Proof::Loose,
        forms: &[b("AAA9999999", any)],
        context: &["voter", "epic", "voter id", "election", "elector"],
    },
    Entity {
        id: "in-passport",
        entity: "IN_PASSPORT",
        tier: Tier::C,
        about: "Indian passport number: a letter and seven digits",
        proof: Proof::Loose,
        forms: &[c("A9999999", any)],
        context: &["passport", "passport number", "passport no"],
    },
    Entity {
        id: "jp-my-number",
        entity: "JP_MY_NUMBER",
        tier: Tier::B,
        about: "Japanese individual number: check digit modulo 11",
        proof: Proof::Checksum,
        forms: &[b("9999_9999_9999", my_number)],
        context: &["my number", "mynumber", "individual number", "マイナンバー", "個人番号"],
    },
    Entity {
        id: "kr-rrn",
        entity: "KR_RRN",
        tier: Tier::A,
        about: "Korean resident registration number: date of birth and, until 2020, check digit; bare only with context",
        proof: Proof::Checksum,
        forms: &[a("999999-9999999", rrn), b("9999999999999", rrn), b("999999 9999999", rrn)],
        context: &["rrn", "resident registration", "주민등록번호", "주민번호", "외국인등록번호"],
    },
    Entity {
        id: "kr-business",
        entity: "KR_BUSINESS",
        tier: Tier::B,
        about: "Korean business registration number: check digit",
        proof: Proof::Checksum,
        forms: &[b("999-99-99999", business), b("9999999999", business)],
        context: &["brn", "business registration", "사업자등록번호", "사업자번호"],
    },
    Entity {
        id: "cn-resident-id",
        entity: "CN_RESIDENT_ID",
        tier: Tier::A,
        about: "Chinese resident identity number: province, date of birth, ISO 7064 check character",
        proof: Proof::Checksum,
        forms: &[a("99999999999999999X", resident), a("999999 99999999 999X", resident)],
        context: &[
            "身份证",
            "身份证号",
            "身份证号码",
            "公民身份号码",
            "居民身份证",
            "resident id",
            "chinese id",
            "id card",
            "sfz",
        ],
    },
    Entity {
        id: "tw-id",
        entity: "TW_ID",
        tier: Tier::B,
        about: "Taiwanese identity number: check digit",
        proof: Proof::Checksum,
        forms: &[b("A999999999", taiwanese)],
        context: &["身分證", "身份證", "身分證字號", "統一編號", "taiwan", "national id", "居留證", "roc id"],
    },
    Entity {
        id: "sg-nric",
        entity: "SG_NRIC",
        tier: Tier::B,
        about: "Singaporean identity number (NRIC or FIN): check letter",
        proof: Proof::Checksum,
        forms: &[b("A9999999A", nric)],
        context: &[
            "nric",
            "fin",
            "singapore",
            "identity card",
            "nric/fin",
            "ic number",
            "ic no",
            "foreign identification",
        ],
    },
    Entity {
        id: "sg-uen",
        entity: "SG_UEN",
        tier: Tier::B,
        about: "Singaporean number of an entity: check letter",
        proof: Proof::Checksum,
        forms: &[b("99999999A", uen_business), b("999999999A", uen_company)],
        context: &["uen", "unique entity", "acra", "singapore"],
    },
    Entity {
        id: "th-id",
        entity: "TH_ID",
        tier: Tier::A,
        about: "Thai identity number: check digit modulo 11; bare only with context",
        proof: Proof::Checksum,
        forms: &[a("9-9999-99999-99-9", thai), b("9999999999999", thai), b("9 9999 99999 99 9", thai)],
        context: &[
            "เลขประจำตัวประชาชน",
            "บัตรประชาชน",
            "เลขบัตร",
            "thai id",
            "thailand",
            "citizen id",
            "national id",
            "tnin",
        ],
    },
    Entity {
        id: "my-nric",
        entity: "MY_NRIC",
        tier: Tier::B,
        about: "Malaysian identity number: date of birth and place",
        proof: Proof::Shape,
        forms: &[
            b("999999-99-9999", malaysian),
            b("999999999999", malaysian),
            b("999999 99 9999", malaysian),
        ],
        context: &[
            "mykad",
            "nric",
            "kad pengenalan",
            "no. kp",
            "ic number",
            "ic no",
            "malaysia",
            "malaysian",
            "identity card",
            "no ic",
        ],
    },
    Entity {
        id: "id-nik",
        entity: "ID_NIK",
        tier: Tier::B,
        about: "Indonesian identity number: province and date of birth",
        proof: Proof::Shape,
        forms: &[b("9999999999999999", nik), b("999999 999999 9999", nik), b("999999.999999.9999", nik)],
        context: &["nik", "ktp", "nomor induk kependudukan", "no. ktp", "e-ktp", "kependudukan"],
    },
    Entity {
        id: "id-npwp",
        entity: "ID_NPWP",
        tier: Tier::B,
        about: "Indonesian tax number: Luhn over nine digits",
        proof: Proof::Checksum,
        forms: &[b("99.999.999.9-999.999", npwp), b("999999999999999", npwp)],
        context: &["npwp", "nomor pokok wajib pajak", "pajak"],
    },
    Entity {
        id: "ph-tin",
        entity: "PH_TIN",
        tier: Tier::B,
        about: "Philippine tax number: nine digits and a branch",
        proof: Proof::Loose,
        forms: &[
            b("999-999-999-999", any),
            b("999-999-999-99999", any),
            b("999-999-999", any),
            b("999999999999", any),
        ],
        context: &["tin", "bir", "tax identification", "philippines", "philippine"],
    },
    Entity {
        id: "vn-citizen-id",
        entity: "VN_CITIZEN_ID",
        tier: Tier::B,
        about: "Vietnamese citizen identity number: province, century and sex",
        proof: Proof::Shape,
        forms: &[b("999999999999", vietnamese)],
        context: &[
            "cccd",
            "căn cước",
            "căn cước công dân",
            "cmnd",
            "chứng minh nhân dân",
            "số định danh",
            "vietnam",
            "citizen id",
        ],
    },
    Entity {
        id: "hk-id",
        entity: "HK_ID",
        tier: Tier::A,
        about: "Hong Kong identity card: check character; without parentheses only with context",
        proof: Proof::Checksum,
        forms: &[
            a("A999999(X)", hong_kong),
            a("AA999999(X)", hong_kong),
            b("A999999X", hong_kong),
            b("AA999999X", hong_kong),
            b("A999999-X", hong_kong),
        ],
        context: &["hkid", "hong kong", "身份證", "香港身份證", "身份證號碼", "identity card", "hk id"],
    },
];

fn any(value: &[u8]) -> bool {
    !value.iter().all(|byte| *byte == b'0')
}

/// Source: UIDAI, "Aadhaar number"; the first digit is not 0 or 1.
pub(super) fn aadhaar(value: &[u8]) -> bool {
    let palindrome = value.iter().eq(value.iter().rev());
    value.len() == 12 && matches!(value.first(), Some(b'2'..=b'9')) && verhoeff(value) && !palindrome
}

/// Source: Income Tax Department, Rule 114.
pub(super) fn pan(value: &[u8]) -> bool {
    let holder = value.get(3).is_some_and(|kind| b"ABCFGHJLPTEK".contains(kind));
    value.len() == 10 && holder && value.get(5..9) != Some(b"0000")
}

/// State, PAN, entity, Z, and a check character in base 36 with factors 1 and 2. Source: GSTN, "GSTIN format".
pub(super) fn gstin(value: &[u8]) -> bool {
    let state = value.get(..2).and_then(number);
    let Some(values) = value.iter().map(|byte| base36(*byte)).collect::<Option<Vec<u32>>>() else {
        return false;
    };
    let shares = values.iter().take(14).zip([1, 2].into_iter().cycle()).map(|(value, factor)| value * factor);
    let sum: u32 = shares.map(|product| product / 36 + product % 36).sum();
    let kind =
        value.get(12) != Some(&b'0') && value.get(13).is_some_and(|letter| letter.is_ascii_alphabetic());
    matches!(state, Some(1..=38 | 97 | 99))
        && kind
        && value.len() == 15
        && values.get(14) == Some(&((36 - sum % 36) % 36))
}

/// Weights 6 to 2 and 7 to 2; rests of 0 and 1 give 0. Source: 総務省令第85号 (2014).
pub(super) fn my_number(value: &[u8]) -> bool {
    digits::<12>(value).is_some_and(|d| {
        let rest = weighted(&d, &[6, 5, 4, 3, 2, 7, 6, 5, 4, 3, 2]) % 11;
        !uniform(value) && (if rest <= 1 { 0 } else { 11 - rest }) == d[11]
    })
}

/// Weights 2 to 9 and 2 to 5; those born since October 2020 have random digits instead.
/// Source: 주민등록법 시행규칙.
pub(super) fn rrn(value: &[u8]) -> bool {
    digits::<13>(value).is_some_and(|d| {
        let dated = is_day(d[2] * 10 + d[3], d[4] * 10 + d[5]);
        let check = (11 - weighted(&d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10;
        // Foreigners' numbers, 5 to 8, add two.
        let foreign = (13 - weighted(&d, &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]) % 11) % 10;
        let year = d[0] * 10 + d[1];
        let recent = matches!(d[6], 3 | 4 | 7 | 8)
            && (20..=29).contains(&year)
            && (year > 20 || d[2] * 10 + d[3] >= 10);
        let fits = check == d[12] || recent || ((5..=8).contains(&d[6]) && foreign == d[12]);
        dated && d[6] <= 9 && fits
    })
}

/// Source: 국세청, 사업자등록번호 체계.
pub(super) fn business(value: &[u8]) -> bool {
    digits::<10>(value).is_some_and(|d| {
        let sum = weighted(&d, &[1, 3, 7, 1, 3, 7, 1, 3, 5]) + d[8] * 5 / 10;
        sum > 0 && (10 - sum % 10) % 10 == d[9]
    })
}

/// Powers of two modulo 11, X for ten. Source: GB 11643-1999.
pub(super) fn resident(value: &[u8]) -> bool {
    let (Some(d), Some(last)) = (value.get(..17).and_then(digits::<17>), value.get(17)) else { return false };
    let sum = weighted(&d, &[7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2]) % 11;
    let expected = usize::try_from(sum).ok().and_then(|rest| b"10X98765432".get(rest));
    let province =
        matches!(d[0] * 10 + d[1], 11..=15 | 21..=23 | 31..=37 | 41..=46 | 50..=54 | 61..=65 | 71 | 81..=83);
    let year = number(&value[6..10]);
    let dated = matches!(year, Some(1880..=2099)) && is_day(d[10] * 10 + d[11], d[12] * 10 + d[13]);
    value.len() == 18 && province && dated && Some(last) == expected
}

/// The letter counts as two digits; weights 1, 9, 8 … 1, 1. The second digit is the sex, 8 and 9 for foreigners.
/// Source: 內政部戶政司.
pub(super) fn taiwanese(value: &[u8]) -> bool {
    const ORDER: &[u8; 26] = b"ABCDEFGHJKLMNPQRSTUVXYWZIO";
    let Some((letter, rest)) = value.split_first() else { return false };
    let rank = ORDER.iter().position(|known| known == letter).and_then(|at| u32::try_from(at).ok());
    let (Some(rank), Some(d)) = (rank.map(|rank| rank + 10), digits::<9>(rest)) else { return false };
    let sum = rank / 10 + rank % 10 * 9 + weighted(&d, &[8, 7, 6, 5, 4, 3, 2, 1, 1]);
    matches!(d[0], 1 | 2 | 8 | 9) && sum.is_multiple_of(10)
}

/// Weights 2, 7, 6, 5, 4, 3, 2; T and G add four, M three. Source: Immigration and Checkpoints Authority.
pub(super) fn nric(value: &[u8]) -> bool {
    let (Some(first), Some(last)) = (value.first(), value.get(8)) else { return false };
    let Some(d) = value.get(1..8).and_then(digits::<7>) else { return false };
    let (letters, more): (&[u8; 11], u32) = match first {
        b'S' => (b"JZIHGFEDCBA", 0),
        b'T' => (b"JZIHGFEDCBA", 4),
        b'F' => (b"XWUTRQPNMLK", 0),
        b'G' => (b"XWUTRQPNMLK", 4),
        b'M' => (b"XWUTRQPNJLK", 3),
        _ => return false,
    };
    let rest = (weighted(&d, &[2, 7, 6, 5, 4, 3, 2]) + more) % 11;
    let rest = if *first == b'M' { 10 - rest } else { rest };
    let letters = if *first == b'M' { b"KLJNPQRTUWX" } else { letters };
    usize::try_from(rest).ok().and_then(|rest| letters.get(rest)) == Some(last)
}

/// Businesses: weights 10, 4, 9, 3, 8, 2, 7, 1. Source: ACRA, "Unique Entity Number".
fn uen_business(value: &[u8]) -> bool {
    let Some(d) = value.get(..8).and_then(digits::<8>) else { return false };
    let rest = weighted(&d, &[10, 4, 9, 3, 8, 2, 7, 1]) % 11;
    usize::try_from(rest).ok().and_then(|rest| b"XMKECAWLJDB".get(rest)) == value.get(8)
}

/// Local companies: year and number, weights 10, 8, 6, 4, 9, 7, 5, 3, 1.
fn uen_company(value: &[u8]) -> bool {
    let Some(d) = value.get(..9).and_then(digits::<9>) else { return false };
    let rest = weighted(&d, &[10, 8, 6, 4, 9, 7, 5, 3, 1]) % 11;
    usize::try_from(rest).ok().and_then(|rest| b"ZKCMDNERGWH".get(rest)) == value.get(9)
}

/// Weights 13 to 2. Source: กรมการปกครอง.
pub(super) fn thai(value: &[u8]) -> bool {
    digits::<13>(value).is_some_and(|d| {
        let check = (11 - weighted(&d, &[13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11) % 10;
        d[0] > 0 && d[0] < 9 && check == d[12] && !uniform(value)
    })
}

/// Date of birth and a place that is assigned. Source: Jabatan Pendaftaran Negara, "Kod negeri".
pub(super) fn malaysian(value: &[u8]) -> bool {
    digits::<12>(value).is_some_and(|d| {
        let place = d[6] * 10 + d[7];
        let assigned = !matches!(place, 0 | 17..=20 | 69 | 70 | 73 | 80 | 81 | 94..=97);
        is_day(d[2] * 10 + d[3], d[4] * 10 + d[5]) && assigned
    })
}

/// Province, and the day raised by 40 for women. Source: Permendagri 72/2022.
pub(super) fn nik(value: &[u8]) -> bool {
    digits::<16>(value).is_some_and(|d| {
        let day = d[6] * 10 + d[7];
        let province = matches!(d[0] * 10 + d[1], 11..=19 | 21 | 31..=36 | 51..=53 | 61..=65 | 71..=76 | 81 | 82 | 91..=97);
        province && is_day(d[8] * 10 + d[9], if day > 40 { day - 40 } else { day }) && d[12..].iter().any(|d| *d > 0)
    })
}

/// Source: Direktorat Jenderal Pajak.
fn npwp(value: &[u8]) -> bool {
    value.len() == 15 && value.get(..9).is_some_and(super::checksum::luhn) && any(&value[..9])
}

/// Source: Nghị định 137/2015/NĐ-CP.
pub(super) fn vietnamese(value: &[u8]) -> bool {
    let province = value.get(..3).and_then(number);
    value.len() == 12 && matches!(province, Some(1..=96)) && matches!(value.get(3), Some(b'0'..=b'3'))
}

/// Letters count 10 to 35, a missing first letter 36; weights 9 to 1. Source: Immigration Department.
pub(super) fn hong_kong(value: &[u8]) -> bool {
    let Some((last, body)) = value.split_last() else { return false };
    let values: Option<Vec<u32>> = body.iter().map(|byte| base36(*byte)).collect();
    let Some(mut values) = values else { return false };
    if values.len() == 7 {
        values.insert(0, 36);
    }
    let check = if *last == b'A' { 10 } else { digit(*last) };
    values.len() == 8
        && check <= 10
        && (weighted(&values, &[9, 8, 7, 6, 5, 4, 3, 2]) + check).is_multiple_of(11)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            aadhaar(b"234123412346")
                && !aadhaar(b"234123412347")
                && !aadhaar(b"123412341234")
                && !aadhaar(b"222222222222")
        );
        assert!(pan(b"ACUPA7085R") && !pan(b"ACUXA7085R") && !pan(b"ACUPA0000R"));
        assert!(gstin(b"27AAPFU0939F1ZV") && !gstin(b"27AAPFU0939F1ZW") && !gstin(b"40AAPFU0939F1ZV"));
        assert!(my_number(b"123456789018") && !my_number(b"123456789017") && !my_number(b"000000000000"));
        assert!(
            rrn(b"9710139019902")
                && !rrn(b"9710139019903")
                && rrn(b"2103013123456")
                && !rrn(b"9713139019902")
        );
        assert!(business(b"1168200276") && !business(b"1168200277"));
        assert!(
            resident(b"11010519491231002X")
                && resident(b"440524188001010014")
                && !resident(b"110105194912310021")
        );
        assert!(taiwanese(b"A123456789") && !taiwanese(b"A123456788") && !taiwanese(b"A323456789"));
        assert!(
            nric(b"S1234567D")
                && nric(b"T0000001E")
                && nric(b"F1234567N")
                && nric(b"G1234567X")
                && !nric(b"S1234567E")
        );
        assert!(uen_business(b"00192200M") && uen_company(b"197401143C") && !uen_business(b"00192200N"));
        assert!(thai(b"3100600445635") && !thai(b"3100600445636"));
        assert!(malaysian(b"770305021234") && !malaysian(b"771305021234") && !malaysian(b"770305001234"));
        assert!(nik(b"3171011708450001") && nik(b"3171015708450001") && !nik(b"3171013208450001"));
        assert!(npwp(b"013000666091000") && vietnamese(b"001085012345") && !vietnamese(b"097085012345"));
        assert!(
            hong_kong(b"A1234563")
                && hong_kong(b"AB9876543")
                && !hong_kong(b"A1234564")
                && hong_kong(b"C6686689")
        );
    }
}
