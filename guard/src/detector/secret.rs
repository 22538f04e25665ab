//! Secrets: credentials of any vendor, by rules from files and by structural checks of what the rules matched.

pub mod check;

mod base64;
mod header;
mod keys;
mod password;
mod placeholder;
mod randomness;
mod vendor;

use crate::rules::{LoadError, RuleSet, prepared};

/// The built-in rule files by field, in the order in which their rules are numbered: of two rules that find the same, the
/// earlier one names it, so the rules that go by names alone come last.
pub const FILES: &[(&str, &str)] = &[
    ("ai", include_str!("../../rules/secrets/ai.toml")),
    ("auth", include_str!("../../rules/secrets/auth.toml")),
    ("chat", include_str!("../../rules/secrets/chat.toml")),
    ("ci_cd", include_str!("../../rules/secrets/ci_cd.toml")),
    ("cloud", include_str!("../../rules/secrets/cloud.toml")),
    ("databases", include_str!("../../rules/secrets/databases.toml")),
    ("email", include_str!("../../rules/secrets/email.toml")),
    ("keys", include_str!("../../rules/secrets/keys.toml")),
    ("monitoring", include_str!("../../rules/secrets/monitoring.toml")),
    ("packages", include_str!("../../rules/secrets/packages.toml")),
    ("payments", include_str!("../../rules/secrets/payments.toml")),
    ("social", include_str!("../../rules/secrets/social.toml")),
    ("source_control", include_str!("../../rules/secrets/source_control.toml")),
    ("storage", include_str!("../../rules/secrets/storage.toml")),
    ("generic", include_str!("../../rules/secrets/generic.toml")),
];

/// What [`FILES`] say, read and prepared beforehand. `UPDATE=1 cargo nextest run -p narrows-guard` writes it anew.
const PREPARED: &str = include_str!("../../rules/secrets.json");

/// The built-in rules.
pub fn built_in() -> Result<RuleSet, LoadError> {
    prepared::read(PREPARED, &check::by_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prepared_rules_are_those_of_the_files() {
        let mut all = RuleSet::default();
        for (_, toml) in FILES {
            all.append(RuleSet::with_checks(toml, &check::by_name).unwrap());
        }
        let name = |check: check::Check| {
            let known = check::CHECKS.iter().find(|(_, known)| std::ptr::fn_addr_eq(*known, check));
            known.map(|(name, _)| *name)
        };
        let prepared = prepared::write(&all, &name);
        if std::env::var_os("UPDATE").is_some() {
            let path = concat!(env!("CARGO_MANIFEST_DIR"), "/rules/secrets.json");
            std::fs::write(path, &prepared).unwrap();
        } else {
            assert!(
                prepared == PREPARED,
                "rules or their derivation have changed: UPDATE=1 cargo nextest run -p narrows-guard"
            );
        }
        assert_eq!(prepared::write(&prepared::read(&prepared, &check::by_name).unwrap(), &name), prepared);
    }
}
