//! `narrows connect --check` against a gateway, as a user runs it.

use crate::support::Gate;
use std::path::Path;
use std::process::Command;

/// Exit code and everything that was written.
async fn connect(home: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narrows"));
    command.arg("connect").args(arguments).env_clear().env("HOME", home);
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (output.status.code().unwrap(), text)
}

#[tokio::test]
async fn a_check_says_that_all_is_well_or_what_is_not() {
    let gate = Gate::plan().key(|new| new.models = Some(vec!["claude-*".into()])).start();
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{}", gate.address);
    let check =
        async |more: &[&str]| connect(home.path(), &[&["--check", "--url", &url], more].concat()).await;
    let (code, text) = check(&["--key", &gate.key]).await;
    assert!(code == 0 && text.contains("ok: the key is taken"), "{text}");
    for client in ["claude-code", "codex", "gemini-cli", "opencode", "openai-sdk"] {
        let (code, text) = check(&[client, "--key", &gate.key, "--spend"]).await;
        assert!(code == 0 && text.contains("answered at /v1"), "{client}: {text}");
    }
    let (code, text) =
        check(&["codex", "--key", &gate.key, "--spend", "--model", "nobody-serves-this"]).await;
    assert!(code == 1 && text.contains("model_unknown") && text.contains("--model"), "{text}");
    let (code, text) = check(&["codex", "--key", &gate.keys[1].1, "--spend"]).await;
    assert!(code == 1 && text.contains("model_not_allowed") && text.contains("narrows keys show"), "{text}");
    gate.ledger.set_key_disabled(&gate.keys[1].0, true, "test").unwrap();
    crate::support::until("the key to be refused", async || {
        let (code, text) = check(&["--key", &gate.keys[1].1]).await;
        (code == 1 && text.contains("key_disabled") && text.contains("narrows keys list")).then_some(())
    })
    .await;
    let wrong = format!("{url}/openai/v1/nowhere");
    let (code, text) = connect(home.path(), &["--check", "--url", &wrong, "--key", &gate.key]).await;
    assert!(code == 1 && text.contains("a path too many"), "{text}");
    let (code, text) =
        connect(home.path(), &["--check", "--url", "http://127.0.0.1:1", "--key", &gate.key]).await;
    assert!(code == 1 && text.contains("does it run"), "{text}");
    let metrics = format!("http://{}", gate.metrics);
    let (code, text) = connect(home.path(), &["--check", "--url", &metrics, "--key", &gate.key]).await;
    assert!(code == 1 && text.contains("listen.gateway"), "{text}");
}

#[tokio::test]
async fn a_client_that_was_connected_is_checked_by_its_own_settings() {
    let gate = Gate::start();
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{}", gate.address);
    for client in ["claude-code", "claude-code-subscription", "codex", "gemini-cli", "opencode"] {
        let (code, text) = connect(home.path(), &[client, "--check"]).await;
        assert!(
            code == 1 && text.contains("no key to check with") || client == "claude-code-subscription",
            "{text}"
        );
        let (code, text) =
            connect(home.path(), &[client, "--write", "--url", &url, "--key", &gate.key]).await;
        assert!(code == 0 && text.contains(&url) && !text.contains(&gate.key), "{text}");
        let (code, text) = connect(home.path(), &[client, "--check"]).await;
        assert!(code == 0 && text.contains("ok: "), "{client}: {text}");
    }
    let settings = home.path().join(".claude/settings.json");
    let text = std::fs::read_to_string(&settings).unwrap().replace(&url, &format!("{url}/v1"));
    std::fs::write(&settings, text).unwrap();
    let (code, text) = connect(home.path(), &["claude-code-subscription", "--check"]).await;
    assert!(code == 1 && text.contains("without `/v1`"), "{text}");
}

#[tokio::test]
async fn a_key_is_made_on_the_way_and_works() {
    let gate = Gate::start();
    let home = tempfile::tempdir().unwrap();
    let url = format!("http://{}", gate.address);
    let store = gate.dir.path().join("narrows.db").display().to_string();
    let asked = ["codex", "--write", "--url", &url, "--create-key", "--user", "ada", "--store", &store];
    let (code, text) = connect(home.path(), &asked).await;
    assert!(code == 0 && text.contains("(ada-codex)"), "{text}");
    crate::support::until("the new key to be known", async || {
        (connect(home.path(), &["codex", "--check", "--spend"]).await.0 == 0).then_some(())
    })
    .await;
    assert!(gate.records().await.iter().any(|record| record.caller.user.as_deref() == Some("ada")));
}
