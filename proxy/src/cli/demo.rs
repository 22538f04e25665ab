//! `narrows demo`: a gateway, a fake provider and a key in one process.

use super::args::DemoArguments;
use super::{Console, Outcome};
use crate::config::{self, Settings};
use crate::server::{self, Ready};
use crate::telemetry::log;
use anyhow::{Context, Result, bail};
use narrows_fake::FakeProvider;
use narrows_ledger::{Ledger, LedgerOptions, NewKey};
use serde_json::json;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Ports of metrics and administration when the gateway's own is given, unless they are taken.
const METRICS_PORT: u16 = 9464;
const ADMIN_PORT: u16 = 9465;

/// How long the store may take to become safe after the key was made.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// Starts everything and stays until it is stopped.
pub(crate) fn demo(arguments: &DemoArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let gateway = SocketAddr::new(arguments.host, arguments.port);
    if gateway.port() != 0 && !is_free(gateway) {
        bail!(
            "port {} of {} is taken by another program; `narrows demo --port 0` picks a free one",
            gateway.port(),
            gateway.ip()
        );
    }
    let folder = Folder::new(arguments.store.as_deref())?;
    // The provider runs beside the gateway, on a thread of its own, until this function ends.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("fake-provider")
        .enable_all()
        .build()
        .context("cannot start the fake provider")?;
    let provider =
        runtime.block_on(async { FakeProvider::start(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))) })?;
    let settings = settings(gateway, provider.addr(), &folder.store)?;
    let key = key(&folder.store)?;
    log::start(&settings.log);
    let as_json = arguments.json;
    if as_json {
        // Nothing but the one line may stand on standard output; it comes when the gateway is ready.
        console.out.flush()?;
    }
    let store = folder.store.clone();
    server::run(settings, move |ready| {
        let text = if as_json { line(&ready, &key, &store) } else { welcome(&ready, &key, &store) };
        let mut out = std::io::stdout().lock();
        // A demo whose output nobody reads still runs.
        drop(out.write_all(text.as_bytes()).and_then(|()| out.flush()));
    })
    .context("the demo stopped")?;
    Ok(Outcome::Fine)
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// Where the store is; a folder made for it goes with it.
struct Folder {
    store: PathBuf,
    made: Option<PathBuf>,
}

impl Folder {
    fn new(store: Option<&Path>) -> Result<Folder> {
        if let Some(store) = store {
            return Ok(Folder { store: store.to_owned(), made: None });
        }
        let id = getrandom::u64().context("the operating system gives no random bytes")?;
        let made = std::env::temp_dir().join(format!("narrows-demo-{id:016x}"));
        private_folder(&made).with_context(|| format!("cannot make the folder {}", made.display()))?;
        Ok(Folder { store: made.join("narrows.db"), made: Some(made) })
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(made) = &self.made {
            // What is left in a temporary folder harms nobody.
            drop(std::fs::remove_dir_all(made));
        }
    }
}

#[cfg(unix)]
fn private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

#[cfg(not(unix))]
fn private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir(path)
}

/// Models of the demo's providers: some by name, so that lists of models show them, and the rest by pattern.
const OPENAI: &str = "[gpt-5, gpt-5-mini, gpt-4o, gpt-4o-mini, text-embedding-3-small, 'gpt-*', 'o1*', 'o3*', 'o4*', \
                      'codex-*', 'text-embedding-*', davinci-002, babbage-002]";
const ANTHROPIC: &str = "[claude-opus-4-1, claude-sonnet-4-5, claude-haiku-4-5, 'claude-*']";
const GEMINI: &str = "[gemini-2.5-pro, gemini-2.5-flash, 'gemini-*']";

