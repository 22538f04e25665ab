//! Commands as they are typed, without a process around them. `tests/cli.rs` runs the binary.

use super::*;
use serde_json::Value as Json;
use std::path::Path;

/// Exit code, standard output and standard error of a command.
pub(super) fn narrows(arguments: &[&str]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let arguments = std::iter::once("narrows").chain(arguments.iter().copied()).map(OsString::from);
    let code = main(arguments, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn json(line: &str) -> Json {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

#[test]
fn help_tells_a_newcomer_where_to_start() {
    let (code, out, _) = narrows(&["--help"]);
    assert_eq!(code, 0);
    assert!(out.contains("narrows demo") && out.contains("narrows check --config narrows.yaml"), "{out}");
    for command in [
        "run", "demo", "check", "keys", "tokens", "audit", "connect", "usage", "records", "config", "meter",
        "version",
    ] {
        let (code, text, _) = narrows(&[command, "--help"]);
        assert_eq!(code, 0, "{command}");
        assert!(text.contains("Usage:"), "{text}");
    }
}

#[test]
fn misuse_is_two_and_names_the_nearest_word() {
    let (code, out, err) = narrows(&["chek"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(err.contains("check"), "{err}");
    assert_eq!(narrows(&[]).0, 2);
    assert_eq!(narrows(&["keys", "create"]).0, 2);
}

#[test]
fn the_definition_of_the_command_line_is_sound() {
    use clap::CommandFactory;
    Arguments::command().debug_assert();
}

#[test]
fn check_prints_every_problem_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.yaml").display().to_string();
    std::fs::write(&file, "version: 1\nworkers: none\nproviders:\n  a: {kind: opnai}\n").unwrap();
    let (code, out, err) = narrows(&["check", "--config", &file]);
    assert_eq!(code, 1);
    assert!(out.contains(&format!("{file}:2:10: workers: `none` is not a whole number")), "{out}");
    assert!(out.contains(&format!("{file}:4:13: providers.a.kind: ")), "{out}");
    assert!(out.contains("\n  help: did you mean `openai`?"), "{out}");
    assert!(err.contains("2 problems"), "{err}");
    let (code, out, _) = narrows(&["check", "--config", &file, "--json"]);
    let answer = json(&out);
    assert_eq!((code, &answer["ok"]), (1, &Json::from(false)));
    assert_eq!(answer["problems"][1]["line"], 4);
    assert_eq!(answer["problems"][1]["suggestion"], "did you mean `openai`?");
}

#[test]
fn check_sums_up_what_is_fine() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.yaml").display().to_string();
    std::fs::write(
        &file,
        "version: 1\nlisten: {gateway: [{address: 0.0.0.0:8080}]}\nproviders:\n  \
         openai: {kind: openai, api_key: canary}\nmodels: {fast: openai/gpt-4o-mini}\n",
    )
    .unwrap();
    let (code, out, _) = narrows(&["check", "--config", &file]);
    assert_eq!(code, 0);
    for expected in [
        "no problems",
        "0.0.0.0:8080",
        "openai (openai)",
        "fast → openai/gpt-4o-mini",
        "best_effort",
        "warning: ",
    ] {
        assert!(out.contains(expected), "{expected}: {out}");
    }
    let (_, as_json, _) = narrows(&["check", "--config", &file, "--json"]);
    assert_eq!(json(&as_json)["warnings"].as_array().unwrap().len(), 2);
    let (_, shown, _) = narrows(&["config", "show", "--config", &file]);
    let (_, shown_json, _) = narrows(&["config", "show", "--json", "--config", &file]);
    assert_eq!(json(&shown_json)["providers"]["openai"]["api_key"], "[redacted]");
    assert!(![out, as_json, shown, shown_json].iter().any(|text| text.contains("canary")));
}

#[test]
fn run_and_demo_do_not_start_where_they_cannot() {
    let (code, _, err) = narrows(&["run", "--config", "nope.yaml"]);
    assert_eq!(code, 1);
    assert!(err.contains("nope.yaml:1:1: cannot read the configuration"), "{err}");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (code, out, err) = narrows(&["demo", "--port", &port]);
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("--port 0"), "{err}");
}

/// The store of a test, and the arguments that name it.
fn in_store(store: &Path, arguments: &[&str]) -> (u8, String, String) {
    let store = store.display().to_string();
    let named = ["--store", store.as_str()];
    narrows(&[arguments, &named].concat())
}

#[test]
fn a_key_lives_its_life() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    let keys = |arguments: &[&str]| in_store(&store, &[&["keys"], arguments].concat());
    let asked = ["create", "--name", "ci", "--service-account", "ci", "--team", "t", "--model", "gpt-*"];
    let (code, out, err) =
        keys(&[&asked[..], &["--expires", "90d", "--metadata", "cost=42", "--json"]].concat());
    assert_eq!((code, err.as_str()), (0, ""));
    let created = json(&out);
    let (id, key) = (created["id"].as_str().unwrap(), created["key"].as_str().unwrap());
    assert!(key.starts_with("nrw_") && key.contains(id));
    assert_eq!(created["organization"], "default");
    assert_eq!(created["models"][0], "gpt-*");

    let (_, list, _) = keys(&["list"]);
    assert!(
        list.contains(id) && list.contains("default/t/ci (service account)") && list.contains("active"),
        "{list}"
    );
    assert!(!list.contains(key));
    // A whole key is as good as its id.
    assert!(keys(&["disable", key]).1.contains("is disabled"));
    assert_eq!(json(&keys(&["show", id, "--json"]).1)["disabled"], true);
    assert!(keys(&["enable", id]).1.contains("is enabled"));
    let (_, rotated, _) = keys(&["rotate", id, "--overlap", "24h"]);
    assert!(rotated.contains(&format!("nrw_{id}_")) && !rotated.contains(key), "{rotated}");
    assert!(rotated.contains("works until") && rotated.contains("ANTHROPIC_AUTH_TOKEN=nrw_"), "{rotated}");
    assert_eq!(keys(&["delete", id]).0, 0);
    assert!(keys(&["list"]).1.contains("No keys yet"));
    assert!(keys(&["list", "--deleted"]).1.contains("deleted"));
    let (code, _, err) = keys(&["show", "nobody000000"]);
    assert!(code == 1 && err.contains("narrows keys list"), "{err}");
}

#[test]
fn keys_that_cannot_be_are_refused_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    for (arguments, expected) in [
        (["--expires", "soon"], "90d"),
        (["--expires", "2020-01-01"], "past"),
        (["--metadata", "x"], "NAME=VALUE"),
        (["--model", "a*b"], "star"),
    ] {
        let (code, _, err) = in_store(&store, &[&["keys", "create", "--name", "x"], &arguments[..]].concat());
        assert!(code == 1 && err.contains(expected), "{arguments:?}: {err}");
    }
    let (code, _, err) = in_store(&folder.path().join("other.db"), &["keys", "list"]);
    assert!(code == 1 && err.contains("no store at"), "{err}");
    assert!(!folder.path().join("other.db").exists(), "asking makes no store");
}

