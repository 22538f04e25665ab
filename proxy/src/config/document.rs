//! The document: every key of the file, with its meaning and default, before references are resolved.

use super::content::Content as Kept;
use super::counters::Counters;
use super::credential::ApiKey;
use super::form::{Form, Reader, Shape};
use super::forms::{Count, Grace, Map, Switch};
use super::guard::{Guard, Guardrail, PolicyDocument};
use super::kinds;
use super::limits::{BudgetDocument, RateLimitDocument};
use super::macros::settings;
use super::paths::PathRule;
use super::pattern::Pattern;
use super::prices::PricesDocument;
use super::secret::{REDACTED, Secret};
use super::settings::{
    ATTEMPTS_MAX, Alerts, AskForUsage, ClientCredentials, Dns, Http2, Limits, Listen, Log, NoProxy, Objects,
    OnClientGone, ProxyUrl, Records, Reload, Retries, Streams, Timeouts, TlsFiles, TrustedProxies, Vault,
};
use super::store::Store;
use super::tree::{Content, Node};
use super::url::BaseUrl;
use http::{HeaderName, HeaderValue};
use serde_json::{Value as Json, json};
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The version of the format of the file.
pub const VERSION: usize = 1;

/// Most worker threads.
const WORKERS_MAX: usize = 1024;

/// Most gateways that one configuration may speak of.
const REPLICAS_MAX: usize = 1024;

/// Most exchanges over one HTTP/2 connection. Each may hold a window of bytes that were not read yet.
const HTTP2_STREAMS_MAX: usize = 1000;
/// Largest weight of a target.
const WEIGHT_MAX: usize = 1_000_000;

/// Largest priority of a target.
const PRIORITY_MAX: usize = 1_000;

/// Largest file that a `file:` reference may name, in bytes.
pub const SECRET_BYTES_MAX: usize = 64 * 1024;

