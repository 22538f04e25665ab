//! The binary as a user runs it: exit codes, streams, files.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::Path;
use std::process::{Command, Output};

fn narrows(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(arguments)
        .current_dir(folder)
        .env("DEMO_KEY", "sk-canary")
        .env_remove("NARROWS_NO_SUCH")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn check_prints_every_problem_where_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let bad = "version: 1\nlog: {level: ifno}\nproviders:\n  openai:\n    kind: openai\n    api_key: ${NARROWS_NO_SUCH}\n";
    std::fs::write(folder.path().join("narrows.yaml"), bad).unwrap();
    let output = narrows(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "narrows.yaml:2:14: log.level: `ifno` is not one of its words\n  help: did you mean `info`?\n\
         narrows.yaml:6:14: providers.openai.api_key: the environment variable NARROWS_NO_SUCH is not set\n  \
         help: set NARROWS_NO_SUCH, or give a default: ${NARROWS_NO_SUCH:-default}\n"
    );
    std::fs::write(
        folder.path().join("narrows.yaml"),
        bad.replace("ifno", "info").replace("NARROWS_NO_SUCH", "DEMO_KEY"),
    )
    .unwrap();
    let output = narrows(folder.path(), &["check"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let shown = narrows(folder.path(), &["config", "show"]);
    assert!(!(text(&output.stdout) + &text(&shown.stdout)).contains("canary"));
}

#[test]
fn the_schema_is_the_published_one() {
    let output = narrows(Path::new("."), &["config", "schema"]);
    assert_eq!(output.status.code(), Some(0));
    let published = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/narrows.schema.json");
    assert_eq!(text(&output.stdout), std::fs::read_to_string(published).unwrap());
}

#[test]
fn keys_are_made_listed_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let keys = |arguments: &[&str]| {
        narrows(folder.path(), &[&["keys", "--store", "n.db", "--json"], arguments].concat())
    };
    let output = keys(&["create", "--name", "laptop", "--user", "ada"]);
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    let created: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let id = created["id"].as_str().unwrap();
    assert!(created["key"].as_str().unwrap().starts_with(&format!("nrw_{id}_")));
    let listed: serde_json::Value = serde_json::from_slice(&keys(&["list"]).stdout).unwrap();
    assert_eq!(
        (&listed["id"], &listed["user"], &listed["key"]),
        (&id.into(), &"ada".into(), &serde_json::Value::Null)
    );
    assert_eq!(keys(&["delete", id]).status.code(), Some(0));
    assert_eq!(text(&keys(&["list"]).stdout), "");
    assert_eq!(keys(&["disable", id]).status.code(), Some(1));
}

#[test]
fn the_hash_of_a_key_is_for_the_file_of_declared_keys() {
    let folder = tempfile::tempdir().unwrap();
    let made = narrows(folder.path(), &["keys", "hash", "--new", "--json"]);
    let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
    std::fs::write(folder.path().join("key"), format!("{}\n", made["key"].as_str().unwrap())).unwrap();
    let hash = |file: &str| {
        let input = std::fs::File::open(folder.path().join(file)).unwrap();
        Command::new(env!("CARGO_BIN_EXE_narrows")).args(["keys", "hash"]).stdin(input).output().unwrap()
    };
    let secret = made["secret"].as_str().unwrap();
    assert_eq!(text(&hash("key").stdout), format!("{secret}\n"));
    assert!(secret.starts_with(&format!("hash:{}:", made["id"].as_str().unwrap())));

    let keys = format!(
        "version: 1\nkeys:\n- {{name: one, secret: '{secret}'}}\n- {{name: two, secret: 'hash:x'}}\n"
    );
    std::fs::write(folder.path().join("keys.yaml"), &keys).unwrap();
    let configuration =
        "version: 1\nkeys: {file: keys.yaml}\nproviders:\n  openai: {kind: openai, api_key: k}\n";
    std::fs::write(folder.path().join("narrows.yaml"), configuration).unwrap();
    let output = narrows(folder.path(), &["check"]);
    assert_eq!(output.status.code(), Some(1));
    let told = "keys.yaml:4:23: keys[1].secret: this is not the hash of a key\n  help: write `hash:…`";
    assert!(text(&output.stdout).starts_with(told), "{}", text(&output.stdout));

    std::fs::write(folder.path().join("key"), "sk-something").unwrap();
    let refused = hash("key");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("narrows keys hash --new"), "{}", text(&refused.stderr));
}

#[test]
fn a_recording_is_metered_and_a_missing_one_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let body = "{\"type\":\"message\",\"role\":\"assistant\",\"model\":\"claude\",\"content\":[{\"type\":\"text\",\"text\":\"hi\"}],\
                \"stop_reason\":\"end_turn\",\"usage\":{\"input_tokens\":10,\"cache_creation_input_tokens\":5,\
                \"cache_read_input_tokens\":100,\"output_tokens\":7}}";
    std::fs::write(folder.path().join("a.json"), body).unwrap();
    let output = narrows(folder.path(), &["meter", "a.json", "nope.json", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stdout),
        "{\"file\":\"a.json\",\"dialect\":\"anthropic.messages\",\"input\":115,\"cache_read\":100,\"cache_write\":5,\
         \"output\":7,\"reasoning\":null,\"origin\":\"provider\"}\n"
    );
    assert!(text(&output.stderr).contains("nope.json"));
}

#[test]
fn misuse_is_two() {
    assert_eq!(narrows(Path::new("."), &["nonsense"]).status.code(), Some(2));
    assert_eq!(narrows(Path::new("."), &["--version"]).status.code(), Some(0));
}

/// A supervisor (systemd) and a container's health check see the program start, serve and stop.
#[cfg(target_os = "linux")]
#[test]
fn a_supervisor_and_a_health_check_follow_a_gateway() {
    use std::io::{BufRead, BufReader};
    use std::os::unix::net::UnixDatagram;
    use std::process::Stdio;

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(std::time::Duration::from_secs(120))).unwrap();
    let hear = || {
        let mut room = [0; 256];
        let length = socket.recv(&mut room).unwrap();
        text(&room[..length])
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args(["demo", "--port", "0", "--json"])
        .env("NOTIFY_SOCKET", &path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert!(hear().starts_with("READY=1\n"));

    let metrics = ready["metrics"].as_str().unwrap();
    let health = |url: &str| narrows(folder.path(), &["health", "--url", url, "--timeout", "60s"]);
    let well = health(&format!("{metrics}/readyz"));
    assert_eq!(well.status.code(), Some(0), "{}", text(&well.stderr));
    assert!(text(&well.stdout).contains("\"status\":\"ready\""), "{}", text(&well.stdout));
    let unwell = health(&format!("{metrics}/unheard-of"));
    assert_eq!((unwell.status.code(), text(&unwell.stdout)), (Some(1), String::new()));

    // It reads no file, and budgets can be made at it all the same.
    let made = Command::new(env!("CARGO_BIN_EXE_narrows"))
        .args([
            "budgets",
            "set",
            "each",
            r#"{"usd": 1, "window": "day"}"#,
            "--admin",
            ready["admin"].as_str().unwrap(),
        ])
        .env("NARROWS_ADMIN_TOKEN", ready["admin_token"].as_str().unwrap())
        .output()
        .unwrap();
    assert!(text(&made.stdout).contains("each (version 1) in force"), "{}", text(&made.stderr));

    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert!(hear().starts_with("STOPPING=1\n"));
    assert!(child.wait().unwrap().success());
}
