//! Budgets and rate limits that are made while the gateway runs.

use crate::support::{Answer, Ask, CHAT, Client, Gate, Process, until};
use serde_json::{Value, json};

const FILE: &str = "reload: {watch: off}\nbudgets: {of-the-file: {usd: 1000, window: month}}";

async fn call(
    gate: &Gate,
    method: &'static str,
    path: &str,
    body: &Value,
    tag: Option<(&'static str, &str)>,
) -> Answer {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut ask = Ask { body: body.into_bytes(), ..Ask::new(method, path) }
        .with("connection", "close")
        .with("content-type", "application/json")
        .key(&gate.admin_token);
    if let Some((name, value)) = tag {
        ask = ask.with(name, value);
    }
    Client::connect(gate.admin).await.ask(&ask).await
}

async fn put(gate: &Gate, path: &str, body: Value) -> Answer {
    call(gate, "PUT", path, &body, None).await
}

/// Asks, and waits until it is settled: that happens when the answer has been sent, and not before.
async fn settled(gate: &Gate) -> Answer {
    let answer = gate.ask_as_key(Ask::unary(&CHAT)).await;
    gate.ledger_record(&answer).await;
    answer
}

fn code(answer: &Answer) -> (u16, String) {
    (answer.status(), answer.json()["error"]["code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn a_budget_is_in_force_when_its_making_is_answered_and_forgets_nothing_when_it_is_raised() {
    let gate = Gate::plan().top(FILE).start();
    let path = "/admin/v1/budgets/few";
    let made = put(&gate, path, json!({"requests": 1, "window": "day", "per": ["team"]})).await;
    assert_eq!(made.status(), 201, "{}", made.text());
    let view = made.json();
    assert_eq!((&view["source"], &view["version"], &view["limit"]), (&json!("store"), &json!(1), &json!(1)));
    assert_eq!(view["document"], json!({"requests": 1, "window": "day", "per": ["team"]}));
    assert_eq!(settled(&gate).await.status(), 200);
    let refused = settled(&gate).await;
    assert_eq!(refused.status(), 402, "{}", refused.text());
    assert!(refused.text().contains("budget few"), "{}", refused.text());
    // Raised: what was spent stays.
    let raised = put(&gate, path, json!({"requests": 2, "window": "day", "per": ["team"]})).await;
    assert_eq!((raised.status(), &raised.json()["version"]), (200, &json!(2)), "{}", raised.text());
    assert_eq!(raised.json()["counters"][0]["spent"], 1);
    assert_eq!(settled(&gate).await.status(), 200);
    assert_eq!(settled(&gate).await.status(), 402);
    let gone = call(&gate, "DELETE", path, &Value::Null, None).await;
    assert_eq!((gone.status(), &gone.json()["name"]), (200, &json!("few")), "{}", gone.text());
    assert_eq!(settled(&gate).await.status(), 200);
    assert_eq!(
        code(&call(&gate, "GET", path, &Value::Null, None).await),
        (404, "budget_not_found".to_owned())
    );
    let trail = gate.admin("/admin/v1/audit?limit=20").await.text();
    for action in ["budget_created", "budget_updated", "budget_deleted"] {
        assert!(trail.contains(action), "{trail}");
    }
}

#[tokio::test]
async fn a_rate_limit_of_the_store_outlives_a_reload_and_a_file_comes_before_it() {
    let gate = Gate::plan().top(FILE).start();
    let path = "/admin/v1/limits/slow";
    assert_eq!(put(&gate, path, json!({"requests": 1, "every": "day"})).await.status(), 201);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 429);
    gate.edit("usd: 1000", "usd: 2000");
    assert_eq!(gate.reload().await.status(), 200);
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 429, "still in force");
    gate.edit("budgets:", "rate_limits: {slow: {requests: 100, every: day}}\nbudgets:");
    assert_eq!(gate.reload().await.status(), 200);
    let shown = call(&gate, "GET", path, &Value::Null, None).await.json();
    assert_eq!(
        (&shown["source"], &shown["requests"], &shown["version"]),
        (&json!("file"), &json!(100), &Value::Null)
    );
    assert_eq!(gate.ask_as_key(Ask::unary(&CHAT)).await.status(), 200);
    let refused = put(&gate, path, json!({"requests": 5})).await;
    assert_eq!(code(&refused), (409, "declared_in_file".to_owned()), "{}", refused.text());
}

#[tokio::test]
async fn what_is_wrong_with_a_budget_is_said_and_changes_nothing() {
    let gate = Gate::plan().top(FILE).start();
    for (path, body, expected, word) in [
        ("/admin/v1/budgets/a", json!({"usd": 1}), (400, "invalid_budget"), "window"),
        (
            "/admin/v1/budgets/a",
            json!({"usd": 1, "window": "day", "color": 2}),
            (400, "invalid_budget"),
            "color",
        ),
        (
            "/admin/v1/budgets/A%20b",
            json!({"usd": 1, "window": "day"}),
            (400, "invalid_budget"),
            "not a name",
        ),
        ("/admin/v1/limits/a", json!({}), (400, "invalid_rate_limit"), "limits nothing"),
        (
            "/admin/v1/budgets/of-the-file",
            json!({"usd": 1, "window": "day"}),
            (409, "declared_in_file"),
            "budgets.of-the-file",
        ),
    ] {
        let answer = put(&gate, path, body).await;
        assert_eq!(code(&answer), (expected.0, expected.1.to_owned()), "{}", answer.text());
        assert!(answer.text().contains(word), "{}", answer.text());
    }
    let budgets = gate.admin("/admin/v1/budgets").await.json();
    assert_eq!(budgets["budgets"].as_array().unwrap().len(), 1, "{budgets}");
    assert_eq!(budgets["budgets"][0]["source"], "file");
}

#[tokio::test]
async fn a_change_is_of_the_version_that_was_seen() {
    let gate = Gate::plan().top(FILE).start();
    let (path, one) = ("/admin/v1/budgets/few", json!({"requests": 9, "window": "day"}));
    let mismatch = (412, "version_mismatch".to_owned());
    assert_eq!(code(&call(&gate, "PUT", path, &one, Some(("if-match", "*"))).await), mismatch);
    let made = call(&gate, "PUT", path, &one, Some(("if-none-match", "*"))).await;
    assert_eq!((made.status(), made.header("etag")), (201, Some("\"1\"")), "{}", made.text());
    assert_eq!(code(&call(&gate, "PUT", path, &one, Some(("if-none-match", "*"))).await), mismatch);
    let two = json!({"requests": 10, "window": "day"});
    assert_eq!(call(&gate, "PUT", path, &two, Some(("if-match", "\"1\""))).await.status(), 200);
    assert_eq!(code(&call(&gate, "PUT", path, &one, Some(("if-match", "\"1\""))).await), mismatch);
    assert_eq!(code(&call(&gate, "DELETE", path, &Value::Null, Some(("if-match", "\"1\""))).await), mismatch);
    assert_eq!(call(&gate, "DELETE", path, &Value::Null, Some(("if-match", "\"2\""))).await.status(), 200);
}

#[tokio::test]
async fn the_command_line_makes_and_deletes_them_and_a_new_start_finds_them() {
    let mut process = Process::start("reload: {watch: off}").await;
    let narrows = |process: &Process, arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_narrows"))
            .arg("budgets")
            .args(arguments)
            .args(["--admin", &format!("http://{}", process.admin)])
            .env("NARROWS_ADMIN_TOKEN", &process.admin_token)
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (fine, said) =
        narrows(&process, &["set", "each-team", r#"{"requests": 1, "window": "day", "per": "team"}"#]);
    assert!(fine && said.contains("each-team (version 1) in force"), "{said}");
    let (fine, said) = narrows(&process, &["set", "speed", r#"{"requests": 60}"#, "--rate-limit"]);
    assert!(fine, "{said}");
    let (fine, said) = narrows(&process, &["set", "bad", "usd: 5"]);
    assert!(!fine && said.contains("the document is JSON"), "{said}");
    let (fine, said) = narrows(&process, &["delete", "nothing"]);
    assert!(!fine && said.contains("no budget `nothing`"), "{said}");
    process.kill_and_start().await;
    let mut client = Client::connect(process.gateway).await;
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&process.key)).await.status(), 200);
    until("the request to be counted", async || {
        let budgets = process.admin("/admin/v1/budgets").await.json();
        let counters = budgets["budgets"][0]["counters"].as_array()?;
        (counters.first()?["spent"] == 1).then_some(())
    })
    .await;
    assert_eq!(client.ask(&Ask::unary(&CHAT).key(&process.key)).await.status(), 402);
    let (_, said) = narrows(&process, &[]);
    assert!(said.contains("each-team") && said.contains("speed"), "{said}");
}
