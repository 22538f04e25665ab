use super::edit::Format;
use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const KEY: &str = "nrw_canary";

fn values(url: &str, model: Option<&str>) -> Values {
    Values { url: url.to_owned(), key: KEY.to_owned(), model: model.map(str::to_owned) }
}

fn usual() -> Values {
    values("https://gate.acme.test", None)
}

fn client(name: &str) -> &'static Client {
    find(name).unwrap()
}

fn write(name: &str, values: &Values, home: &Path) -> Vec<Done> {
    let plans = Plans::write(client(name), values, &Home::at(home)).unwrap();
    plans.carry_out().unwrap().into_iter().map(|(_, done)| done).collect()
}

fn remove(name: &str, home: &Path) -> Vec<Done> {
    let plans = Plans::remove(client(name), &Home::at(home)).unwrap();
    plans.carry_out().unwrap().into_iter().map(|(_, done)| done).collect()
}

fn put(home: &Path, name: &str, text: &str) {
    let file = home.join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn get(home: &Path, name: &str) -> String {
    fs::read_to_string(home.join(name)).unwrap()
}

/// Every file below a folder.
fn all(home: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![home.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.insert(path.strip_prefix(home).unwrap().display().to_string());
            }
        }
    }
    found
}

fn writable() -> impl Iterator<Item = &'static Client> {
    CLIENTS.iter().copied().filter(|client| client.is_writable())
}

#[test]
fn names_are_unique_and_can_be_typed() {
    let names: BTreeSet<&str> = CLIENTS.iter().map(|client| client.name).collect();
    assert_eq!(names.len(), CLIENTS.len());
    for name in names {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{name}");
    }
}

#[test]
fn the_catalogue_and_the_recognition_of_clients_agree() {
    let known: BTreeSet<&str> = narrows_llm::client::CLIENTS.iter().map(|row| row.0).collect();
    for client in CLIENTS {
        for word in client.recorded_as {
            assert!(known.contains(word), "{}: no request is recognized as {word}", client.name);
        }
        let agent = client.recorded_as.first().is_some_and(|word| crate::exchange::is_agent(word));
        let of_person = client.kind == Kind::Personal && !client.recorded_as.is_empty();
        assert_eq!(agent, of_person, "{}: traffic class", client.name);
    }
    // The other way round: whatever is counted as a person's own program has a guide.
    for agent in known.iter().filter(|word| crate::exchange::is_agent(word)) {
        assert!(CLIENTS.iter().any(|client| client.recorded_as.contains(agent)), "{agent} has no guide");
    }
}

#[test]
fn what_is_claimed_to_prove_a_client_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for client in CLIENTS {
        match client.verified {
            Verified::Run(names) => {
                for name in names {
                    assert!(root.join("scripts/clients").join(name).exists(), "{}: {name}", client.name);
                }
            }
            Verified::Fixture(reference) => {
                let (file, function) = reference.split_once('#').unwrap();
                let text = fs::read_to_string(root.join("proxy/tests/it").join(file)).unwrap();
                assert!(text.contains(&format!("fn {function}(")), "{}: {reference}", client.name);
            }
            Verified::Documentation => {}
        }
        assert!(
            client.routable == Routable::Yes || !client.limits.is_empty(),
            "{}: partial, but how?",
            client.name
        );
    }
}

#[test]
fn files_are_described_so_that_they_can_be_undone() {
    for client in writable() {
        for file in client.setup.files {
            let format = file.format;
            let mark = file.settings.iter().find(|setting| setting.path == file.mark.0).unwrap();
            let begins = match mark.value {
                Value::Text(text) => {
                    usual().fill(text, client.model).starts_with(file.mark.1) || text == "{key}"
                }
                Value::Line(mark, _) => mark == file.mark.1,
            };
            assert!(begins && !mark.if_model, "{}: the mark is not what is written", client.name);
            for setting in file.settings {
                let varies = setting.path.iter().position(|step| step.contains('{'));
                let ours = setting.path.iter().position(|step| *step == OURS);
                assert!(
                    varies.is_none() || ours < varies,
                    "{}: {:?} cannot be found again",
                    client.name,
                    setting.path
                );
                assert!(format != Format::Env || setting.path.len() == 1, "{}", client.name);
            }
        }
    }
}