/// The demo's configuration, as it would stand in a file.
pub(crate) fn settings(gateway: SocketAddr, provider: SocketAddr, store: &Path) -> Result<Settings> {
    let side = |host: IpAddr, preferred: u16| {
        let address = SocketAddr::new(host, preferred);
        if gateway.port() != 0 && is_free(address) { address } else { SocketAddr::new(host, 0) }
    };
    let path = json!(std::path::absolute(store)?.display().to_string());
    let text = format!(
        "version: 1\ntimeouts: {{shutdown_wait: 0s}}\n\
         listen:\n  \
           gateway: [{{address: '{gateway}'}}]\n  \
           metrics: {{address: '{metrics}'}}\n  \
           admin: {{address: '{admin}'}}\n\
         log: {{level: warn}}\n\
         store: {{path: {path}}}\n\
         providers:\n  \
           openai: {{kind: openai, base_url: 'http://{provider}/v1', api_key: demo, models: {OPENAI}}}\n  \
           anthropic: {{kind: anthropic, base_url: 'http://{provider}', api_key: demo, models: {ANTHROPIC}}}\n  \
           gemini: {{kind: gemini, base_url: 'http://{provider}/v1beta', api_key: demo, models: {GEMINI}}}\n",
        metrics = side(gateway.ip(), METRICS_PORT),
        admin = side(IpAddr::V4(Ipv4Addr::LOCALHOST), ADMIN_PORT),
        path = path.to_string().replace('$', "$$"),
    );
    let loaded = config::parse("demo", Path::new("."), &text, &|_| None);
    Ok(loaded.context("the store cannot be used")?.settings)
}

/// Makes the key that the demo's user gets in with.
fn key(store: &Path) -> Result<String> {
    let ledger = Ledger::open(store, LedgerOptions::default())?;
    let new = NewKey {
        name: "demo".to_owned(),
        organization: "default".to_owned(),
        team: Some("demo".to_owned()),
        user: Some("you".to_owned()),
        ..NewKey::default()
    };
    let key = ledger.create_key(&new, super::store::ACTOR)?.key.expose().to_owned();
    ledger.close(STORE_PATIENCE)?;
    Ok(key)
}

/// The one line for programs.
fn line(ready: &Ready, key: &str, store: &Path) -> String {
    let gateway = ready.gateway.first().map(|address| format!("http://{address}"));
    let line = json!({
        "gateway": gateway,
        "admin": ready.admin.map(|address| format!("http://{address}")),
        "metrics": format!("http://{}", ready.metrics),
        "key": key,
        "admin_token": ready.admin_token.as_ref().map(narrows_ledger::Secret::expose),
        "store": store.display().to_string(),
    });
    format!("{line}\n")
}