settings! {
    /// The configuration of a gateway.
    pub(super) struct Document {
        /// Version of this format; always 1.
        pub(super) version: usize as Version = (required "1"),
        /// Organization of keys that are created without one.
        pub(super) organization: Arc<str> = "default",
        /// Where the gateway listens.
        pub(super) listen: Listen = "{}",
        /// Balancers that say in a header who a request is from; `off` for none.
        pub(super) trusted_proxies: Option<TrustedProxies> as Switch<TrustedProxies> = "off",
        /// Threads that serve requests. Without it: one per processor core.
        pub(super) workers: Option<usize> as Option<Count<1, WORKERS_MAX>> = optional,
        /// Gateways that serve the same callers, each with this configuration, over one database
        /// (`store.postgres`) or each with a file of its own (`store.path`). More than one is refused without `counters`, because
        /// each would grant every budget once more. `narrows check` says what they do not share.
        pub(super) replicas: usize as Count<1, REPLICAS_MAX> = "1",
        /// Where several gateways count budgets and rate limits together. Without it each counts alone.
        pub(super) counters: Option<Counters> = optional,
        /// Where keys, records and aggregates are kept.
        pub(super) store: Store = "{}",
        /// How records are kept.
        pub(super) records: Records = "{}",
        /// Prompts and answers: whose are kept. Nobody's, unless this says so.
        pub(super) content: Kept = "{}",
        /// The log on standard error.
        pub(super) log: Log = "{}",
        /// When the configuration is read again while the gateway runs.
        pub(super) reload: Reload = "{}",
        /// Limits of memory and connections.
        pub(super) limits: Limits = "{}",
        /// Time-outs of an exchange; a provider may override its own.
        pub(super) timeouts: Timeouts = "{}",
        /// How streams are passed on; a provider may override its own.
        pub(super) streams: Streams = "{}",
        /// What becomes of an answer whose client leaves before its end; a provider or a model with `targets` may override it.
        pub(super) on_client_gone: OnClientGone = "estimate",
        /// How failures of models with `targets` are repeated; a model may override its own.
        pub(super) retries: Retries = "{}",
        /// How names of providers are resolved.
        pub(super) dns: Dns = "{}",
        /// The way out of the network, for every provider that does not say otherwise. Without it providers are reached
        /// directly: nothing is taken from variables such as `HTTPS_PROXY`.
        pub(super) egress: Option<EgressDocument> = optional,
        /// Stored objects (files, batches, stored responses): who may reach them.
        pub(super) objects: Objects = "{}",
        /// Alerts that policies raise, and who is told of them.
        pub(super) alerts: Alerts = "{}",
        /// Where requests go. The name is yours; it is also the path prefix `/NAME` and the label in records and
        /// metrics.
        pub(super) providers: Vec<(String, ProviderDocument)> as Map<ProviderDocument> = (required "{}"),
        /// Other names for models, matched exactly and before the patterns of providers. With `targets` a model has
        /// several places to be asked at, and its name may be a pattern.
        pub(super) models: Vec<(String, AliasDocument)> as Map<AliasDocument> = "{}",
        /// The secrets store that `vault:…` credentials are read from.
        pub(super) vault: Option<Vault> = optional,
        /// The key that seals credentials and content in the store, 64 hexadecimal digits, as `${VARIABLE}` or `file:/path`.
        /// Without it: the variable `NARROWS_MASTER_KEY`. Never shown.
        pub(super) master_key: Option<Secret> = optional,
        /// Virtual keys that a file declares.
        pub(super) keys: Option<KeysSource> = optional,
        /// Organizations, users, service accounts, teams and projects that the store knows.
        pub(super) directory: DirectoryDocument = "{}",
        /// Providers that serve requests without a virtual key, attributed to a named caller.
        pub(super) anonymous: Vec<AnonymousDocument> = "[]",
        /// Budgets: what may be spent in a window. The name is yours; what was spent is kept by it.
        pub(super) budgets: Vec<(String, BudgetDocument)> as Map<BudgetDocument> = "{}",
        /// Rate limits: how much may be asked for in a stretch of time, and at a time. The name is yours.
        pub(super) rate_limits: Vec<(String, RateLimitDocument)> as Map<RateLimitDocument> = "{}",
        /// What models cost.
        pub(super) prices: PricesDocument = "{}",
        /// Our own detectors.
        pub(super) guard: Guard = "{}",
        /// External guardrails. The name is yours; policies name it.
        pub(super) guardrails: Vec<(String, Guardrail)> as Map<Guardrail> = "{}",
        /// Policies: where they apply, when they fire, what they do. They add up, and the strictest action wins.
        pub(super) policies: Vec<PolicyDocument> = "[]",
    }

    /// Virtual keys that a file declares: created, changed and disabled as the file says, at the start and whenever the
    /// configuration is read again. Keys that were made otherwise are never touched.
    pub(super) struct KeysSource {
        /// The file: `version: 1` and a list of `keys`, each with a `name` and a `secret` (`hash:…` as
        /// `narrows keys hash` prints it, or `${VARIABLE}` or `file:/path` with a whole key), and as wanted
        /// `organization`, `team`, `user` or `service_account`, `project`, `metadata`, `models`, `expires`.
        pub(super) file: PathBuf = required,
    }

    /// Organizations, users, service accounts, teams and projects that the store knows.
    pub(super) struct DirectoryDocument {
        /// Whether a new key may only have owners that the directory knows. Without it names are free; keys that were made
        /// before go on to work either way.
        pub(super) require_known_owners: bool = "false",
    }

    /// A provider of models.
    pub(super) struct ProviderDocument {
        /// What it is: sets its default URL, its way to authenticate, its dialects and its default `models`.
        pub(super) kind: &'static kinds::Kind as Kind = required,
        /// Where its API is. Without it: the public address of the kind, if it has one.
        pub(super) base_url: Option<BaseUrl> = optional,
        /// The credential sent to it, as `${VARIABLE}`, `file:/path`, `store:NAME` (sealed in the store) or
        /// `vault:MOUNT/PATH#FIELD`. Or two of them, `[the new one, the one before]`: when the provider refuses the
        /// first, the second is used, so that keys change without a failed request. Never shown.
        pub(super) api_key: Option<ApiKey> = optional,
        /// What becomes of an answer whose client leaves before its end. Without it: what the general one says.
        pub(super) on_client_gone: Option<OnClientGone> = optional,
        /// Version of the API, for `azure`. A dated one asks for deployments; without it the undated v1 surface is used.
        pub(super) api_version: Option<String> = optional,
        /// PEM file with certificates to trust for this provider only, in addition to the system's.
        pub(super) ca_file: Option<PathBuf> = optional,
        /// Certificate that proves to it who we are (mutual TLS), for https URLs.
        pub(super) client_cert: Option<TlsFiles> = optional,
        /// The way out of the network to it, in place of the general one; `direct` uses no proxy.
        pub(super) egress: Option<OwnEgress> as Option<OwnEgress> = optional,
        /// Name that its certificate is verified against. Required when the host of an https URL is an IP address.
        pub(super) server_name: Option<String> as Option<ServerName> = optional,
        /// Headers added to every request to it. Not the ones that carry credentials or frame the message.
        pub(super) headers: Vec<(String, HeaderValue)> as Map<SentHeader> = "{}",
        /// Names of models that route here; `*` stands for any text. The most specific pattern of all providers wins,
        /// then the order of the file. Without it: the patterns of the kind.
        pub(super) models: Option<Vec<Pattern>> as Option<Vec<Pattern>> = optional,
        /// Paths beside inference that are served: names of groups (`files`, `batches`, …) or templates of its own
        /// (`GET /v1/things/{id}`). Without it: inference only.
        pub(super) paths: Vec<PathRule> = "[]",
        /// Time-outs that differ for this provider.
        pub(super) timeouts: ProviderTimeouts = "{}",
        /// How its streams are passed on, where that differs.
        pub(super) streams: ProviderStreams = "{}",
        /// Whether a client may bring its own credential (a subscription login, say).
        pub(super) client_credentials: ClientCredentials = "refuse",
        /// Whether it is asked to report usage in a stream when the client did not ask.
        pub(super) ask_for_usage: AskForUsage = "auto",
        /// Whether it serves the WebSocket APIs (OpenAI's realtime and responses, Gemini's live). Where it does not, clients are
        /// told to use ordinary requests.
        pub(super) realtime: bool = "false",
        /// Whether HTTP/2 is spoken with it.
        pub(super) http2: Http2 = "never",
        /// Most exchanges at a time over one HTTP/2 connection; the provider may allow fewer. More connections are made
        /// when it is reached.
        pub(super) http2_streams: usize as Count<1, HTTP2_STREAMS_MAX> = "100",
        /// How often an HTTP/2 connection is asked whether it is alive. Without it: only when an answer did not come.
        pub(super) http2_ping: Option<Duration> = optional,
    }

    /// A proxy that is asked to connect (`CONNECT`) to the provider, for http and https URLs alike.
    pub(super) struct EgressDocument {
        /// The proxy: `http://host:port`, or `https://host:port` to speak TLS with it; with `user:password@` before the
        /// host if it wants them. Write `${VARIABLE}` to keep them out of the file. Never shown.
        pub(super) proxy: ProxyUrl = required,
        /// Hosts that are reached without it: names, `.domain`, addresses, networks, `*`.
        pub(super) no_proxy: Vec<NoProxy> = "[]",
        /// PEM file with certificates to trust for an https proxy, in addition to the system's.
        pub(super) ca_file: Option<PathBuf> = optional,
    }

    /// Time-outs that differ for one provider. What is absent is taken from the general `timeouts`.
    pub(super) struct ProviderTimeouts {
        /// To connect, TLS handshake included.
        pub(super) connect: Option<Duration> = optional,
        /// From the request's last byte to the head of the answer.
        pub(super) first_byte: Option<Duration> = optional,
        /// Between two chunks of an answer.
        pub(super) idle: Option<Duration> = optional,
        /// From the request's head to the end of the answer.
        pub(super) total: Option<Duration> = optional,
        /// How long an idle connection to it is kept.
        pub(super) keepalive: Option<Duration> = optional,
    }

    /// How streams of one provider are passed on. What is absent is taken from the general `streams`.
    pub(super) struct ProviderStreams {
        /// Silence after which the client gets a comment line; `off` sends none.
        pub(super) ping: Option<Option<Duration>> as Option<Switch<Duration>> = optional,
    }

    /// An alias in its long form.
    pub(super) struct AliasTarget {
        /// Name of the provider.
        pub(super) provider: String = required,
        /// The model asked of it.
        pub(super) model: String = required,
    }

    /// A model with targets: several places where it can be asked for. One that fails gives way to the next.
    pub(super) struct RouteDocument {
        /// Where the model can be asked for.
        pub(super) targets: Vec<TargetDocument> = required,
        /// Time-outs that differ for this model, whichever provider serves it.
        pub(super) timeouts: RouteTimeouts = "{}",
        /// Repetition that differs for this model.
        pub(super) retries: RouteRetries = "{}",
        /// What becomes of an answer whose client leaves. Without it: what the provider's says.
        pub(super) on_client_gone: Option<OnClientGone> = optional,
    }

    /// One place where a model can be asked for.
    pub(super) struct TargetDocument {
        /// Name of the provider.
        pub(super) provider: String = required,
        /// The model asked of it. Without it: the name that the client asked for.
        pub(super) model: Option<String> = optional,
        /// Its share of new conversations among targets of the same priority. 0 is drained: conversations that are
        /// bound to it go on, no new one begins.
        pub(super) weight: usize as Count<0, WEIGHT_MAX> = "1",
        /// Targets of a higher number are asked only when none of a lower one can be.
        pub(super) priority: usize as Count<0, PRIORITY_MAX> = "0",
    }

    /// Time-outs that differ for one model. What is absent is taken from the provider.
    pub(super) struct RouteTimeouts {
        /// To connect, TLS handshake included.
        pub(super) connect: Option<Duration> = optional,
        /// From the request's last byte to the head of the answer, for each attempt.
        pub(super) first_byte: Option<Duration> = optional,
        /// Between two chunks of an answer.
        pub(super) idle: Option<Duration> = optional,
        /// From the request's head to the end of the answer, over all attempts.
        pub(super) total: Option<Duration> = optional,
    }

    /// Repetition that differs for one model. What is absent is taken from the general `retries`.
    pub(super) struct RouteRetries {
        /// Attempts in all, the first included.
        pub(super) attempts: Option<usize> as Option<Count<1, ATTEMPTS_MAX>> = optional,
        /// Longest wait for a target that no other can stand in for.
        pub(super) wait_max: Option<Duration> as Option<Grace> = optional,
        /// Whether to repeat what a provider may be at work on.
        pub(super) after_sent: Option<bool> = optional,
    }

    /// Providers that serve requests without a virtual key.
    pub(super) struct AnonymousDocument {
        /// Names of the providers; each may stand in one such list only.
        pub(super) providers: Vec<String> = required,
        /// Who such requests are attributed to.
        pub(super) caller: CallerDocument = required,
    }

    /// Who requests without a key are attributed to. At least one of team, user and service account is required.
    pub(super) struct CallerDocument {
        /// Organization; without it the one at the top of the file.
        pub(super) organization: Option<String> = optional,
        /// Team.
        pub(super) team: Option<String> = optional,
        /// User; not together with `service_account`.
        pub(super) user: Option<String> = optional,
        /// Service account.
        pub(super) service_account: Option<String> = optional,
        /// Project.
        pub(super) project: Option<String> = optional,
    }
}

