use super::*;

/// Compares a generated file with what stands in the repository; with `UPDATE=1` in the environment it is written.
fn check(path: &str, text: &str) {
    let file = root().join(path);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let stands = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == text, "{path} is out of date; run the tests once with UPDATE=1");
}

#[test]
fn the_reference_is_up_to_date() {
    check("docs/configuration.md", &reference::reference());
}

#[test]
fn the_schema_is_up_to_date() {
    check("docs/narrows.schema.json", &schema::text());
}

#[test]
fn every_reference_inside_the_schema_leads_somewhere() {
    fn references(value: &serde_json::Value, out: &mut Vec<String>) {
        match value {
            serde_json::Value::Object(object) => {
                for (key, value) in object {
                    match value.as_str() {
                        Some(text) if key == "$ref" => out.push(text.to_owned()),
                        _ => references(value, out),
                    }
                }
            }
            serde_json::Value::Array(items) => items.iter().for_each(|item| references(item, out)),
            _ => {}
        }
    }
    let schema = schema::schema();
    let mut found = Vec::new();
    references(&schema, &mut found);
    assert!(found.len() > 10);
    for reference in found {
        assert!(
            schema.pointer(reference.trim_start_matches('#')).is_some_and(|value| value.is_object()),
            "{reference}"
        );
    }
}

/// The file of keys that an example names; itself no configuration.
const KEYS_FILE: &str = "keys.yaml";

/// A folder with the files that the examples name.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["gateway.acme.internal".to_owned()]).unwrap();
    for name in ["tls", "secrets"] {
        std::fs::create_dir(folder.path().join(name)).unwrap();
    }
    for (name, text) in [
        ("tls/gateway.pem", made.cert.pem()),
        ("tls/gateway.key", made.signing_key.serialize_pem()),
        ("tls/acme-ca.pem", made.cert.pem()),
        ("tls/corp-ca.pem", made.cert.pem()),
        ("secrets/partner", "canary\n".to_owned()),
        ("secrets/openai", "canary\n".to_owned()),
        ("secrets/azure", "canary\n".to_owned()),
        ("secrets/anthropic", "canary\n".to_owned()),
        ("secrets/masking", "canary\n".to_owned()),
    ] {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    std::fs::copy(root().join("docs/examples").join(KEYS_FILE), folder.path().join(KEYS_FILE)).unwrap();
    folder
}

#[test]
fn every_example_loads() {
    let folder = folder();
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root().join("docs/examples")).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if name == KEYS_FILE {
            continue;
        }
        let loaded = parse(&name, folder.path(), &text, &|_| Some("value".to_owned()));
        let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
        assert!(!loaded.to_yaml().contains("canary"));
        names.push(name);
    }
    names.sort();
    assert_eq!(
        names,
        [
            "balancer.yaml",
            "coding-agents.yaml",
            "corporate-network.yaml",
            "declared-keys.yaml",
            "failover.yaml",
            "local-models.yaml",
            "minimal.yaml",
            "policies.yaml",
            "production.yaml"
        ]
    );
}

#[test]
fn the_example_in_the_reference_loads() {
    let reference = reference::reference();
    let (_, rest) = reference.split_once("```yaml\n").unwrap();
    let (text, _) = rest.split_once("```").unwrap();
    assert!(parse("reference", FilePath::new("."), text, &|_| Some("value".to_owned())).is_ok());
}

/// A row for each rule of a detector. `default` says when it reports.
fn rows(rules: &[narrows_guard::Rule], default: impl Fn(&narrows_guard::Rule) -> &'static str) -> String {
    let mut table = String::from("| rule | entity | tier | default | what |\n|---|---|---|---|---|\n");
    for rule in rules {
        let what = rule.description.replace('|', "\\|");
        let (tier, default) = (format!("{:?}", rule.tier), default(rule));
        table.push_str(&format!("| `{}` | `{}` | {tier} | {default} | {what} |\n", rule.id, rule.entity));
    }
    table
}