#[test]
fn every_text_is_filled() {
    let values = values("https://gate.acme.test", Some("my-model"));
    for client in CLIENTS {
        let sections = sections(client, &values).unwrap();
        assert!(!sections.is_empty(), "{}", client.name);
        let all: String = sections.iter().map(|section| section.text.as_str()).collect();
        assert!(all.contains("https://gate.acme.test") && all.contains(KEY), "{}: {all}", client.name);
        for placeholder in ["{url}", "{key}", "{model}"] {
            assert!(!all.contains(placeholder), "{}: {placeholder}", client.name);
        }
    }
}

#[test]
fn a_clean_home_gets_the_files_and_loses_them_again() {
    for client in writable() {
        let home = tempfile::tempdir().unwrap();
        let done = write(client.name, &usual(), home.path());
        assert!(done.iter().all(|done| *done == Done::Made), "{}: {done:?}", client.name);
        let files = all(home.path());
        assert_eq!(files.len(), client.setup.files.len(), "{files:?}");
        let text: String = files.iter().map(|file| get(home.path(), file)).collect();
        assert!(text.contains("https://gate.acme.test") && text.contains(KEY), "{text}");
        let again = write(client.name, &usual(), home.path());
        assert!(again.iter().all(|done| *done == Done::Unchanged), "{}: {again:?}", client.name);
        // Another gateway, then none.
        write(client.name, &values("http://127.0.0.1:1", Some("m")), home.path());
        let text: String = files.iter().map(|file| get(home.path(), file)).collect();
        assert!(!text.contains("gate.acme.test"), "{text}");
        remove(client.name, home.path());
        assert_eq!(all(home.path()), BTreeSet::new(), "{}", client.name);
        assert!(remove(client.name, home.path()).iter().all(|done| *done == Done::Unchanged));
    }
}

/// Settings as people have them, by file.
const LIVED_IN: &[(&str, &str)] = &[
    (
        ".claude/settings.json",
        "{\n    \"model\": \"opus\",\n    \"permissions\": {\"allow\": [\"Bash(ls:*)\"]},\n    \"env\": {\n        \"ANTHROPIC_BASE_URL\": \"https://other.test\",\n        \"ANTHROPIC_CUSTOM_HEADERS\": \"X-Team: a\\nX-Cost: 7\",\n        \"FOO\": \"1\"\n    },\n    \"big\": 12345678901234567890123\n}\n",
    ),
    (
        ".codex/config.toml",
        "# mine\nmodel = \"o3\" # best\nmodel_provider = \"openai\"\n\n[projects.\"/work\"]\ntrust_level = \"trusted\"\n\n[model_providers.azure]\nname = \"Azure\" # keep\nbase_url = \"https://a.test\"\n",
    ),
    (".gemini/.env", "# mine\nGEMINI_API_KEY='AIza-mine'\nOTHER=2\n"),
    (
        ".gemini/settings.json",
        "{\"security\": {\"auth\": {\"selectedType\": \"oauth-personal\"}}, \"ui\": {\"theme\": \"x\"}}",
    ),
    (
        ".config/opencode/opencode.jsonc",
        "{\n  // mine\n  \"model\": \"anthropic/claude\",\n  \"provider\": {\n    \"anthropic\": { \"options\": {} }, // keep\n  },\n}\n",
    ),
];

#[test]
fn a_lived_in_home_keeps_everything_and_comes_back_byte_for_byte() {
    for client in writable() {
        let home = tempfile::tempdir().unwrap();
        for (name, text) in LIVED_IN {
            put(home.path(), name, text);
        }
        let before = all(home.path());
        let done = write(client.name, &values("https://gate.acme.test", Some("m-1")), home.path());
        assert!(done.iter().all(|done| *done == Done::Changed), "{}: {done:?}", client.name);
        let text: String = LIVED_IN.iter().map(|(name, _)| get(home.path(), name)).collect();
        for kept in [
            "// mine",
            "Bash(ls:*)",
            "\"FOO\": \"1\"",
            "12345678901234567890123",
            "# best",
            "trust_level",
            "# keep",
            "OTHER=2",
            "theme",
            "// keep",
        ] {
            assert!(text.contains(kept), "{}: {kept} is gone: {text}", client.name);
        }
        assert_eq!(all(home.path()).len(), before.len() + client.setup.files.len(), "one backup for each");
        // A second key does not spoil the backup.
        write(client.name, &Values { key: "nrw_second".to_owned(), ..usual() }, home.path());
        let done = remove(client.name, home.path());
        assert!(done.iter().all(|done| *done == Done::Restored), "{}: {done:?}", client.name);
        for (name, text) in LIVED_IN {
            assert_eq!(&get(home.path(), name), text, "{}: {name}", client.name);
        }
        assert_eq!(all(home.path()), before, "{}", client.name);
    }
}

