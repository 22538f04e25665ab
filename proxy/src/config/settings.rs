//! The settings a gateway runs with: validated, defaults filled in, references resolved.

pub use super::alerts::{AlertWebhook, Alerts, LeastSeverity};
pub use super::content::{Content, KeepRule, Sides};
use super::counters::Counters;
use super::credential::ApiKey;
pub use super::egress::{NoProxy, ProxyUrl};
use super::forms::{Count, Grace, Size, Switch};
pub use super::guard::{Detection, External, Guard, Policies};
pub use super::limits::{BudgetRule, RateRule, StoredLimits};
use super::macros::{settings, words};
use super::network::Network;
use super::paths::PathRule;
use super::pattern::Pattern;
pub use super::prices::PriceSettings;
use super::secret::Secret;
use super::store::Store;
use super::url::BaseUrl;
use http::{HeaderName, HeaderValue};
use narrows_policy::Caller;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Everything a gateway needs to know to run. Immutable; made by [`load`](super::load) only from a configuration
/// without problems.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Organization of keys that were created without one.
    pub organization: Arc<str>,
    /// Where the gateway listens.
    pub listen: Listen,
    /// Who may say in a header which client a request is from; nobody without it.
    pub trusted_proxies: Option<TrustedProxies>,
    /// Worker threads that serve requests, at least 1.
    pub workers: usize,
    /// Gateways that serve the same callers.
    pub replicas: usize,
    /// Where they count budgets and rate limits together; each alone without it.
    pub counters: Option<Counters>,
    /// Where keys, records and aggregates are kept.
    pub store: Store,
    /// How records are kept.
    pub records: Records,
    /// Whose prompts and answers are kept.
    pub content: Content,
    /// The log on standard error.
    pub log: Log,
    /// When the file is read again.
    pub reload: Reload,
    /// Limits of memory and connections.
    pub limits: Limits,
    /// Time-outs for providers that do not override them, and for the client's side.
    pub timeouts: Timeouts,
    /// How streams are passed on, for providers that do not override it.
    pub streams: Streams,
    /// What becomes of answers whose clients leave, for providers and models that do not override it.
    pub on_client_gone: OnClientGone,
    /// How failures of models with several targets are repeated.
    pub retries: Retries,
    /// How names of providers are resolved.
    pub dns: Dns,
    /// Who may reach stored objects.
    pub objects: Objects,
    /// Providers, in the order of the file. At least one.
    pub providers: Vec<Provider>,
    /// Aliases of models, in the order of the file.
    pub aliases: Vec<Alias>,
    /// Models with several targets, in the order of the file.
    pub routes: Vec<Route>,
    /// How alerts are kept, and who is told.
    pub alerts: Alerts,
    /// The secrets store that credentials are read from, if there is one.
    pub vault: Option<Vault>,
    /// The key that seals credentials and content in the store, if the configuration says where it is.
    pub master_key: Option<Secret>,
    /// The virtual keys that a file declares, if there is such a file.
    pub keys: Option<DeclaredKeys>,
    /// Whether new keys may only have owners that the directory knows.
    pub require_known_owners: bool,
    /// Routes that accept requests without a key, in the order of the file.
    pub anonymous: Vec<Anonymous>,
    /// What may be spent, in the order of the file.
    pub budgets: Vec<BudgetRule>,
    /// How fast, in the order of the file.
    pub rate_limits: Vec<RateRule>,
    /// Those of the store; none until a gateway fills them in.
    pub stored_limits: StoredLimits,
    /// What models cost.
    pub prices: PriceSettings,
    /// Our own detectors: what is written about them.
    pub guard: Guard,
    /// Our own detectors, put together.
    pub detection: Detection,
    /// External guardrails, in the order of the file.
    pub guardrails: Vec<External>,
    /// The policies in force.
    pub policies: Policies,
    /// Hash of everything above except secrets and declared keys; equal content gives an equal hash on every machine.
    pub snapshot: u64,
}

/// Virtual keys that a file declares.
#[derive(Debug, Clone)]
pub struct DeclaredKeys {
    /// The file.
    pub file: PathBuf,
    /// The keys, in the order of the file.
    pub keys: Vec<narrows_ledger::DeclaredKey>,
    /// Where each of them stands.
    pub(crate) places: Vec<KeyPlace>,
}

/// Where a declared key stands in its file.
#[derive(Debug, Clone)]
pub(crate) struct KeyPlace {
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) path: String,
}

