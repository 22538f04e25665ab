//! The program under signals.

use crate::support::{Ask, CHAT, Client, Process, until};
use narrows_ledger::{Filter, PageRequest};

#[tokio::test]
async fn sighup_reads_the_configuration_again() {
    let mut process = Process::start(
        "timeouts: {shutdown_wait: 0s}\nreload: {watch: off}\nmodels: {fast: openai/gpt-4o-mini}",
    )
    .await;
    let mut client = Client::connect(process.gateway).await;
    let ask = Ask::unary(&CHAT).key(&process.key);
    let quick = ask.clone().body(r#"{"model":"quick","messages":[{"role":"user","content":"hi"}]}"#);
    assert_eq!(client.ask(&ask).await.status(), 200);
    assert_eq!(client.ask(&quick).await.status(), 404);
    process.edit("fast: openai", "quick: openai");
    process.signal("HUP");
    let line = process.logged("a new configuration is in force").await;
    assert!(line.contains("signal"), "{line}");
    assert_eq!(client.ask(&quick).await.status(), 200, "over the connection from before");

    process.edit("quick: openai", "quick: nobody");
    process.signal("HUP");
    let line = process.logged("configuration rejected").await;
    assert!(line.contains("narrows.yaml:9:"), "{line}");
    let ready = process.health("/readyz").await;
    assert_eq!((ready.status(), &ready.json()["degraded"][0]), (200, &"configuration_rejected".into()));
    assert_eq!(client.ask(&quick).await.status(), 200, "the old one stays in force");
    process.signal("TERM");
    assert!(process.ended().await.success());
    let page = process.ledger.records(&Filter::default(), PageRequest { limit: 10, cursor: None }).unwrap();
    let snapshots: Vec<_> = page.records.iter().map(|record| record.snapshot).collect();
    assert!(snapshots[0] == snapshots[1] && snapshots[1] != snapshots[2], "the newest first: {snapshots:?}");
    assert_eq!(process.fake.requests(), 3);
    assert_eq!(process.fake.connections(), 1, "no reload cost a connection");
}

#[tokio::test]
async fn a_file_that_changes_is_read_again_by_itself() {
    let process = Process::start("reload: {watch: 20ms}\nmodels: {fast: openai/gpt-4o-mini}").await;
    let quick = Ask::post(CHAT.unary, r#"{"model":"quick","messages":[{"role":"user","content":"hi"}]}"#)
        .key(&process.key);
    process.edit("fast: openai", "quick: openai");
    until("the alias to be known", async || {
        (Client::connect(process.gateway).await.ask(&quick).await.status() == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_command_has_it_read_again_and_fails_when_it_is_rejected() {
    let process =
        Process::start("timeouts: {shutdown_wait: 0s}\nreload: {watch: off}\nlog: {level: info}").await;
    let reload = || {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_narrows"))
            .args(["config", "reload", "--admin", &format!("http://{}", process.admin)])
            .env("NARROWS_ADMIN_TOKEN", &process.admin_token)
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let (code, out, _) = reload();
    assert!(code == Some(0) && out.starts_with("nothing new"), "{out}");
    process.edit("level: info", "level: warn");
    let (code, out, _) = reload();
    assert!(code == Some(0) && out.starts_with("a new configuration is in force"), "{out}");
    process.edit("level: warn", "level: wran");
    let (code, out, err) = reload();
    assert_eq!(
        (code, out.as_str()),
        (
            Some(1),
            "narrows.yaml:9:14: log.level: `wran` is not one of its words\n  help: did you mean `warn`?\n"
        )
    );
    assert!(err.contains("the one from before stays in force"), "{err}");
}
