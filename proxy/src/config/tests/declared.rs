use super::super::{Loaded, Problems, parse};
use super::*;
use narrows_ledger::Secret;

const CONFIGURATION: &str = "version: 1\norganization: acme\nkeys: {file: keys.yaml}\nproviders:\n  openai: {kind: openai, api_key: k}\n";

fn load(keys: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, Problems> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("keys.yaml"), keys).unwrap();
    parse("narrows.yaml", folder.path(), CONFIGURATION, variable)
}

fn draw() -> (Secret, KeyHash) {
    KeyHash::draw().unwrap()
}

#[test]
fn every_form_of_a_secret_is_read_and_none_is_shown() {
    let folder = tempfile::tempdir().unwrap();
    let ((_, one), (two, two_hash), (three, three_hash)) = (draw(), draw(), draw());
    std::fs::write(folder.path().join("three"), format!("{}\n", three.expose())).unwrap();
    let text = format!(
        "version: 1\nkeys:\n- {{name: one, secret: 'hash:{one}', user: ada, models: [gpt-*, claude-*]}}\n\
         - name: two\n  organization: other\n  secret: ${{TWO}}\n  expires: 2027-01-31T00:00:00Z\n\
         - {{name: three, secret: 'file:three', service_account: ci, project: p, team: t, metadata: {{a: b}}}}\n"
    );
    std::fs::write(folder.path().join("keys.yaml"), text).unwrap();
    let variable = |name: &str| (name == "TWO").then(|| two.expose().to_owned());
    let mut files = Vec::new();
    let loaded =
        super::super::parse_noting("narrows.yaml", folder.path(), CONFIGURATION, &variable, &mut files)
            .unwrap();
    assert_eq!(files, [folder.path().join("keys.yaml"), folder.path().join("three")], "they are watched");
    let declared = loaded.settings.keys.as_ref().unwrap();
    let [first, second, third] = declared.keys.as_slice() else { panic!("{declared:?}") };
    assert_eq!((&first.hash, &second.hash, &third.hash), (&one, &two_hash, &three_hash));
    assert_eq!((&*first.new.organization, &*second.new.organization), ("acme", "other"));
    assert_eq!(first.new.models.as_deref().unwrap(), ["gpt-*", "claude-*"]);
    assert_eq!(second.new.expires_at_us, Some(1_801_353_600_000_000));
    assert_eq!(third.new.metadata, [("a".to_owned(), "b".to_owned())]);
    let shown = format!("{:?}{}", loaded.settings, loaded.to_yaml());
    for secret in [two.expose(), three.expose(), one.to_string().split_once(':').unwrap().1] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn each_bad_row_is_told_with_its_file_line_and_what_to_do() {
    let (secret, hash) = draw();
    let secret = secret.expose();
    let typo = format!("{}{}", &secret[..secret.len() - 1], if secret.ends_with('x') { 'y' } else { 'x' });
    let variable = |name: &str| match name {
        "KEY" => Some(secret.to_owned()),
        "TYPO" => Some(typo.clone()),
        _ => None,
    };
    let good = format!("- {{name: good, secret: 'hash:{hash}'}}");
    for (row, path, message) in [
        ("- {name: a}".to_owned(), "keys[1].secret", "is required and missing"),
        ("- {secret: '${KEY}'}".to_owned(), "keys[1].name", "is required and missing"),
        (format!("- {{name: a, secret: {secret}}}"), "keys[1].secret", "does not stand in the file itself"),
        ("- {name: a, secret: 'hash:12'}".to_owned(), "keys[1].secret", "not the hash of a key"),
        ("- {name: a, secret: '${NOPE}'}".to_owned(), "keys[1].secret", "NOPE is not set"),
        ("- {name: a, secret: '${TYPO}'}".to_owned(), "keys[1].secret", "a character was mistyped"),
        ("- {name: a, secret: 'file:nope'}".to_owned(), "keys[1].secret", "cannot read nope"),
        ("- {name: a, secret: '${KEY}'}".to_owned(), "keys[1].secret", "line 3 has the same secret"),
        ("- {name: good, secret: '${KEY}'}".to_owned(), "keys[1].name", "stands on line 3 already"),
        (
            "- {name: a, secret: '${KEY}', expires: soon}".to_owned(),
            "keys[1].expires",
            "not a time of RFC 3339",
        ),
        ("- {name: a, secret: '${KEY}', models: [a*b]}".to_owned(), "keys[1].models", "at the end only"),
        ("- {name: '', secret: '${KEY}'}".to_owned(), "keys[1].name", "is not a text"),
        (format!("- {{name: {}, secret: '${{KEY}}'}}", "n".repeat(201)), "keys[1]", "name is too long"),
        (
            "- {name: a, secret: '${KEY}', user: u, service_account: s}".to_owned(),
            "keys[1].service_account",
            "not to both",
        ),
        ("- {name: a, secret: '${KEY}', tema: t}".to_owned(), "keys[1].tema", "unknown key"),
    ] {
        let problems = load(&format!("version: 1\nkeys:\n{good}\n{row}\n"), &variable).unwrap_err();
        let told = problems.as_slice().iter().find(|problem| problem.message.contains(message));
        let told = told.unwrap_or_else(|| panic!("{row}: {problems}"));
        assert!(told.file.ends_with("keys.yaml") && !told.suggestion.is_empty(), "{told}");
        assert_eq!((told.line, &*told.path), (4, path), "{told}");
        let text = problems.to_string();
        assert!(!text.contains(secret) && !text.contains(&typo), "{text}");
    }
}

#[test]
fn a_file_that_is_no_list_of_keys_is_refused_whole() {
    for (text, message) in [
        ("", "is required and missing"),
        ("version: 2\nkeys: []\n", "not a version this program reads"),
        ("version: 1\nkeys: {}\n", "expected a list"),
        ("version: 1\nkeys: [\n", "not valid YAML"),
    ] {
        let problems = load(text, &|_| None).unwrap_err().to_string();
        assert!(problems.contains("keys.yaml:") && problems.contains(message), "{text}: {problems}");
    }
    assert_eq!(load("version: 1\nkeys: []\n", &|_| None).unwrap().settings.keys.unwrap().keys, []);
    let folder = tempfile::tempdir().unwrap();
    let problems = parse("narrows.yaml", folder.path(), CONFIGURATION, &|_| None).unwrap_err();
    let [problem] = problems.as_slice() else { panic!("{problems}") };
    assert_eq!((&*problem.file, problem.line, &*problem.path), ("narrows.yaml", 3, "keys.file"));
}

#[test]
fn a_key_that_only_moves_in_the_file_is_the_same() {
    let (_, hash) = draw();
    let row = format!("- {{name: one, secret: 'hash:{hash}'}}\n");
    let one = load(&format!("version: 1\nkeys:\n{row}"), &|_| None).unwrap().settings.keys.unwrap();
    let other =
        load(&format!("version: 1\n# moved\nkeys:\n{row}"), &|_| None).unwrap().settings.keys.unwrap();
    assert_eq!(one.keys, other.keys);
    assert_ne!(one.places[0].line, other.places[0].line);
    assert_eq!(one, DeclaredKeys { file: one.file.clone(), ..other });
}