/// A key that only moved to another line is the same key.
impl PartialEq for DeclaredKeys {
    fn eq(&self, other: &DeclaredKeys) -> bool {
        self.file == other.file && self.keys == other.keys
    }
}

impl Settings {
    /// The provider with this name.
    pub fn provider(&self, name: &str) -> Option<&Provider> {
        self.providers.iter().find(|provider| &*provider.name == name)
    }
}

/// An upstream: where requests go, with which credential.
#[derive(Debug, Clone, PartialEq)]
pub struct Provider {
    /// Its name in the configuration; also the path prefix `/{name}` and the label in records.
    pub name: Arc<str>,
    /// Word of its kind, one of `narrows_llm`'s list of providers.
    pub kind: &'static str,
    /// Where it is.
    pub base_url: BaseUrl,
    /// The credentials for it. `None` for a provider that takes none, or only the client's own.
    pub api_key: Option<ApiKey>,
    /// Version of the API, for kinds that take one as a query parameter (Azure).
    pub api_version: Option<String>,
    /// PEM file with certificates that are trusted for this provider, in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of what is in `ca_file`, so that a changed bundle makes a changed provider.
    pub ca_digest: Option<[u8; 32]>,
    /// Certificate that proves to it who we are, and its key.
    pub client_cert: Option<TlsFiles>,
    /// SHA-256 of what is in them.
    pub client_digest: Option<[u8; 32]>,
    /// The proxy it is reached through, if it is not reached directly.
    pub egress: Option<Egress>,
    /// The name its certificate is verified against; always present when `base_url` is https.
    pub server_name: Option<String>,
    /// Headers added to every request; the values are marked sensitive. Never a credential or a framing header.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Which names of models route here. The most specific pattern of all providers wins, then the file's order.
    pub models: Vec<Pattern>,
    /// Paths beside inference that are served.
    pub paths: Vec<PathRule>,
    /// Time-outs, with the provider's own laid over the general ones.
    pub timeouts: Timeouts,
    /// How streams are passed on, with the provider's own laid over the general.
    pub streams: Streams,
    /// What becomes of answers whose clients leave: the provider's own, else the general.
    pub on_client_gone: OnClientGone,
    /// Whether a client may bring its own credential for this provider.
    pub client_credentials: ClientCredentials,
    /// Whether the provider is asked to report usage when the client did not ask.
    pub ask_for_usage: AskForUsage,
    /// Whether it serves the WebSocket APIs.
    pub realtime: bool,
    /// Whether HTTP/2 is spoken with it.
    pub http2: Http2,
    /// Most exchanges at a time over one HTTP/2 connection, at least 1.
    pub http2_streams: usize,
    /// How often an HTTP/2 connection is asked whether it is alive.
    pub http2_ping: Option<Duration>,
}

/// A proxy on the way to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Egress {
    /// Where it is, and who we are to it.
    pub proxy: ProxyUrl,
    /// PEM file with certificates that are trusted for the proxy itself, in addition to the system's.
    pub ca_file: Option<PathBuf>,
    /// SHA-256 of what is in it.
    pub ca_digest: Option<[u8; 32]>,
}

/// Another name for a model of a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alias {
    /// The name clients use; matched exactly, before any pattern.
    pub name: Arc<str>,
    /// Name of the provider, one of [`Settings::providers`].
    pub provider: Arc<str>,
    /// The model asked of it.
    pub model: Arc<str>,
}

/// A model with several targets.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Names of models it serves.
    pub pattern: Pattern,
    /// Aliases that lead here.
    pub aliases: Vec<Arc<str>>,
    /// Where the model can be asked for, in the order of the file; 1 to [`TARGETS_MAX`].
    pub targets: Vec<RouteTarget>,
    /// How its failures are repeated.
    pub retries: Retries,
}

/// Most targets of one model.
pub const TARGETS_MAX: usize = 32;
/// Most attempts at one exchange.
pub const ATTEMPTS_MAX: usize = 10;

/// One place where a model can be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct RouteTarget {
    /// Name of the provider, one of [`Settings::providers`].
    pub provider: Arc<str>,
    /// The model asked of it; `None` is the one that the client asked for.
    pub model: Option<Arc<str>>,
    /// Its share of new conversations; 0 is drained.
    pub weight: u32,
    /// Lower ones are asked first.
    pub priority: u32,
    /// Time-outs: the model's laid over the provider's.
    pub timeouts: Timeouts,
    /// What becomes of answers whose clients leave: the model's, else the provider's.
    pub on_client_gone: OnClientGone,
}