#[test]
fn the_configuration_names_the_store_and_the_organization() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("n.yaml");
    // The variable is the gateway's business, not that of whoever creates keys.
    let text = "version: 1\norganization: acme\nstore: {path: s.db}\nproviders:\n  o: {kind: openai, api_key: \"${NARROWS_NO_SUCH}\"}\n";
    std::fs::write(&file, text).unwrap();
    let config = file.display().to_string();
    let (code, out, err) = narrows(&["keys", "--config", &config, "create", "--name", "x", "--json"]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(json(&out)["organization"], "acme");
    assert!(folder.path().join("s.db").exists());
}

#[test]
fn reports_of_an_empty_store_say_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    assert_eq!(in_store(&store, &["keys", "create", "--name", "x"]).0, 0);
    assert_eq!(in_store(&store, &["usage"]), (0, "No exchanges yet.\n".to_owned(), String::new()));
    assert_eq!(in_store(&store, &["usage", "--from", "1d"]).1, "No exchanges match.\n");
    assert_eq!(in_store(&store, &["records"]).1, "No records yet.\n");
    assert_eq!(in_store(&store, &["usage", "--json"]), (0, String::new(), String::new()));
    let (code, _, err) = in_store(&store, &["usage", "--by", "colour"]);
    assert!(code == 1 && err.contains("organization, team"), "{err}");
    let (code, _, err) = in_store(&store, &["records", "--limit", "0"]);
    assert!(code == 1 && err.contains("--limit"), "{err}");
    let (code, _, err) = in_store(&store, &["usage", "--from", "noon"]);
    assert!(code == 1 && err.contains("2026-11-01"), "{err}");
}