impl Document {
    /// Fills in what the kinds of providers say, so that the document shows what is in force.
    pub(super) fn complete(&mut self) {
        for (_, provider) in &mut self.providers {
            if provider.base_url.is_none() {
                provider.base_url = kinds::base_url(provider.kind);
            }
            if provider.models.is_none() {
                provider.models = Some(kinds::models(provider.kind));
            }
        }
    }
}

/// The way out of the network to one provider.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OwnEgress {
    /// No proxy, whatever the general setting says.
    Direct,
    /// This proxy.
    Through(EgressDocument),
}

impl Form for OwnEgress {
    type Out = OwnEgress;

    fn shape() -> Shape {
        let direct = Shape::Words(vec![("direct", "Without a proxy.".to_owned())]);
        Shape::Either(vec![EgressDocument::shape(), direct])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<OwnEgress> {
        match &node.content {
            Content::Scalar(scalar) if scalar.text == "direct" => Some(OwnEgress::Direct),
            _ => EgressDocument::read(node, reader).map(OwnEgress::Through),
        }
    }

    fn show(value: &OwnEgress) -> Json {
        match value {
            OwnEgress::Direct => json!("direct"),
            OwnEgress::Through(egress) => EgressDocument::show(egress),
        }
    }
}

/// The version of the format.
pub(super) struct Version;

impl Form for Version {
    type Out = usize;