/// Providers that serve requests without a key, and to whom those are attributed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anonymous {
    /// Names of providers, each one of [`Settings::providers`]; a provider is in at most one such list.
    pub providers: Vec<Arc<str>>,
    /// The caller written on the records; its kind is `anonymous`.
    pub caller: Arc<Caller>,
}

settings! {
    /// Where the gateway listens.
    pub struct Listen {
        /// Listeners that serve the model APIs; at least one.
        pub gateway: Vec<Listener> = "[{address: 127.0.0.1:8080}]",
        /// Health (`/healthz`, `/readyz`) and metrics (`/metrics`), in plain HTTP and without authentication.
        pub metrics: MetricsListener = "{}",
        /// The administration API; `off` closes it. Outside the loopback interface it needs `tls`.
        pub admin: Option<AdminListener> as Switch<AdminListener> = "{}",
    }

    /// A listener that serves the model APIs.
    pub struct Listener {
        /// Address and port, `127.0.0.1:8080` or `[::]:8080`. Port 0 lets the system choose.
        pub address: SocketAddr = required,
        /// Serve TLS with this certificate; without it the listener is plain HTTP.
        pub tls: Option<TlsFiles> = optional,
        /// Accept HTTP/2: by ALPN with TLS, by prior knowledge (h2c) without.
        pub h2: bool = "true",
        /// Every connection comes from a balancer and begins with a PROXY header (version 1 or 2) that names the client.
        pub proxy_protocol: Option<ProxyProtocol> as Switch<ProxyProtocol> = "off",
    }

    /// The balancers in front of a listener that speak the PROXY protocol.
    pub struct ProxyProtocol {
        /// Their addresses or networks, `10.0.0.0/8`; a connection from elsewhere is refused.
        pub from: Vec<Network> = required,
    }

    /// Balancers that say in a header who a request is from. That address goes into records; no provider sees it.
    pub struct TrustedProxies {
        /// Their addresses or networks, `10.0.0.0/8`. What others say is not believed.
        pub from: Vec<Network> = required,
        /// The header they write; the other one is the client's own word, and ignored.
        pub header: ForwardedHeader = "x-forwarded-for",
    }

    /// The health and metrics listener.
    pub struct MetricsListener {
        /// Address and port.
        pub address: SocketAddr = "127.0.0.1:9464",
    }

    /// The listener of the administration API.
    pub struct AdminListener {
        /// Address and port.
        pub address: SocketAddr = "127.0.0.1:9465",
        /// Serve TLS with this certificate. Required unless the address is a loopback address.
        pub tls: Option<TlsFiles> = optional,
    }

    /// A certificate and its key.
    pub struct TlsFiles {
        /// PEM file with the certificate, followed by its intermediates.
        pub cert: PathBuf = required,
        /// PEM file with the private key (PKCS#8, PKCS#1 or SEC1).
        pub key: PathBuf = required,
    }

    /// A secrets store that speaks the protocol of HashiCorp Vault's key/value engine, version 2. Exactly one of
    /// `token` and `kubernetes` is needed.
    pub struct Vault {
        /// Its address, `https://vault.example:8200`; plain http to this machine only.
        pub address: BaseUrl = required,
        /// The token, as `${VARIABLE}` or `file:/path`. Never shown.
        pub token: Option<Secret> = optional,
        /// Log in with the service account of Kubernetes.
        pub kubernetes: Option<VaultLogin> = optional,
        /// The namespace, where the store has some.
        pub namespace: Option<String> = optional,
        /// PEM file with certificates to trust for it, in addition to the system's.
        pub ca_file: Option<PathBuf> = optional,
        /// How often credentials are read again.
        pub refresh: Duration = "5m",
    }

    /// A login with the service account of Kubernetes.
    pub struct VaultLogin {
        /// The role to log in as.
        pub role: String = required,
        /// Where the method is mounted, below `auth/`.
        pub mount: String = "kubernetes",
        /// The token of the service account; read for each login.
        pub token_file: PathBuf = "/var/run/secrets/kubernetes.io/serviceaccount/token",
    }

    /// How records are kept: one per exchange, never with prompts or answers in it.
    pub struct Records {
        /// What happens to requests while records cannot be kept.
        pub audit: Audit = "best_effort",
        /// Records that may wait for the store, in records. Beyond it they are folded into the aggregates.
        pub queue: usize as Count<1, 16_777_216> = "65536",
        /// Also write records as JSON lines: `none`, `stdout` or the path of a file.
        pub json: JsonRecords = "none",
    }

    /// The log, written to standard error. It never holds prompts, answers or credentials.
    pub struct Log {
        /// The least severe level that is written.
        pub level: LogLevel = "info",
        /// How lines look.
        pub format: LogFormat = "text",
    }

    /// When the configuration is read again while the gateway runs. A signal (SIGHUP) and the administration API do it
    /// in any case.
    pub struct Reload {
        /// How often this file, and every file that it names, is looked at for changes; `off` for never.
        pub watch: Option<Duration> as Switch<Duration> = "2s",
    }

    /// Limits of memory and connections.
    pub struct Limits {
        /// Largest body of a request; a larger one is refused with 413.
        pub request_body: usize as Size = "32MiB",
        /// Largest body that streams through to a provider (files); a larger one is refused with 413.
        pub upload_body: usize as Size = "512MiB",
        /// All buffered bodies of the process together; beyond it requests are refused with 503 for a moment.
        pub buffered_bodies: usize as Size = "512MiB",
        /// Largest decoded or collected copy of an answer made only for metering; beyond it usage is estimated.
        pub metered_copy: usize as Size = "8MiB",
        /// Open connections of clients, over all listeners.
        pub connections: usize as Count<1, 16_777_216> = "65536",
        /// Age after which a connection of a client is ended at the next occasion (up to a fifth earlier, by chance), so that
        /// balancers spread anew: `connection: close` with an answer, or GOAWAY, and streams finish. `off` for never.
        pub connection_age_max: Option<Duration> as Switch<Duration> = "off",
        /// Exchanges open at once; more are refused with 503 `overloaded` before their body is read.
        pub exchanges: usize as Count<1, 16_777_216> = "65536",
        /// How late the workers may be at what they do, steadily for half a second. Beyond it a growing part of new exchanges
        /// is refused with 503 `overloaded`, until they are on time again. `off` for never.
        pub scheduling_delay: Option<Duration> as Switch<Duration> = "500ms",
        /// Idle connections kept open to each provider.
        pub keepalive_pool: usize as Count<0, 1_048_576> = "1024",
    }

    /// Time-outs of an exchange.
    pub struct Timeouts {
        /// To connect to a provider, TLS handshake included.
        pub connect: Duration = "5s",
        /// From the request's last byte to the head of the answer.
        pub first_byte: Duration = "5m",
        /// Between two chunks of an answer.
        pub idle: Duration = "5m",
        /// From the request's head to the end of the answer.
        pub total: Duration = "1h",
        /// For the client to send the whole body.
        pub request_body: Duration = "60s",
        /// How long an idle connection to a provider is kept.
        pub keepalive: Duration = "75s",
        /// How long an idle connection of a client is kept. Longer than balancers keep theirs, or they send requests into
        /// connections that are being closed: AWS ALB 60 s, NLB 350 s, Google Cloud 600 s.
        pub client_keepalive: Duration = "620s",
        /// After SIGTERM: how long everything is still served, new connections included, while readiness already says no and
        /// balancers take notice.
        pub shutdown_wait: Duration as Grace = "5s",
        /// After that: how long open exchanges may still run.
        pub shutdown_grace: Duration as Grace = "30s",
    }

    /// How streams are passed on.
    pub struct Streams {
        /// After so much silence of a provider, and again and again, the client gets a comment line between two
        /// events, which keeps proxies on the way from closing the connection; `off` sends none. It moves no
        /// time-out. Clients of Gemini never get one, because Google's SDK for Python takes it for an answer.
        pub ping: Option<Duration> as Switch<Duration> = "15s",
    }

    /// How failures are repeated before an answer's head is accepted, for models with `targets`. What has no targets
    /// is asked once: its client repeats.
    pub struct Retries {
        /// Attempts in all, the first included. A target that fails gives way to another; when there is no other, it
        /// is asked again after a wait.
        pub attempts: usize as Count<1, ATTEMPTS_MAX> = "3",
        /// Longest wait for a target that no other can stand in for. When a provider asks for more, its answer goes to
        /// the client instead.
        pub wait_max: Duration as Grace = "5s",
        /// Upper bound of the first wait; each further one doubles it. The wait is chosen between nothing and the bound.
        pub backoff: Duration = "250ms",
        /// Attempts beyond the first, per hundred requests, for each model and for the process; 10 a second are always
        /// allowed. Beyond it failures go to the client, so that an outage does not multiply the load.
        pub budget: usize as Count<0, 100> = "20",
        /// Whether to repeat a request that was sent and not answered (connection cut, first-byte time-out). The provider
        /// may be at work on it, and bill it twice.
        pub after_sent: bool = "false",
    }

    /// Stored objects (files, batches, stored responses, …). Each belongs to the team of the key that made it, else to the
    /// key's user or service account, else to the organization; nobody else reaches it, whatever is set here.
    pub struct Objects {
        /// What happens to an id that was not made through this gateway, in a path and in requests that make objects out
        /// of others. Keys that may use certain models only are refused in any case.
        pub unknown: UnknownObjects = "refuse",
        /// What happens to such an id in a prompt (`previous_response_id`, `file_id`, …).
        pub unknown_in_prompts: UnknownObjects = "allow",
        /// Days for which it is remembered whose a stored response is; providers keep responses for 30 days.
        pub response_days: usize as Count<1, 3_650> = "30",
    }

    /// How names of providers are resolved.
    pub struct Dns {
        /// Least time an answer is used, whatever its own time to live says.
        pub ttl_min: Duration = "5s",
        /// Most time an answer is used.
        pub ttl_max: Duration = "5m",
        /// Name servers, `address` or `address:port`; empty means the system's.
        pub servers: Vec<NameServer> = "[]",
    }
}