/// The page of all rules.
fn detectors() -> String {
    use narrows_guard::detector::{injection, pii, secret};
    use narrows_guard::{Detector, Rule, Tier};
    let secrets = secret::built_in().unwrap().patterns.into_iter().filter(|pattern| !pattern.silent);
    let secrets: Vec<Rule> = secrets.map(|pattern| pattern.rule).collect();
    let personal = pii::Pii::new(pii::Settings::default()).rules();
    let injection = injection::Injection::new(injection::Settings::default()).rules();
    let by_tier = |rule: &Rule| match rule.tier {
        Tier::A => "always",
        Tier::B => "in context",
        Tier::C => "where a policy names it",
    };
    let of_secrets = |rule: &Rule| match rule.tier {
        Tier::A | Tier::B => "always",
        Tier::C => "where a policy names it",
    };
    format!(
        "# Detectors\n\n\
         Every rule of our own detectors, as it is built in. A policy means a rule by `rule`, by `entity`, by `class` or by \
         `tier` ([policies](policies.md)); what is looked for at all is set under [`guard`](configuration.md#guard). The \
         tier says how much a match says by itself: A, a checksum or an unmistakable shape; B, with a word of context nearby \
         or a shape that is likely; C, without any check. A value of tier A that is written in a way that says less counts as \
         one of a lower tier. Where a policy is in force, rules report as the column *default* says. What you name yourself \
         (`guard.custom`) has the class `custom` and tier A.\n\n\
         This page is generated; a test compares it with the rules.\n\n\
         ## `secret`: credentials ({} rules)\n\n{}\n\
         ## `pii`: data about people ({} rules)\n\n{}\n\
         ## `injection`: text that tries to take the model over ({} rules)\n\n{}",
        secrets.len(),
        rows(&secrets, of_secrets),
        personal.len(),
        rows(&personal, by_tier),
        injection.len(),
        rows(&injection, |_| "from the threshold on"),
    )
}

#[test]
fn the_page_of_detectors_is_up_to_date() {
    check("docs/detectors.md", &detectors());
}

/// The table of groups, as it stands in the page about paths beside inference.
fn groups() -> String {
    use narrows_llm::paths::{Answer, GROUPS};
    let mut table = String::from("\n| group | API | what | paths | source |\n|---|---|---|---|---|\n");
    for group in GROUPS {
        let rows: Vec<String> = group
            .rows
            .iter()
            .map(|row| {
                let metered = if row.answer == Answer::Metered { " (metered)" } else { "" };
                format!("`{} {}`{metered}", row.method, row.path)
            })
            .collect();
        let api = group.dialect.split('.').next().unwrap_or_default();
        let line = format!(
            "| `{}` | {api} | {} | {} | {} |\n",
            group.name,
            group.about,
            rows.join(" "),
            group.source
        );
        table.push_str(&line);
    }
    table + "\n"
}

#[test]
fn the_table_of_path_groups_is_up_to_date() {
    let page = std::fs::read_to_string(root().join("docs/pass-through.md")).unwrap();
    let (before, rest) = page.split_once("<!-- groups -->").unwrap();
    let (_, after) = rest.split_once("<!-- /groups -->").unwrap();
    let text = format!("{before}<!-- groups -->\n{}<!-- /groups -->{after}", groups());
    check("docs/pass-through.md", &text);
}

#[test]
fn the_examples_of_the_page_about_paths_load() {
    let page = std::fs::read_to_string(root().join("docs/pass-through.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert!(examples.len() >= 3);
    for example in examples {
        parse("pass-through.md", FilePath::new("."), example, &|_| Some("value".to_owned()))
            .unwrap_or_else(|problems| panic!("{problems}\n{example}"));
    }
}

#[test]
fn the_example_of_the_page_about_alerts_loads() {
    let page = std::fs::read_to_string(root().join("docs/alerts.md")).unwrap();
    let example = page.split_once("```yaml\n").unwrap().1.split_once("```").unwrap().0;
    let folder = folder();
    let loaded = parse("alerts.md", folder.path(), example, &|_| Some("value-of-some-length".to_owned()));
    let alerts = loaded.unwrap_or_else(|problems| panic!("{problems}\n{example}")).settings.alerts;
    assert_eq!(
        (alerts.per_minute, alerts.webhook.map(|webhook| webhook.give_up.as_secs())),
        (120, Some(86_400))
    );
}

#[test]
fn the_examples_of_the_page_about_policies_load() {
    let folder = folder();
    let page = std::fs::read_to_string(root().join("docs/policies.md")).unwrap();
    let examples: Vec<&str> =
        page.split("```yaml\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0)).collect();
    assert_eq!(examples.len(), 5);
    for example in examples {
        let text = format!("version: 1\nproviders: {{openai: {{kind: openai, api_key: x}}}}\n{example}");
        parse("policies.md", folder.path(), &text, &|_| Some("value".to_owned()))
            .unwrap_or_else(|problems| panic!("{problems}\n{example}"));
    }
}