    fn shape() -> Shape {
        Shape::Scalar { kind: "number", types: &["integer"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<usize> {
        let parse = |text: &str| text.parse().ok().filter(|version| *version == VERSION);
        reader.parsed(node, "a version this program reads", "version: 1", parse)
    }

    fn show(value: &usize) -> Json {
        json!(value)
    }
}

/// The kind of a provider.
pub(super) struct Kind;

impl Form for Kind {
    type Out = &'static kinds::Kind;

    fn shape() -> Shape {
        Shape::Words(kinds::all().iter().map(|kind| (kind.kind, kinds::describe(kind))).collect())
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<&'static kinds::Kind> {
        let words: Vec<&str> = kinds::all().iter().map(|kind| kind.kind).collect();
        let index = reader.word(node, &words)?;
        kinds::all().get(index).copied()
    }

    fn show(value: &&'static kinds::Kind) -> Json {
        json!(value.kind)
    }
}

impl Form for Secret {
    type Out = Secret;

    fn shape() -> Shape {
        Shape::Scalar { kind: "secret", types: &["string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Secret> {
        let scalar = reader.scalar(node, "a secret")?;
        let text = match scalar.text.strip_prefix("file:") {
            None => scalar.text.clone(),
            // A path that came out of a variable could be a secret that merely begins with `file:`.
            Some(path) => {
                let shown = if scalar.template.is_some() { "the file named by the variable" } else { path };
                let file = reader.resolved(path);
                let read = read_secret(&file);
                reader.files.push(file);
                match read {
                    Ok(text) => text,
                    Err(cause) => {
                        let suggestion = "check the path and that the user running narrows may read it";
                        reader.problem(node.at, format!("cannot read {shown}: {cause}"), suggestion);
                        return None;
                    }
                }
            }
        };
        let fault = if text.is_empty() {
            Some(("the secret is empty", "set the variable, or fill the file"))
        } else if text.starts_with("nrw_") {
            Some((
                "a virtual key of narrows is no credential of a provider",
                "use the key the provider gave you",
            ))
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Some((
                "the secret holds blanks, line ends or other characters that no header may carry",
                "paste the bare key, on one line",
            ))
        } else {
            None
        };
        match fault {
            None => Some(Secret::new(text)),
            Some((message, suggestion)) => {
                reader.problem(node.at, message, suggestion);
                None
            }
        }
    }

    fn show(_: &Secret) -> Json {
        json!(REDACTED)
    }
}

/// Reads a secret's file, less one line end.
pub(super) fn read_secret(path: &std::path::Path) -> Result<String, String> {
    let file = std::fs::File::open(path).map_err(|error| error.kind().to_string())?;
    let mut text = String::new();
    let read = file.take(SECRET_BYTES_MAX as u64 + 1).read_to_string(&mut text);
    read.map_err(|error| error.kind().to_string())?;
    if text.len() > SECRET_BYTES_MAX {
        return Err("it is larger than 64 KiB".to_owned());
    }
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

/// The name a certificate is verified against.
pub(super) struct ServerName;

impl Form for ServerName {
    type Out = String;

    fn shape() -> Shape {
        Shape::Scalar { kind: "DNS name", types: &["string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<String> {
        let parse = |text: &str| {
            let name = rustls_pki_types::DnsName::try_from(text).ok()?;
            Some(name.as_ref().to_ascii_lowercase())
        };
        reader.parsed(node, "a DNS name", "the name in the server's certificate: api.example.com", parse)
    }

    fn show(value: &String) -> Json {
        json!(value)
    }
}

/// Headers that carry credentials, frame the message or belong to one connection: never configured.
const HEADERS_REFUSED: &[&str] = &[
    "authorization",
    "x-api-key",
    "x-goog-api-key",
    "api-key",
    "cookie",
    "proxy-authorization",
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "proxy-connection",
    "accept-encoding",
    "content-encoding",
    "content-type",
    "expect",
];

/// The value of a header sent upstream; its name is the key it stands under.
pub(super) struct SentHeader;

impl Form for SentHeader {
    type Out = HeaderValue;

    fn shape() -> Shape {
        Shape::Scalar { kind: "header value", types: &["string"], pattern: None }
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<HeaderValue> {
        let scalar = reader.scalar(node, "a header's value")?;
        let name = match reader.path.0.last() {
            Some(super::path::Step::Key(name)) => name.to_ascii_lowercase(),
            _ => String::new(),
        };
        let fault = if HeaderName::try_from(&name).is_err() {
            Some(("not the name of a header", "letters, digits and dashes, as x-team"))
        } else if HEADERS_REFUSED.contains(&name.as_str()) {
            Some(("this header is set by the gateway", "remove it; credentials belong into `api_key`"))
        } else if name.starts_with("x-narrows-") {
            Some(("headers of the gateway itself are never sent to a provider", "use another name"))
        } else {
            None
        };
        if let Some((message, suggestion)) = fault {
            reader.problem(node.at, message, suggestion);
            return None;
        }
        match HeaderValue::try_from(&scalar.text) {
            Ok(mut value) => {
                value.set_sensitive(true);
                Some(value)
            }
            Err(_) => {
                reader.problem(node.at, "not the value of a header", "one line of visible characters");
                None
            }
        }
    }

    fn show(_: &HeaderValue) -> Json {
        json!(REDACTED)
    }
}

/// What an alias stands for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum AliasDocument {
    /// A model of a provider.
    Model(AliasTarget),
    /// Another alias.
    Alias(String),
    /// Several places.
    Route(RouteDocument),
}

impl Form for AliasDocument {
    type Out = AliasDocument;

    fn shape() -> Shape {
        let short =
            Shape::Scalar { kind: "`provider/model`, or another alias", types: &["string"], pattern: None };
        Shape::Either(vec![short, AliasTarget::shape(), RouteDocument::shape()])
    }

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<AliasDocument> {
        if let Content::Map(_) = node.content {
            return match node.get("targets") {
                Some(_) => RouteDocument::read(node, reader).map(AliasDocument::Route),
                None => AliasTarget::read(node, reader).map(AliasDocument::Model),
            };
        }
        let text = String::read(node, reader)?;
        match text.split_once('/') {
            None => Some(AliasDocument::Alias(text)),
            Some((provider, model)) if !provider.is_empty() && !model.is_empty() => {
                let (provider, model) = (provider.to_owned(), model.to_owned());
                Some(AliasDocument::Model(AliasTarget { provider, model }))
            }
            Some(_) => {
                reader.problem(
                    node.at,
                    "provider or model is missing",
                    "write `provider/model`, as openai/gpt-4o-mini",
                );
                None
            }
        }
    }

    fn show(value: &AliasDocument) -> Json {
        match value {
            AliasDocument::Model(target) => AliasTarget::show(target),
            AliasDocument::Alias(name) => json!(name),
            AliasDocument::Route(route) => RouteDocument::show(route),
        }
    }
}