#[test]
fn what_was_changed_since_stays_changed() {
    let home = tempfile::tempdir().unwrap();
    let name = ".claude/settings.json";
    put(home.path(), name, LIVED_IN[0].1);
    write("claude-code", &usual(), home.path());
    put(home.path(), name, &get(home.path(), name).replace("\"opus\"", "\"sonnet\""));
    remove("claude-code", home.path());
    assert_eq!(get(home.path(), name), LIVED_IN[0].1.replace("\"opus\"", "\"sonnet\""));

    let name = ".codex/config.toml";
    put(home.path(), name, LIVED_IN[1].1);
    write("codex", &usual(), home.path());
    // Somebody went back to OpenAI by hand: that choice is theirs.
    put(
        home.path(),
        name,
        &get(home.path(), name).replace("model_provider = \"narrows\"", "model_provider = \"azure\""),
    );
    remove("codex", home.path());
    let text = get(home.path(), name);
    assert!(
        text.contains("model_provider = \"azure\"") && !text.contains("Narrows") && !text.contains(KEY),
        "{text}"
    );
}

#[test]
fn two_ways_to_use_one_program_do_not_contradict_each_other() {
    let home = tempfile::tempdir().unwrap();
    let name = ".claude/settings.json";
    put(home.path(), name, LIVED_IN[0].1);
    write("claude-code", &usual(), home.path());
    write("claude-code-subscription", &usual(), home.path());
    let text = get(home.path(), name);
    assert!(!text.contains("AUTH_TOKEN"), "{text}");
    assert!(text.contains("X-Team: a\\nX-Cost: 7\\nx-narrows-api-key: nrw_canary"), "{text}");
    write("claude-code-subscription", &Values { key: "nrw_second".to_owned(), ..usual() }, home.path());
    let text = get(home.path(), name);
    assert!(text.contains("X-Cost: 7\\nx-narrows-api-key: nrw_second\"") && !text.contains(KEY), "{text}");
    write("claude-code", &usual(), home.path());
    assert!(get(home.path(), name).contains("\"X-Team: a\\nX-Cost: 7\""));
    remove("claude-code", home.path());
    assert_eq!(get(home.path(), name), LIVED_IN[0].1);
}

#[test]
fn a_configuration_made_by_hand_is_kept_in_the_backup() {
    let home = tempfile::tempdir().unwrap();
    let name = ".codex/config.toml";
    let hand =
        "model_provider = \"narrows\"\n\n[model_providers.narrows]\nname = \"Mine\"\nenv_key = \"X\"\n";
    put(home.path(), name, hand);
    assert_eq!(write("codex", &usual(), home.path()), [Done::Changed]);
    assert_eq!(get(home.path(), ".codex/config.toml.narrows-backup"), hand);
}

#[test]
fn what_cannot_be_changed_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    for (name, file, text) in [
        ("claude-code", ".claude/settings.json", "{\"env\": ["),
        ("claude-code", ".claude/settings.json", "{\"env\": \"none\"}"),
        ("claude-code", ".claude/settings.json", "{\n  \"a\": 1, // mine\n}"),
        ("codex", ".codex/config.toml", "model = = 1"),
        ("gemini-cli", ".gemini/settings.json", "not json"),
    ] {
        put(home.path(), file, text);
        let error = Plans::write(client(name), &usual(), &Home::at(home.path())).unwrap_err().to_string();
        assert!(error.contains(file) && error.contains("left as it is"), "{error}");
        assert_eq!(get(home.path(), file), text);
        assert!(!error.contains(KEY));
    }
    // Of two files the first is not written either.
    assert!(!home.path().join(".gemini/.env").exists());
    put(home.path(), ".claude/settings.json", &format!("{{}}{}", " ".repeat(1 << 20)));
    let error = Plans::write(client("claude-code"), &usual(), &Home::at(home.path())).unwrap_err();
    assert!(error.to_string().contains("more than 1048576 bytes"), "{error}");
    put(home.path(), ".claude/settings.json", &format!("{{}}{}", " ".repeat((1 << 20) - 2)));
    assert!(Plans::write(client("claude-code"), &usual(), &Home::at(home.path())).is_ok());
}