words! {
    /// What happens to requests while records cannot be kept.
    pub enum Audit {
        /// They are served; what overflows the queue is folded into the aggregates, so sums stay right.
        BestEffort = "best_effort",
        /// They are refused with 503: no exchange without its record.
        Required = "required",
    }

    /// The least severe level that is logged.
    pub enum LogLevel {
        /// Only errors.
        Error = "error",
        /// Errors and warnings.
        Warn = "warn",
        /// And what an operator wants to see once.
        Info = "info",
        /// And what helps to find a fault.
        Debug = "debug",
        /// Everything.
        Trace = "trace",
    }

    /// How lines of the log look.
    pub enum LogFormat {
        /// For people.
        Text = "text",
        /// One JSON object per line.
        Json = "json",
    }

    /// What becomes of an answer whose client leaves before its end.
    pub enum OnClientGone {
        /// The provider is left at once. What it told is recorded, and what it said after that counted; of an answer that had not
        /// begun the cost is not known, and budgets are charged as they were reserved.
        Estimate = "estimate",
        /// The answer is read to its end, within `timeouts.total`, and nobody gets it: what it cost is known, and is more.
        ReadToEnd = "read_to_end",
        /// The provider is left at once, and its caller is charged nothing: the cost is none, and budgets get back what was
        /// reserved. The provider may bill it all the same.
        Free = "free",
    }

    /// What happens to the id of an object that was not made through this gateway.
    pub enum UnknownObjects {
        /// It is answered as if the object did not exist.
        Refuse = "refuse",
        /// It is passed on: whoever knows the id reaches the object.
        Allow = "allow",
    }

    /// In which header balancers say who a request is from.
    pub enum ForwardedHeader {
        /// `X-Forwarded-For`, to whose end each hop appends.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded`, RFC 7239.
        Forwarded = "forwarded",
    }

    /// Whether a client may bring its own credential for a provider (a subscription login, say).
    pub enum ClientCredentials {
        /// It is removed; the provider sees `api_key` only.
        Refuse = "refuse",
        /// With the virtual key in `x-narrows-api-key`, the client's own credential passes untouched.
        Pass = "pass",
    }

    /// Whether HTTP/2 is spoken with a provider.
    pub enum Http2 {
        /// HTTP/1.1: the cheapest, and no answer waits behind another one.
        Never = "never",
        /// HTTP/2 if the provider chooses it in the TLS handshake (ALPN), else HTTP/1.1. For https URLs.
        Auto = "auto",
        /// HTTP/2 without asking.
        PriorKnowledge = "prior_knowledge",
    }

    /// Whether a provider is asked to report usage in a stream when the client did not ask.
    pub enum AskForUsage {
        /// Where the kind of provider is known to support it.
        Auto = "auto",
        /// Never: such streams are estimated.
        Never = "never",
        /// Always.
        Always = "always",
    }
}

/// Where records are written as JSON lines, beside the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JsonRecords {
    /// Nowhere.
    None,
    /// To standard output.
    Stdout,
    /// Appended to this file.
    File(PathBuf),
}

/// A name server: an address, port 53 unless given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NameServer(pub SocketAddr);