#[test]
fn reports_show_what_was_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    let ledger = narrows_ledger::Ledger::open(&store, narrows_ledger::LedgerOptions::default()).unwrap();
    for (id, model, input) in [(1, "gpt-4o", Some(1000)), (2, "gpt-4o", None), (3, "o3", Some(5))] {
        ledger.submit(record(id, model, input));
    }
    ledger.close(std::time::Duration::from_secs(10)).unwrap();
    let (_, usage, _) = in_store(&store, &["usage", "--by", "team,model"]);
    assert!(usage.starts_with("TEAM"), "{usage}");
    assert!(usage.contains("1,000*") && usage.contains("total") && usage.contains("is not known"), "{usage}");
    let (_, lines, _) = in_store(&store, &["usage", "--by", "model", "--model", "o3", "--json"]);
    assert_eq!((json(&lines)["model"].as_str(), json(&lines)["input"].as_u64()), (Some("o3"), Some(5)));
    let (_, records, _) = in_store(&store, &["records", "--limit", "2"]);
    assert_eq!(records.lines().count(), 3, "{records}");
    let (_, lines, _) = in_store(&store, &["records", "--json"]);
    assert_eq!(lines.lines().map(json).filter(|record| record["reason"] == "completed").count(), 3);
}

#[test]
fn a_month_is_reported_with_the_versions_of_its_prices() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    let ledger = narrows_ledger::Ledger::open(&store, narrows_ledger::LedgerOptions::default()).unwrap();
    let at = |text: &str| narrows_ledger::read_time(text).unwrap();
    let submit = |id, when: &str, cost, prices| {
        let cost = narrows_meter::Cost::from(cost);
        ledger.submit(narrows_ledger::Record {
            started_at_us: at(when),
            cost,
            prices,
            ..record(id, "m", Some(1))
        });
    };
    submit(1, "2026-09-30T23:59:59Z", Some(7), 0xa);
    submit(2, "2026-10-01T00:00:00Z", Some(1_500_000_001), 0xa);
    submit(3, "2026-10-20T12:00:00Z", Some(2), 0xb);
    submit(4, "2026-10-31T23:59:59Z", None, 0xb);
    ledger.flush(std::time::Duration::from_secs(10)).unwrap();
    let report = ["usage", "--month", "2026-10", "--by", "team"];
    let (code, before, _) = in_store(&store, &report);
    assert_eq!(code, 0, "{before}");
    for part in ["$1.5000*", "000000000000000a", "000000000000000b", "do not change with prices"] {
        assert!(before.contains(part), "{part} in {before}");
    }
    let exact = [&report[..], &["--json"]].concat();
    let (_, lines, _) = in_store(&store, &exact);
    let rows: Vec<Json> = lines.lines().map(json).collect();
    assert_eq!(
        (rows[0]["cost_nanousd"].as_u64(), rows[0]["cost_unknown"].as_u64()),
        (Some(1_500_000_003), Some(1))
    );
    let prices = rows[1]["prices"].as_array().unwrap();
    assert_eq!(
        (prices[0]["requests"].as_u64(), prices[0]["cost_nanousd"].as_u64()),
        (Some(1), Some(1_500_000_001))
    );
    assert_eq!((prices[1]["requests"].as_u64(), prices[1]["cost_unknown"].as_u64()), (Some(2), Some(1)));
    // A month later the prices are others; the report is the same.
    submit(5, "2026-11-01T00:00:00Z", Some(99), 0xc);
    ledger.close(std::time::Duration::from_secs(10)).unwrap();
    assert_eq!(in_store(&store, &report).1, before);
    assert_eq!(in_store(&store, &exact).1, lines);
    assert_eq!(in_store(&store, &["usage", "--month", "october"]).0, 1);
}

