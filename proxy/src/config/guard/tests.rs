//! Guardrails and policies as they are written.

use super::super::{Loaded, Problems, parse};
use narrows_guard::{Class, Tier};
use narrows_policy::{Action, Coverage, Evidence, Facts, Gap, Seen, Stage, Surface};
use std::path::Path;

const HEAD: &str = "version: 1\nproviders: {openai: {kind: openai, api_key: \"${KEY}\"}}\n";

fn read_in(folder: &Path, text: &str) -> Result<Loaded, Problems> {
    let variable = |name: &str| (name != "UNSET").then(|| format!("canary-{name}"));
    parse("n.yaml", folder, &format!("{HEAD}{text}"), &variable)
}

fn read(text: &str) -> Result<Loaded, Problems> {
    read_in(Path::new("."), text)
}

fn good(text: &str) -> Loaded {
    read(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

/// The problems of a text: place and message.
fn bad(text: &str) -> Vec<(String, String)> {
    let problems = read(text).err().unwrap_or_else(|| panic!("{text}"));
    problems.as_slice().iter().map(|problem| (problem.path.clone(), problem.message.clone())).collect()
}

#[test]
fn default_policies_log_what_is_found_everywhere() {
    let loaded = good("");
    let rows = loaded.settings.policies.table();
    assert!(rows.iter().any(|row| row.name == "default-pii"));
    for row in rows {
        assert_eq!(
            (row.place.as_str(), row.then.as_str(), row.mode, row.on_error),
            ("everywhere", "log", "enforce", "allow")
        );
    }
    let set = &loaded.settings.policies;
    let caller = narrows_policy::Caller::default();
    let scope = set.scope(&Facts::of(Surface::Gateway, &caller));
    for stage in Stage::ALL {
        let needs = set.needs(&scope, stage);
        for class in [Class::Secret, Class::Pii, Class::Injection] {
            assert!(needs.detectors.contains(class, Tier::A) && !needs.hold, "{class:?}");
        }
        assert!(!needs.detectors.contains(Class::Pii, Tier::B), "what needs a word of context is asked for");
        let gap = Evidence::local(&[], Coverage::None(Gap::TooLarge));
        assert!(!set.decide(&scope, stage, &gap).alerts(), "what they cannot see floods nobody");
        let rule = (0..5_000).map(narrows_guard::RuleIndex).find(|rule| set.wants(*rule)).unwrap();
        let found = [Seen { rule, score: 100, maskable: true }];
        let decision = set.decide(&scope, stage, &Evidence::local(&found, Coverage::Full));
        assert_eq!((decision.action, decision.alerts()), (Some(Action::Log), false), "nor what they find");
    }
    let written = good("guard: {default_policies: true}");
    assert_eq!(
        written.settings.policies, loaded.settings.policies,
        "they are in force unless that is denied"
    );
    assert!(good("guard: {default_policies: false}").settings.policies.is_empty());
}

#[test]
fn a_policy_is_read_as_it_is_written() {
    let loaded = good(
        r#"
guardrails:
  aidr: {kind: crowdstrike_aidr, credential: "${AIDR}", on_error: builtin, priority: 5}
policies:
  - name: no-cards
    description: cards stay here
    where: {surface: gateway, team: [payments, "!ops"], model: "gpt-*", stage: [request, response], tags: {env: prod}}
    when:
      - {class: pii, entity: [CARD, IBAN], count: 2, score: 60}
      - {guardrail: aidr, category: [pii, "!spam"], score: 10}
    then: {action: mask, restore: true, mode: enforce_ignore_errors, message: "no cards, please", alert: true}
  - name: no-gpt
    where: {application: cursor}
    then: {action: block, message: ask the platform team}
  - name: ops-may
    where: {team: ops}
    then: {action: allow, exempts: [no-gpt]}
"#,
    );
    let rows = loaded.settings.policies.table();
    let row = rows.iter().find(|row| row.name == "no-cards").unwrap();
    assert_eq!(
        row.place,
        "stage is request, response and surface is gateway and team is payments, !ops and model is gpt-* and tag env \
         is prod"
    );
    assert_eq!(
        row.when,
        "pii entity CARD, IBAN score 60 at least 2 times or guardrail aidr says pii, !spam with 10 or more"
    );
    assert_eq!((row.then.as_str(), row.mode, row.on_error), ("mask", "enforce_ignore_errors", "allow"));
    let rule = loaded.settings.policies.rules().find(|rule| rule.name == "no-gpt").unwrap();
    assert_eq!(rule.then.message.as_deref(), Some("ask the platform team"));
    assert_eq!(rule.then.effect, narrows_policy::rule::Effect::Act(Action::Block));
    let aidr = &loaded.settings.guardrails[0];
    assert_eq!((&*aidr.name, aidr.priority, aidr.timeout.as_millis()), ("aidr", 5, 1000));
    assert_eq!(aidr.credential.as_ref().map(|secret| secret.reveal()), Some("canary-AIDR"));
    assert!(!loaded.to_yaml().contains("canary"), "{}", loaded.to_yaml());
    assert!(!format!("{:?}", loaded.settings).contains("canary"));
}

#[test]
fn lists_from_variables_are_not_shown() {
    let yaml = good(
        "policies: [{name: a, where: {team: [\"!${SECRET}\", plain]}, then: {action: log}}, {name: b, where: \
         {team: \"${OTHER}\"}, then: {action: log}}]",
    )
    .to_yaml();
    assert!(!yaml.contains("canary") && yaml.contains("!${SECRET}") && yaml.contains("${OTHER}"), "{yaml}");
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_place() {
    let policy = |rest: &str| format!("policies: [{{name: one, {rest}}}]");
    let table = [
        (policy("where: {teem: x}, then: {action: log}"), "policies[0].where.teem", "unknown key"),
        (
            policy("when: [{class: pii, entity: E-MAIL}], then: {action: log}"),
            "policies[0].when[0].entity",
            "E-MAIL",
        ),
        (
            policy("when: [{class: pii}, {guardrail: aidr}], then: {action: block}"),
            "policies[0].when[1].guardrail",
            "aidr",
        ),
        (policy("when: [{score: 10}], then: {action: log}"), "policies[0].when[0]", "neither"),
        (policy("when: [{class: pii, category: x}], then: {action: log}"), "policies[0].when[0]", "neither"),
        (policy("when: [{class: [], score: 10}], then: {action: log}"), "policies[0].when[0].class", "empty"),
        (policy("where: {team: []}, then: {action: log}"), "policies[0].where.team", "empty"),
        (policy("then: {action: mask}"), "policies[0].then.action", "nothing to mask"),
        (policy("then: {action: allow}"), "policies[0].then.exempts", "changes nothing"),
        (policy("then: {action: log, exempts: [two]}"), "policies[0].then.exempts", "only `allow`"),
        (policy("then: {action: deny}"), "policies[0].then.action", "not one of its words"),
        ("policies: [{name: default-pii, then: {action: log}}]".to_owned(), "policies", "default-pii"),
        ("guard: {pii: {rules: {emial: off}}}".to_owned(), "guard.pii.rules.emial", "no rule"),
        ("guard: {custom: {x: {}}}".to_owned(), "guard.custom.x", "looks for nothing"),
        ("guard: {custom: {x: {words: [ab], regex: cd}}}".to_owned(), "guard.custom.x", "several kinds"),
        (
            "guard: {custom: {x: {regex: \"ab(\"}}}".to_owned(),
            "guard.custom.x.regex",
            "unclosed group, at character 3",
        ),
        ("guard: {custom: {x: {regex: \"a(?=b)\"}}}".to_owned(), "guard.custom.x.regex", "at character 2"),
        ("guard: {custom: {x: {regex: a*}}}".to_owned(), "guard.custom.x.regex", "empty text"),
        ("guard: {custom: {x: {regex: abcd, group: 2}}}".to_owned(), "guard.custom.x.group", "no group 2"),
        ("guard: {custom: {x: {words: [ab, c]}}}".to_owned(), "guard.custom.x.words[1]", "shorter than 2"),
        (
            "guard: {custom: {x: {names: [ab, \"-\"]}}}".to_owned(),
            "guard.custom.x.names[1]",
            "shorter than 2",
        ),
        (
            "guard: {custom: {x: {words: [ab], entity: a-b}}}".to_owned(),
            "guard.custom.x.entity",
            "upper case",
        ),
        ("guard: {custom: {X: {words: [ab]}}}".to_owned(), "guard.custom.X", "lower case"),
        ("guard: {custom: {x: {words: [ab], score: 101}}}".to_owned(), "guard.custom.x.score", "1 to 100"),
        (
            "guard: {custom: {x: {dictionaries: [none.txt]}}}".to_owned(),
            "guard.custom.x.dictionaries[0]",
            "cannot read",
        ),
        ("guard: {secrets: {gitleaks: [none.toml]}}".to_owned(), "guard.secrets.gitleaks[0]", "cannot read"),
    ];
    are_refused(&table);
}

#[test]
fn guardrails_that_cannot_be_asked_are_refused_with_their_place() {
    are_refused(&[
        (
            "guardrails: {a: {kind: webhook, url: \"http://x\", credential: s}}".to_owned(),
            "guardrails.a.url",
            "unencrypted",
        ),
        ("guardrails: {a: {kind: webhook, url: \"https://x\"}}".to_owned(), "guardrails.a", "nothing to sign"),
        (
            "guardrails: {a: {kind: webhook, url: \"https://x\", credential: \"whsec_*\"}}".to_owned(),
            "guardrails.a.credential",
            "base64",
        ),
        (
            "guardrails: {a: {kind: lakera, credential: \"a b\"}}".to_owned(),
            "guardrails.a.credential",
            "no header",
        ),
        (
            "guardrails: {a: {kind: bedrock_guardrails, credential: AKIA, settings: {guardrail_id: g, region: us-east-1}}}"
                .to_owned(),
            "guardrails.a.credential",
            "ID:SECRET",
        ),
        (
            "guardrails: {a: {kind: lakera, credential: x, anonymizer_url: \"https://x\"}}".to_owned(),
            "guardrails.a.anonymizer_url",
            "no anonymizer",
        ),
        (
            "guardrails: {a: {kind: lakera, credential: x, ca_file: none.pem}}".to_owned(),
            "guardrails.a.ca_file",
            "",
        ),
        ("guardrails: {a: {kind: webhook}}".to_owned(), "guardrails.a", "no public address"),
        (
            "guardrails: {a: {kind: webhook, url: \"https://x\", settings: {paht: /x}}}".to_owned(),
            "guardrails.a.settings",
            "paht",
        ),
        (
            "guardrails: {a: {kind: webhook, url: \"https://x\", credential: s, timeout: 11s}}".to_owned(),
            "guardrails.a.timeout",
            "at most 10s",
        ),
    ]);
}

/// Each text has one problem, in this place and with these words.
fn are_refused(table: &[(String, &str, &str)]) {
    for (text, path, message) in table {
        let problems = bad(text);
        assert!(
            problems.iter().any(|(at, said)| at == path && said.contains(message)),
            "{text}\nexpected {path}: {message}\n{problems:?}"
        );
        assert_eq!(problems.len(), 1, "{text}\n{problems:?}");
    }
}

#[test]
fn files_of_rules_and_words_count_for_what_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rules.toml");
    let rule =
        |id: &str| format!("[[rules]]\nid = \"{id}\"\nregex = '''xk-[0-9]{{8}}'''\nkeywords = [\"xk-\"]\n");
    let text = "guard: {secrets: {gitleaks: [rules.toml], disabled: [\"other-*\"]}}\n\
                policies: [{name: one, when: [{rule: acme-key}], then: {action: block}}]";
    std::fs::write(&file, rule("acme-key") + &rule("other-key")).unwrap();
    let one = read_in(folder.path(), text).unwrap_or_else(|problems| panic!("{problems}"));
    let rows = one.settings.policies.table();
    assert!(rows.iter().any(|row| row.when == "any finding rule acme-key score 50"), "{rows:?}");
    std::fs::write(&file, rule("acme-key") + &rule("other-key") + "# a comment\n").unwrap();
    let two = read_in(folder.path(), text).unwrap();
    assert_ne!(one.settings, two.settings);
    std::fs::write(&file, rule("acme-key")).unwrap();
    let problems = read_in(folder.path(), text).unwrap_err();
    assert_eq!(problems.as_slice()[0].path, "guard.secrets.disabled[0]");
    std::fs::write(&file, rule("new-key")).unwrap();
    assert!(read_in(folder.path(), text).is_err());
}

#[test]
fn a_dictionary_is_a_file_beside_the_configuration_and_its_faults_have_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("words.txt");
    let text = "guard: {custom: {w: {words: [nightjar], dictionaries: [words.txt]}}}\n\
                policies: [{name: one, when: [{rule: w}], then: {action: block}}]";
    std::fs::write(&file, "\u{FEFF}zephyr\r\n\r\n  blue moon  \n").unwrap();
    let loaded = read_in(folder.path(), text).unwrap_or_else(|problems| panic!("{problems}"));
    let engine = loaded.settings.detection.engine().unwrap();
    let (mut hits, said) = (Vec::new(), "Zephyr, Blue Moon, NIGHTJAR, zephyrs");
    engine.scan(said, narrows_guard::Provenance::User, &mut narrows_guard::Scratch::default(), &mut hits);
    let values: Vec<&str> = hits.iter().map(|hit| &said[hit.range.clone()]).collect();
    assert_eq!(values, ["Zephyr", "Blue Moon", "NIGHTJAR"]);
    assert!(!loaded.to_yaml().contains("zephyr"), "a file's words are not shown");

    for (words, problem) in [
        ("zephyr\n\nx\n".to_owned(), "line 3: a word is shorter than 2 characters"),
        (format!("{}\n", "x".repeat(257)), "line 1: a word has 257 bytes, more than 256"),
    ] {
        std::fs::write(&file, &words).unwrap();
        let problems = read_in(folder.path(), text).unwrap_err();
        let problem_seen = &problems.as_slice()[0];
        assert_eq!(
            (problem_seen.path.as_str(), problem_seen.message.as_str()),
            ("guard.custom.w.dictionaries[0]", problem)
        );
    }
    let (limit, text) =
        (super::forms::TEXT_FILE_BYTES_MAX, "guard: {custom: {w: {dictionaries: [words.txt]}}}");
    std::fs::write(&file, "zephyr\n".to_owned() + &" ".repeat(limit - 7)).unwrap();
    assert!(read_in(folder.path(), text).is_ok());
    std::fs::write(&file, "zephyr\n".to_owned() + &" ".repeat(limit - 6)).unwrap();
    assert!(read_in(folder.path(), text).unwrap_err().to_string().contains("larger than 8 MiB"));
}

#[test]
fn what_an_expression_holds_is_not_repeated_by_its_problem() {
    let text = "guard: {custom: {x: {regex: \"${EXPRESSION}(\"}}}";
    let problems = read(text).unwrap_err().to_string();
    assert!(problems.contains("unclosed group") && !problems.contains("canary"), "{problems}");
}

#[test]
fn an_expression_has_a_longest_length() {
    let text = |bytes: usize| format!("guard: {{custom: {{x: {{regex: \"{}\"}}}}}}", "a".repeat(bytes));
    assert!(read(&text(super::EXPRESSION_BYTES_MAX)).is_ok());
    assert!(read(&text(super::EXPRESSION_BYTES_MAX + 1)).is_err());
}

#[test]
fn a_guardrail_without_a_credential_or_a_policy_is_warned_of() {
    let warned = |text: &str| -> Vec<String> {
        good(text).warnings.iter().map(|problem| format!("{} {}", problem.path, problem.message)).collect()
    };
    let asked = "policies: [{name: one, when: [{guardrail: a}], then: {action: block}}]";
    let of = |text: &str| warned(&format!("guardrails: {{a: {{{text}}}}}\n{asked}"));
    assert_eq!(of("kind: lakera, credential: x"), [""; 0]);
    assert_eq!(of("kind: presidio, url: \"https://x\""), [""; 0]);
    assert_eq!(of("kind: lakera"), ["guardrails.a this guardrail is asked without a credential"]);
    let unnamed = warned("guardrails: {a: {kind: lakera, credential: x}}");
    assert_eq!(unnamed, ["guardrails.a no policy names this guardrail, so it is never asked"]);
}

#[test]
fn a_guardrail_is_reached_through_the_proxy_of_the_network() {
    let reached = |text: &str| {
        let egress = "egress: {proxy: \"http://proxy:3128\", no_proxy: [near.example]}\n";
        let loaded = good(&format!("{egress}guardrails: {{a: {{kind: presidio, {text}}}}}"));
        loaded.settings.guardrails[0].egress.is_some()
    };
    assert!(reached("url: \"https://far.example\""));
    assert!(!reached("url: \"https://near.example\""));
    assert!(!reached("url: \"https://far.example\", private_network: true"));
}

#[test]
fn a_call_may_take_ten_seconds_and_no_more() {
    let text = |timeout: &str| {
        format!("guardrails: {{a: {{kind: presidio, url: \"https://x\", timeout: {timeout}}}}}")
    };
    assert!(read(&text("10s")).is_ok());
    assert!(read(&text("10001ms")).is_err());
}

#[test]
fn the_engine_numbers_rules_as_policies_do_and_is_kept() {
    let one = good(
        "guard: {default_policies: true}\npolicies: [{name: one, when: [{entity: US_PASSPORT}], then: {action: log}}]",
    )
    .settings;
    let engine = one.detection.engine().unwrap();
    assert!(engine.rules().len() > 1_000);
    for class in [Class::Secret, Class::Pii, Class::Injection] {
        let first = engine.rules().iter().position(|rule| rule.class == class).unwrap();
        assert!(one.policies.wants(narrows_guard::RuleIndex(u32::try_from(first).unwrap())), "{class:?}");
    }
    let find = |settings: &super::super::Settings, text: &str| {
        let engine = settings.detection.engine().unwrap();
        let mut found = Vec::new();
        engine.scan(
            text,
            narrows_guard::Provenance::User,
            &mut narrows_guard::Scratch::default(),
            &mut found,
        );
        found.iter().map(|hit| engine.rules()[hit.rule.0 as usize].entity.to_string()).collect::<Vec<_>>()
    };
    let named = good(
        "guard: {custom: {moon: {names: [blue moon]}}}\n\
         policies: [{name: a, when: [{class: custom, entity: MOON}], then: {action: log}}]",
    );
    assert_eq!(find(&named.settings, "new BlueMoonClient()"), ["MOON"]);
    let text = "passport number: 512345678, mail jane@acme-corp.com";
    assert_eq!(find(&one, text), ["US_PASSPORT", "EMAIL"]);
    // Read again with the same detectors, it is the same engine; with others, another.
    let again =
        good(
            "guard: {default_policies: true}\npolicies: [{name: two, when: [{entity: US_PASSPORT}], then: {action: block}}]",
        )
        .settings;
    assert!(std::sync::Arc::ptr_eq(&engine, &again.detection.engine().unwrap()));
    let other = good(
        "guard: {default_policies: false}\npolicies: [{name: two, when: [{entity: IBAN}], then: {action: log}}]",
    );
    assert_eq!(find(&other.settings, text), [""; 0]);
    assert_ne!(one.detection, other.settings.detection);
}

#[test]
fn attributions_of_works_are_no_addresses_unless_they_are_named() {
    let find = |policy: &str| {
        let loaded = good(&format!("policies: [{{name: a, when: [{policy}], then: {{action: log}}}}]"));
        let engine = loaded.settings.detection.engine().unwrap();
        let (mut hits, text) = (Vec::new(), "Author (e-mail): Jane Roe <jane.roe@corp.com>");
        engine.scan(text, narrows_guard::Provenance::User, &mut narrows_guard::Scratch::default(), &mut hits);
        hits.iter().map(|hit| engine.rules()[hit.rule.0 as usize].id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(find("{entity: EMAIL}"), [""; 0]);
    assert_eq!(find("{class: pii}"), [""; 0]);
    assert_eq!(find("{rule: email-attribution}"), ["email-attribution"]);
    assert_eq!(find("{entity: EMAIL, tier: C}"), ["email-attribution"]);
}