/// The text for people, with requests to paste.
fn welcome(ready: &Ready, key: &str, store: &Path) -> String {
    let gateway = ready.gateway.first().map(ToString::to_string).unwrap_or_default();
    let gateway = format!("http://{gateway}");
    let admin = match (ready.admin, &ready.admin_token) {
        (Some(admin), Some(token)) => {
            format!("  curl http://{admin}/admin/v1/keys -H 'authorization: Bearer {}'\n", token.expose())
        }
        (Some(admin), None) => {
            format!("  http://{admin}/admin/v1 (its token was shown when the store was made)\n")
        }
        (None, _) => String::new(),
    };
    format!(
        "Narrows demo: a gateway at {gateway} with a built-in fake provider. Nothing leaves this machine.\n\
         \n\
         Your virtual key (in the place of a provider's key):\n\n  {key}\n\
         \n\
         Try it\n\
         \n\
         # OpenAI chat, at once and as a stream\n\
         curl {gateway}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n  \
           -d '{{\"model\":\"gpt-4o\",\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\
         curl -N {gateway}/v1/chat/completions -H 'authorization: Bearer {key}' -H 'content-type: application/json' \\\n  \
           -d '{{\"model\":\"gpt-4o\",\"stream\":true,\"messages\":[{{\"role\":\"user\",\"content\":\"hello\"}}]}}'\n\
         \n\
         # Anthropic messages\n\
         curl -N {gateway}/v1/messages -H 'x-api-key: {key}' -H 'anthropic-version: 2023-06-01' -H 'content-type: \
         application/json' \\\n  \
           -d '{{\"model\":\"claude-sonnet-4-5\",\"max_tokens\":256,\"stream\":true,\"messages\":[{{\"role\":\"user\",\
         \"content\":\"hello\"}}]}}'\n\
         \n\
         # Gemini\n\
         curl {gateway}/v1beta/models/gemini-2.5-flash:generateContent -H 'x-goog-api-key: {key}' -H 'content-type: \
         application/json' \\\n  \
           -d '{{\"contents\":[{{\"role\":\"user\",\"parts\":[{{\"text\":\"hello\"}}]}}]}}'\n\
         \n\
         # What the detectors find in a text; records of exchanges say the same of what passed\n\
         curl {gateway}/v1/guard/scan -H 'authorization: Bearer {key}' -d '{{\"text\":\"my card is 4111 1111 1111 1111\"}}'\n\
         \n\
         # Coding agents\n\
         ANTHROPIC_BASE_URL={gateway} ANTHROPIC_AUTH_TOKEN={key} claude\n\
         OPENAI_API_KEY={key} codex -c model_provider=narrows -c 'model_providers.narrows={{name=\"Narrows\",\
         base_url=\"{gateway}/v1\",env_key=\"OPENAI_API_KEY\",wire_api=\"responses\"}}'\n\
         GOOGLE_GEMINI_BASE_URL={gateway} GEMINI_API_KEY={key} gemini\n\
         \n\
         Then look\n\
         \n  \
           narrows usage --by team,model --store {store}\n  \
           narrows records --store {store}\n  \
           curl http://{metrics}/metrics\n\
         {admin}\
         \n\
         Stop with Ctrl-C.\n",
        store = store.display(),
        metrics = ready.metrics,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_of_the_demo_has_no_problem() {
        let folder = tempfile::tempdir().unwrap();
        let provider = SocketAddr::from((Ipv4Addr::LOCALHOST, 4000));
        let gateway = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
        let settings = settings(gateway, provider, &folder.path().join("a $b \"c\".db")).unwrap();
        assert_eq!(settings.providers.len(), 3);
        assert_eq!(settings.store.path, folder.path().join("a $b \"c\".db"));
        assert_eq!(settings.listen.gateway[0].address, gateway);
        assert_eq!(settings.listen.metrics.address, gateway);
        assert!(settings.listen.admin.unwrap().address.ip().is_loopback(), "the administration stays inside");
        for provider in &settings.providers {
            assert_eq!(provider.base_url.port(), 4000);
        }
    }

    #[test]
    fn every_start_gives_a_key_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("n.db");
        let (first, second) = (key(&store).unwrap(), key(&store).unwrap());
        assert!(first.starts_with("nrw_") && second.starts_with("nrw_"));
        assert_ne!(first, second);
    }

    #[test]
    fn a_temporary_folder_goes_with_the_demo() {
        let folder = Folder::new(None).unwrap();
        let made = folder.made.clone().unwrap();
        assert!(made.is_dir());
        drop(folder);
        assert!(!made.exists());
    }

    #[test]
    fn the_line_for_programs_is_one_line() {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let ready =
            Ready { gateway: vec![address], admin: Some(address), metrics: address, admin_token: None };
        let line = line(&ready, "nrw_x", Path::new("n.db"));
        assert_eq!(line.matches('\n').count(), 1);
        let read: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(read["gateway"], "http://127.0.0.1:1");
        assert_eq!(read["key"], "nrw_x");
        assert!(read["admin_token"].is_null());
        let text = welcome(&ready, "nrw_x", Path::new("n.db"));
        assert!(
            text.contains("ANTHROPIC_BASE_URL=http://127.0.0.1:1 ANTHROPIC_AUTH_TOKEN=nrw_x claude"),
            "{text}"
        );
    }
}