#[test]
fn an_invoice_is_compared_with_the_records() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("n.db");
    let ledger = narrows_ledger::Ledger::open(&store, narrows_ledger::LedgerOptions::default()).unwrap();
    let at = |text: &str| narrows_ledger::read_time(text).unwrap();
    for (id, day, model) in [(1, "02", "gpt-4o"), (2, "02", "gpt-4o"), (3, "03", "o3")] {
        let started_at_us = at(&format!("2026-10-{day}T08:00:00Z"));
        let cost = narrows_meter::Cost::NanoUsd(1_000_000_000);
        ledger.submit(narrows_ledger::Record { started_at_us, cost, ..record(id, model, Some(100)) });
    }
    ledger.close(std::time::Duration::from_secs(10)).unwrap();
    let file = folder.path().join("invoice.csv");
    let name = file.display().to_string();
    let ask = |rows: &str, more: &[&str]| {
        std::fs::write(&file, rows).unwrap();
        in_store(&store, &[&["usage", "reconcile", "--provider", "openai", &name], more].concat())
    };
    let right = "date,model,requests,input_tokens,output_tokens,cost_usd\n2026-10-02,gpt-4o,2,200,14,2.01\n2026-10-03,o3,1,100,7,1\n";
    let (code, out, err) = ask(right, &[]);
    assert_eq!(code, 0, "{out}{err}");
    assert!(out.contains("$2.0000 / $2.0100") && out.contains("2 of 2 rows agree within 1 %"), "{out}");
    let (code, out, _) = ask(right, &["--tolerance", "0.1", "--csv"]);
    assert_eq!(code, 1);
    assert!(out.lines().nth(1) == Some("2026-10-02,gpt-4o,2,2,200,200,14,14,2,2.01,0,differs"), "{out}");
    let (code, out, _) = ask("date,model,requests\n2026-10-02,gpt-4o,2\n2026-10-03,other,1\n", &["--json"]);
    assert_eq!(code, 1);
    let results: Vec<String> =
        out.lines().map(|line| json(line)["result"].as_str().unwrap().to_owned()).collect();
    assert_eq!(results, ["agrees", "only in records", "only in invoice"]);
    let (code, _, err) = ask("date,model,tokens\n", &[]);
    assert!(code == 1 && err.contains("the column \"tokens\" is not known"), "{err}");
}

