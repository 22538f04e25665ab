use super::*;
use crate::token::issue;

const NOW: i64 = 1_000_000;

fn ring_with(change: impl FnOnce(&mut KeyEntry)) -> (KeyRing, Secret) {
    let issued = issue(TokenKind::VirtualKey, None).unwrap();
    let caller = Caller { key_id: Some(issued.id.clone()), organization: "acme".into(), ..Caller::default() };
    let mut entry = KeyEntry {
        caller: Arc::new(caller),
        models: None,
        hash: issued.hash,
        previous: None,
        expires_at_us: None,
        disabled: false,
    };
    change(&mut entry);
    let mut ring = KeyRing::default();
    ring.keys.insert(PublicId::from_text(&issued.id).unwrap(), Arc::new(entry));
    (ring, issued.text)
}

#[test]
fn a_valid_key_is_accepted_and_names_its_caller() {
    let (ring, key) = ring_with(|_| {});
    assert_eq!(ring.verify(key.expose(), NOW).unwrap().caller.organization, "acme");
}

#[test]
fn the_right_id_with_another_secret_is_unknown_whatever_the_state() {
    let (ring, key) = ring_with(|entry| {
        entry.disabled = true;
        entry.hash[31] ^= 1;
    });
    assert_eq!(ring.verify(key.expose(), NOW).unwrap_err(), KeyFault::Unknown);
}

#[test]
fn comparison_looks_at_every_byte() {
    for at in 0..32 {
        let (ring, key) = ring_with(|entry| entry.hash[at] ^= 0x80);
        assert_eq!(ring.verify(key.expose(), NOW).unwrap_err(), KeyFault::Unknown, "byte {at}");
    }
}

#[test]
fn a_disabled_key_and_an_expired_key_say_so() {
    let (ring, key) = ring_with(|entry| entry.disabled = true);
    assert_eq!(ring.verify(key.expose(), NOW).unwrap_err(), KeyFault::Disabled);
    let (ring, key) = ring_with(|entry| entry.expires_at_us = Some(NOW));
    assert_eq!(ring.verify(key.expose(), NOW).unwrap_err(), KeyFault::Expired);
    assert!(ring.verify(key.expose(), NOW - 1).is_ok());
}

#[test]
fn a_rotated_secret_works_until_its_time_and_not_at_it() {
    let (ring, key) = ring_with(|entry| {
        entry.previous = Some((entry.hash, NOW));
        entry.hash = [7; 32];
    });
    assert!(ring.verify(key.expose(), NOW - 1).is_ok());
    assert_eq!(ring.verify(key.expose(), NOW).unwrap_err(), KeyFault::Unknown);
}

#[test]
fn an_admin_token_is_not_a_virtual_key_nor_the_reverse() {
    let (mut ring, key) = ring_with(|_| {});
    let admin = issue(TokenKind::Admin, None).unwrap();
    let entry = AdminEntry {
        id: admin.id.as_str().into(),
        name: "ops".into(),
        organization: None,
        role: crate::admin::Role::Write,
        hash: admin.hash,
        expires_at_us: Some(NOW),
        revoked: false,
        noted_us: 0.into(),
    };
    ring.admins.insert(PublicId::from_text(&admin.id).unwrap(), Arc::new(entry));
    let verify =
        |token: &Secret, now| ring.verify_admin(token.expose(), now).map(|entry| entry.id.to_string());
    assert_eq!(verify(&admin.text, NOW - 1), Ok(admin.id.clone()));
    assert_eq!(verify(&admin.text, NOW), Err(AdminFault::Expired));
    assert_eq!(verify(&key, NOW - 1), Err(AdminFault::Unknown));
    assert!(matches!(ring.verify(admin.text.expose(), NOW), Err(KeyFault::Malformed(_))));
}

#[test]
fn allowed_models_are_exact_or_prefixes() {
    let (ring, key) = ring_with(|entry| entry.models = Some(vec!["gpt-5".into(), "claude-*".into()]));
    let entry = ring.verify(key.expose(), NOW).unwrap();
    for (model, allowed) in [
        ("gpt-5", true),
        ("gpt-5-mini", false),
        ("claude-", true),
        ("claude-opus-4", true),
        ("claude", false),
    ] {
        assert_eq!(entry.allows_model(model), allowed, "{model}");
    }
    let (ring, key) = ring_with(|entry| entry.models = Some(vec![]));
    assert!(!ring.verify(key.expose(), NOW).unwrap().allows_model("gpt-5"));
}

fn named() -> NewKey {
    NewKey { name: "n".into(), organization: "o".into(), ..NewKey::default() }
}

#[test]
fn limits_hold_at_the_limit_and_not_one_past_it() {
    let pair = |i: usize| (format!("k{i}"), String::new());
    let at_limit = NewKey {
        name: "n".repeat(TEXT_MAX),
        metadata: (0..METADATA_MAX - 1)
            .map(pair)
            .chain([("m".repeat(METADATA_NAME_MAX), "v".repeat(METADATA_VALUE_MAX))])
            .collect(),
        models: Some(vec!["m".repeat(MODEL_PATTERN_MAX); MODELS_MAX]),
        ..named()
    };
    assert_eq!(at_limit.validate(), Ok(()));
    let past = [
        NewKey { name: "n".repeat(TEXT_MAX + 1), ..named() },
        NewKey { metadata: (0..=METADATA_MAX).map(pair).collect(), ..named() },
        NewKey { metadata: vec![("m".repeat(METADATA_NAME_MAX + 1), String::new())], ..named() },
        NewKey { metadata: vec![("m".into(), "v".repeat(METADATA_VALUE_MAX + 1))], ..named() },
        NewKey { models: Some(vec!["m".into(); MODELS_MAX + 1]), ..named() },
        NewKey { models: Some(vec!["m".repeat(MODEL_PATTERN_MAX + 1)]), ..named() },
    ];
    for key in past {
        assert!(matches!(key.validate(), Err(InvalidKey::TooLong { .. })), "{key:?}");
    }
}

#[test]
fn contradictions_are_refused() {
    let both = NewKey { user: Some("u".into()), service_account: Some("s".into()), ..named() };
    assert_eq!(both.validate(), Err(InvalidKey::TwoOwners));
    let star = NewKey { models: Some(vec!["gpt*5".into()]), ..named() };
    assert!(matches!(star.validate(), Err(InvalidKey::Pattern { .. })));
    assert!(matches!(NewKey::default().validate(), Err(InvalidKey::Empty { .. })));
}