#[cfg(unix)]
#[test]
fn a_file_with_a_key_is_for_its_owner_only_and_links_stay_links() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let home = tempfile::tempdir().unwrap();
    let mode = |name: &str| fs::metadata(home.path().join(name)).unwrap().permissions().mode() & 0o777;
    put(home.path(), "dotfiles/claude.json", "{}\n");
    fs::create_dir_all(home.path().join(".claude")).unwrap();
    symlink(home.path().join("dotfiles/claude.json"), home.path().join(".claude/settings.json")).unwrap();
    write("claude-code", &usual(), home.path());
    assert!(fs::symlink_metadata(home.path().join(".claude/settings.json")).unwrap().is_symlink());
    assert!(get(home.path(), "dotfiles/claude.json").contains(KEY));
    assert_eq!((mode("dotfiles/claude.json"), mode("dotfiles/claude.json.narrows-backup")), (0o600, 0o600));
    // Opened up by somebody: closed again although nothing else changes.
    fs::set_permissions(home.path().join("dotfiles/claude.json"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(write("claude-code", &usual(), home.path()), [Done::Unchanged]);
    assert_eq!(mode("dotfiles/claude.json"), 0o600);
    // One without a key keeps its mode.
    put(home.path(), ".gemini/settings.json", "{}");
    fs::set_permissions(home.path().join(".gemini/settings.json"), fs::Permissions::from_mode(0o640))
        .unwrap();
    write("gemini-cli", &usual(), home.path());
    assert_eq!((mode(".gemini/settings.json"), mode(".gemini/.env")), (0o640, 0o600));
    symlink(home.path().join("gone"), home.path().join("link")).unwrap();
    fs::create_dir_all(home.path().join(".codex")).unwrap();
    symlink(home.path().join("gone"), home.path().join(".codex/config.toml")).unwrap();
    let error = Plans::write(client("codex"), &usual(), &Home::at(home.path())).unwrap_err().to_string();
    assert!(error.contains("cannot follow"), "{error}");
}

#[test]
fn variables_that_move_settings_are_followed() {
    let variable = |name: &str| match name {
        "HOME" => Some("/home/ada".to_owned()),
        "CODEX_HOME" => Some("/etc/codex".to_owned()),
        "XDG_CONFIG_HOME" => Some("/xdg".to_owned()),
        "CLAUDE_CONFIG_DIR" => Some(String::new()),
        _ => None,
    };
    let home = Home::of_user(&variable).unwrap();
    let path = |name: &str| home.path(&client(name).setup.files[0]).display().to_string();
    assert_eq!(path("codex"), "/etc/codex/config.toml");
    assert_eq!(path("opencode"), "/xdg/opencode/opencode.json");
    assert_eq!(path("claude-code"), "/home/ada/.claude/settings.json");
    assert!(Home::of_user(&|_| None).is_none());
}

proptest! {
    /// Whatever other variables a file of Claude Code has, connecting and disconnecting gives it back.
    #[test]
    fn connecting_and_removing_is_nothing(
        names in prop::collection::btree_map("[A-Z]{1,3}", "[ -~]{0,6}", 0..4), model in prop::option::of("[a-z]{1,4}"), pretty in any::<bool>(),
    ) {
        let home = tempfile::tempdir().unwrap();
        let mut root = serde_json::json!({"env": names, "theme": "dark"});
        if let Some(model) = model {
            root["env"]["ANTHROPIC_MODEL"] = model.into();
        }
        let text = if pretty { serde_json::to_string_pretty(&root).unwrap() } else { root.to_string() };
        put(home.path(), ".claude/settings.json", &text);
        write("claude-code", &values("http://h:1", Some("x")), home.path());
        remove("claude-code", home.path());
        prop_assert_eq!(get(home.path(), ".claude/settings.json"), text);
    }
}