fn record(id: u128, model: &str, input: Option<u64>) -> narrows_ledger::Record {
    use narrows_policy::{Caller, CapabilitySet, Reason, Surface, TrafficClass};
    let caller = Caller { organization: "o".to_owned(), team: Some("t".to_owned()), ..Caller::default() };
    narrows_ledger::Record {
        id,
        started_at_us: time::now_us(),
        duration_us: 5_000,
        upstream_wait_us: 4_000,
        first_byte_us: Some(1_000),
        caller: caller.into(),
        surface: Surface::Gateway,
        class: TrafficClass::OwnApplication,
        capabilities: CapabilitySet::NONE,
        dialect: Some("openai.chat"),
        client: None,
        model_requested: Some(model.into()),
        provider: Some("openai".into()),
        model_sent: Some(model.into()),
        model_answered: None,
        status: 200,
        reason: Reason::Completed,
        streamed: false,
        usage: narrows_meter::Usage { input_uncached: input, output_text: Some(7), ..Default::default() },
        origin: narrows_meter::Origin::Provider,
        cost: narrows_meter::Cost::Unknown,
        also_used: Vec::new(),
        mode: None,
        prices: 0,
        request_bytes: 1,
        response_bytes: 1,
        provider_request_id: None,
        conversation: None,
        attempts: Vec::new(),
        client_address: None,
        inspections: narrows_ledger::Inspections::default(),
        content: narrows_ledger::ContentStates::default(),
        snapshot: 0,
    }
}

#[test]
fn recorded_answers_are_metered_whatever_their_pieces() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.sse").display().to_string();
    let body = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hi\"}}]}\n\n\
                data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"choices\":[],\"usage\":{\"prompt_tokens\":9,\
                \"completion_tokens\":3,\"total_tokens\":12,\"prompt_tokens_details\":{\"cached_tokens\":4},\
                \"completion_tokens_details\":{\"reasoning_tokens\":1}}}\n\ndata: [DONE]\n\n";
    std::fs::write(&file, body).unwrap();
    let expected = format!(
        r#"{{"file":"{file}","dialect":"openai.chat","input":9,"cache_read":4,"cache_write":null,"output":3,"reasoning":1,"origin":"provider"}}"#
    );
    for split in [&[][..], &["--split", "bytes"], &["--split", "random"], &["--dialect", "openai.chat"]] {
        let (code, out, err) = narrows(&[&["meter", file.as_str(), "--json"], split].concat());
        assert_eq!((code, out.trim_end(), err.as_str()), (0, expected.as_str(), ""), "{split:?}");
    }
    let odd = folder.path().join("odd").display().to_string();
    std::fs::write(&odd, "not an answer").unwrap();
    let (code, out, err) = narrows(&["meter", "nope.sse", &odd, &file, "--json"]);
    assert_eq!((code, out.lines().count()), (1, 1), "the good file still prints");
    assert!(err.contains("nope.sse") && err.contains("not recognised"), "{err}");
    let (code, out, _) = narrows(&["meter", &file]);
    assert!(code == 0 && out.starts_with("FILE"), "{out}");
    assert_eq!(narrows(&["meter", &file, "--dialect", "x"]).0, 1);
}

#[test]
fn schema_reference_and_version_are_printed() {
    let (code, out, _) = narrows(&["config", "schema"]);
    assert_eq!((code, json(&out)["title"].as_str()), (0, Some("Narrows configuration")));
    assert!(narrows(&["config", "reference"]).1.starts_with("# Configuration"));
    assert!(narrows(&["version"]).1.starts_with("narrows "));
    assert_eq!(narrows(&["--version"]).0, 0);
}

/// A writer whose reader has gone.
struct Gone;

