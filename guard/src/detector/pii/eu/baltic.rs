//! Identifiers of Estonia, Latvia and Lithuania.

use super::super::checksum::{digits, is_day, weighted};
use super::super::entity::{Entity, Proof};
use super::super::form::{a, b};
use crate::Tier;

pub(super) const ENTITIES: &[Entity] = &[
    Entity {
        id: "ee-personal-code",
        entity: "EE_PERSONAL_CODE",
        tier: Tier::B,
        about: "Estonian personal code: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999999", code)],
        context: &["isikukood", "isikukoodi", "personal code", "id-kood", "estonia", "eesti"],
    },
    Entity {
        id: "lt-personal-code",
        entity: "LT_PERSONAL_CODE",
        tier: Tier::B,
        about: "Lithuanian personal code: date of birth and check digit",
        proof: Proof::Checksum,
        forms: &[b("99999999999", code)],
        context: &["asmens kodas", "asmens kodo", "a.k.", "personal code", "lithuania", "lietuva"],
    },
    Entity {
        id: "lv-personal-code",
        entity: "LV_PERSONAL_CODE",
        tier: Tier::A,
        about: "Latvian personal code: date of birth and check digit, or the new form that begins with 32",
        proof: Proof::Checksum,
        forms: &[a("999999-99999", latvian), b("99999999999", latvian), b("329999-99999", new_latvian)],
        context: &["personas kods", "personas koda", "personas kodu", "personal code", "latvia", "latvija"],
    },
];

/// Weights 1 to 9 and 1, or 3 to 9 and 1, 2, 3 where that gives ten. Sources: Eesti standard EVS 585:2007; Lietuvos
/// gyventojų registro įstatymas.
pub(super) fn code(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let mut check = weighted(&d, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 1]) % 11;
        if check == 10 {
            check = weighted(&d, &[3, 4, 5, 6, 7, 8, 9, 1, 2, 3]) % 11 % 10;
        }
        (1..=8).contains(&d[0]) && is_day(d[3] * 10 + d[4], d[5] * 10 + d[6]) && check == d[10]
    })
}

/// Source: Fizisko personu reģistra likums; Valsts ieņēmumu dienests.
pub(super) fn latvian(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| {
        let check = (1 + weighted(&d, &[10, 5, 8, 4, 2, 1, 6, 3, 7, 9])) % 11 % 10;
        d[6] <= 2 && is_day(d[2] * 10 + d[3], d[0] * 10 + d[1]) && check == d[10]
    })
}

/// Since 2017: 32 and nine digits that say nothing.
fn new_latvian(value: &[u8]) -> bool {
    digits::<11>(value).is_some_and(|d| d[0] == 3 && (2..=9).contains(&d[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_numbers() {
        assert!(
            code(b"36805280109") && code(b"33309240064") && code(b"38703181745") && !code(b"36805280108")
        );
        assert!(latvian(b"16117519997") && !latvian(b"16117519998") && !latvian(b"16137519997"));
        assert!(new_latvian(b"32123456789") && !new_latvian(b"31123456789"));
    }
}