impl Write for Gone {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_who_leaves_early_is_no_failure() {
    let mut err = Vec::new();
    let arguments = ["narrows", "config", "schema"].map(OsString::from);
    assert_eq!(main(arguments, &mut Gone, &mut err), 0);
    assert_eq!(err, b"");
}

#[test]
fn clients_are_listed_and_the_nearest_is_named() {
    let (code, out, _) = narrows(&["connect", "list"]);
    assert!(code == 0 && out.contains("claude-code") && out.contains("~/.codex/config.toml"), "{out}");
    let (_, lines, _) = narrows(&["connect", "list", "--json"]);
    assert!(
        lines.lines().map(json).any(|line| line["name"] == "cursor" && line["routable"] == "partial"),
        "{lines}"
    );
    for (typed, meant) in [("claud-code", "claude-code"), ("gemini", "gemini-cli"), ("opencod", "opencode")] {
        let (code, _, err) = narrows(&["connect", typed]);
        assert!(code == 1 && err.contains(&format!("did you mean `{meant}`?")), "{err}");
    }
}

const GATE: [&str; 2] = ["--url", "https://gate.acme.test/v1/"];
const FORM: &str = "nrw_KzCBeAFF74Yq_2aCe6fxzPw7l9VoYEQep6BeVnZhBkeG521ubVl";

#[test]
fn what_is_printed_can_be_pasted() {
    let (code, out, err) = narrows(&[&["connect", "claude-code", "--key", FORM], &GATE[..]].concat());
    assert_eq!(code, 0, "{err}");
    assert!(err.contains("`/v1` at the end"), "{err}");
    assert!(out.contains("  export ANTHROPIC_BASE_URL=https://gate.acme.test\n"), "{out}");
    assert!(out.contains("For good, in ~/.claude/settings.json:") && out.contains(FORM), "{out}");
    let (_, out, _) = narrows(&[&["connect", "openai-sdk", "--shell", "--key", FORM], &GATE[..]].concat());
    assert_eq!(
        out,
        format!("export OPENAI_BASE_URL=https://gate.acme.test/v1\nexport OPENAI_API_KEY={FORM}\n")
    );
    let (_, out, _) =
        narrows(&[&["connect", "claude-code-subscription", "--shell", "--key", FORM], &GATE[..]].concat());
    assert!(out.contains(&format!("ANTHROPIC_CUSTOM_HEADERS='x-narrows-api-key: {FORM}'")), "{out}");
    let (_, _, err) = narrows(&["connect", "gemini-cli", "--key", FORM, "--url", "http://gate.acme.test"]);
    assert!(err.contains("not encrypted") && err.contains("Gemini CLI refuses"), "{err}");
}

#[test]
fn what_cannot_be_connected_is_said_with_the_reason() {
    for (arguments, expected) in [
        (&["claude-code", "--key", "sk-ant-canary"][..], "not a virtual key"),
        (&["claude-code", "--key", "nrw_short"], "not a whole virtual key"),
        (&["claude-code", "--url", "gate:8080"], "write scheme, host and port"),
        (&["claude-code", "--url", "https://u:p@gate"], "user name"),
        (&["claude-code", "--model", "a b"], "not a model's name"),
        (&["claude-code", "--key-file", "/nope/key"], "/nope/key"),
        (&["cursor", "--write", "--key", FORM], "no settings file"),
        (&["opencode", "--shell", "--key", FORM], "not set up by variables"),
    ] {
        let (code, out, err) = narrows(&[&["connect"], arguments].concat());
        assert!(code == 1 && err.contains(expected), "{arguments:?}: {err}");
        assert!(!out.contains("canary") && !err.contains("canary"), "{err}");
    }
    assert_eq!(narrows(&["connect", "codex", "--write", "--remove"]).0, 2);
    assert_eq!(narrows(&["connect", "codex", "--user", "ada"]).0, 2);
}

#[test]
fn scan_finds_what_an_operator_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let config = "version: 1\nproviders: {a: {kind: openai, api_key: x}}\n\
                  guard: {custom: {projects: {names: [blue moon]}}}\n\
                  policies: [{name: no-projects, when: [{rule: projects}], then: {action: block}}]\n";
    std::fs::write(path("n.yaml"), config).unwrap();
    std::fs::write(path("notes.txt"), "first\nabout BlueMoon\n").unwrap();
    let (code, out, err) = narrows(&["scan", "--config", &path("n.yaml"), &path("notes.txt")]);
    assert_eq!(code, 1, "{out}{err}");
    assert!(out.contains("custom") && out.contains("PROJECTS") && out.contains("decision: block"), "{out}");
    assert!(!out.contains("BlueMoon"), "findings are shown without their values: {out}");
}
