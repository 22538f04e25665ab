//! From the document to settings: references, conflicts between keys, defaults that depend on other keys.

use super::addresses::is_loopback;
use super::credential::Source;
use super::document::{Document, EgressDocument, OwnEgress, ProviderDocument, ProviderTimeouts};
use super::files;
use super::form::Reader;
use super::forms::folder;
use super::kinds;
use super::limits::StoredLimits;
use super::network::Network;
use super::path::Path;
use super::settings::{Egress, Http2, JsonRecords, NoProxy, Provider, Settings, Streams, Timeouts, TlsFiles};
use super::tree::{Content, Node};
use super::url::BaseUrl;
use http::HeaderName;
use std::net::SocketAddr;
use std::sync::Arc;

/// Checks what concerns more than one key and makes the settings. They are complete only if nothing was reported.
pub(super) fn resolve(document: &Document, root: &Node, reader: &mut Reader<'_>) -> Settings {
    let mut check = Check { root, reader };
    check.listeners(document);
    check.limits(document);
    check.stores(document);
    let names = root.get("providers").map(Node::keys).unwrap_or_default();
    if names.is_empty() && root.get("providers").is_some_and(|node| matches!(node.content, Content::Map(_))) {
        check.problem(
            &Path::of(&["providers"]),
            "no provider",
            "add one, as `openai: {kind: openai, api_key: …}`",
        );
    }
    let egress = document.egress.as_ref().map(|egress| check.egress(&Path::of(&["egress"]), egress));
    let providers: Vec<Provider> = document
        .providers
        .iter()
        .filter_map(|(name, provider)| check.provider(name, provider, document, egress.as_ref()))
        .collect();
    check.vault(document);
    check.alerts(&document.alerts);
    check.content(&document.content);
    let aliases = check.aliases(&document.models, &names);
    let routes = check.routes(document, &providers);
    let guardrails = check.guardrails(document, egress.as_ref());
    let (policies, detection) = check.policies(document);
    let (budgets, rate_limits) = (check.budgets(document), check.rate_limits(document));
    check.counters(document, &budgets);
    let prices = check.prices(&document.prices, &names);
    let anonymous = check.anonymous(&document.anonymous, &names, &document.organization);
    Settings {
        organization: Arc::clone(&document.organization),
        listen: document.listen.clone(),
        trusted_proxies: document.trusted_proxies.clone(),
        workers: document.workers.unwrap_or_else(cores),
        replicas: document.replicas,
        counters: document.counters.clone(),
        store: document.store.clone(),
        records: document.records.clone(),
        content: document.content.clone(),
        log: document.log.clone(),
        reload: document.reload.clone(),
        limits: document.limits.clone(),
        timeouts: document.timeouts.clone(),
        streams: document.streams.clone(),
        on_client_gone: document.on_client_gone,
        retries: document.retries.clone(),
        dns: document.dns.clone(),
        objects: document.objects.clone(),
        providers,
        aliases,
        routes,
        anonymous,
        budgets,
        rate_limits,
        stored_limits: StoredLimits::default(),
        prices,
        guard: document.guard.clone(),
        detection,
        guardrails,
        policies,
        alerts: document.alerts.clone(),
        vault: document.vault.clone(),
        master_key: document.master_key.clone(),
        keys: None,
        require_known_owners: document.directory.require_known_owners,
        snapshot: 0,
    }
}

/// Processor cores this process may use; 1 when the system does not say.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What checks look at, and where they report.
pub(super) struct Check<'a, 'r> {
    pub(super) root: &'a Node,
    pub(super) reader: &'a mut Reader<'r>,
}

impl Check<'_, '_> {
    /// Reports a problem with the value at `path`.
    pub(super) fn problem(&mut self, path: &Path, message: impl Into<String>, suggestion: impl Into<String>) {
        self.reader.path = path.clone();
        self.reader.problem(self.root.position(path), message, suggestion);
        self.reader.path = Path::default();
    }

    fn listeners(&mut self, document: &Document) {
        let listen = Path::of(&["listen"]);
        let gateway = listen.key("gateway");
        let mut taken: Vec<(Path, SocketAddr)> = Vec::new();
        for (index, listener) in document.listen.gateway.iter().enumerate() {
            let path = gateway.index(index);
            self.tls(&path.key("tls"), listener.tls.as_ref());
            if let Some(proxies) = &listener.proxy_protocol {
                self.balancers(&path.key("proxy_protocol").key("from"), &proxies.from);
            }
            taken.push((path.key("address"), listener.address));
        }
        if let Some(trusted) = &document.trusted_proxies {
            self.balancers(&Path::of(&["trusted_proxies", "from"]), &trusted.from);
        }
        let empty = |node: &Node| matches!(&node.content, Content::List(items) if items.is_empty());
        if self.root.find(&gateway).is_some_and(empty) {
            self.problem(&gateway, "no listener", "add one, as `- address: 127.0.0.1:8080`");
        }
        taken.push((listen.key("metrics").key("address"), document.listen.metrics.address));
        if let Some(admin) = &document.listen.admin {
            let path = listen.key("admin");
            self.tls(&path.key("tls"), admin.tls.as_ref());
            if admin.tls.is_none() && !is_loopback(&admin.address) {
                let suggestion = "add `tls: {cert: …, key: …}`, or listen on 127.0.0.1";
                self.problem(
                    &path.key("address"),
                    "the admin API outside the loopback interface needs TLS",
                    suggestion,
                );
            }
            taken.push((path.key("address"), admin.address));
        }
        for (nth, (path, address)) in taken.iter().enumerate() {
            let before = taken.iter().take(nth).find(|(_, other)| collide(address, other));
            if let Some((other, _)) = before {
                let message = format!("the address {address} is already taken by {other}");
                self.problem(path, message, "give each listener its own port");
            }
        }
    }

    fn balancers(&mut self, path: &Path, from: &[Network]) {
        if from.is_empty()
            && matches!(self.root.find(path).map(|node| &node.content), Some(Content::List(items)) if items.is_empty())
        {
            self.problem(path, "no balancer", "name their addresses, as 10.0.0.0/8, or write `off`");
        }
    }

    fn tls(&mut self, path: &Path, tls: Option<&TlsFiles>) {
        let Some(tls) = tls else { return };
        self.reader.files.extend([tls.cert.clone(), tls.key.clone()]);
        for fault in files::check_pair(tls) {
            self.problem(&path.key(fault.key), fault.message, fault.suggestion);
        }
    }

    fn limits(&mut self, document: &Document) {
        if document.limits.buffered_bodies < document.limits.request_body {
            let path = Path::of(&["limits", "buffered_bodies"]);
            let message = "room for all bodies is smaller than the largest single one";
            self.problem(&path, message, "raise it to at least `limits.request_body`, or lower that");
        }
        if document.dns.ttl_min > document.dns.ttl_max {
            let path = Path::of(&["dns", "ttl_min"]);
            self.problem(&path, "the least time is longer than the most", "make `ttl_min` at most `ttl_max`");
        }
    }

    fn vault(&mut self, document: &Document) {
        let path = Path::of(&["vault"]);
        for (name, provider) in &document.providers {
            let credentials = provider.api_key.iter().flat_map(|key| &key.0);
            let named = credentials.into_iter().any(|one| matches!(one.source, Source::Vault { .. }));
            if named && document.vault.is_none() && !self.given(&path) {
                let path = Path::of(&["providers", name, "api_key"]);
                let suggestion = "add `vault: {address: …, token: \"file:/path\"}` at the top";
                self.problem(&path, "no secrets store is configured", suggestion);
            }
        }
        let Some(vault) = &document.vault else { return };
        let logins =
            usize::from(self.given(&path.key("token"))) + usize::from(self.given(&path.key("kubernetes")));
        if logins != 1 {
            let message = "the secrets store needs one way to log in";
            self.problem(&path, message, "give either `token` or `kubernetes`");
        }
        let local = vault.address.host() == "localhost"
            || vault.address.ip().is_some_and(|ip| ip.to_canonical().is_loopback());
        if !vault.address.is_tls() && !local {
            let message = "the token and the credentials would go over the network unencrypted";
            self.problem(&path.key("address"), message, "use https");
        }
        if let Some(file) = &vault.ca_file {
            self.bundle(&path, file);
        }
    }

    fn stores(&mut self, document: &Document) {
        if document.replicas > 1 && document.counters.is_none() && !self.given(&Path::of(&["counters"])) {
            let message = format!(
                "{} gateways that each count alone would grant every budget {} times",
                document.replicas, document.replicas
            );
            let suggestion =
                "add `counters: {redis: redis://HOST}`, or run one replica and give it more cores";
            self.problem(&Path::of(&["replicas"]), message, suggestion);
        }
        self.store(document);
        if let JsonRecords::File(file) = &document.records.json {
            self.writable(&["records", "json"], file);
        }
    }

    /// Checks that a file can be made where it is to be.
    pub(super) fn writable(&mut self, keys: &[&str], file: &std::path::Path) {
        let path = Path::of(keys);
        if file.is_dir() {
            self.problem(&path, "this is a folder", "name a file in it");
        } else if !folder(file).is_dir() {
            self.problem(&path, "the folder of this file does not exist", "create it, or name another");
        }
    }

    fn provider(
        &mut self,
        name: &str,
        document: &ProviderDocument,
        general: &Document,
        egress: Option<&Way>,
    ) -> Option<Provider> {
        let path = Path::of(&["providers", name]);
        self.provider_name(&path, name, document);
        let kind = document.kind;
        let default_url = kinds::base_url(kind);
        if document.base_url.is_none() && default_url.is_none() && !self.given(&path.key("base_url")) {
            let message = format!("the kind {} has no public address", kind.kind);
            self.problem(&path.key("base_url"), message, "add `base_url: https://…`");
        }
        if document.api_version.is_some() && !kinds::takes_api_version(kind) {
            let message = format!("the kind {} takes no version", kind.kind);
            self.problem(&path.key("api_version"), message, "remove it; a version belongs into `base_url`");
        }
        let base_url = document.base_url.clone().or(default_url);
        let server_name = base_url.as_ref().and_then(|url| self.server_name(&path, document, url));
        self.credential(&path, document);
        self.paths(&path.key("paths"), kind, &document.paths);
        let ca_digest = document.ca_file.as_ref().and_then(|ca_file| self.bundle(&path, ca_file));
        self.http2(&path, document, base_url.as_ref());
        // Beside a plain URL it is a mistake of its own, whatever is in the files.
        let client_cert =
            document.client_cert.as_ref().filter(|_| base_url.as_ref().is_none_or(BaseUrl::is_tls));
        self.tls(&path.key("client_cert"), client_cert);
        let way = match &document.egress {
            Some(OwnEgress::Direct) => None,
            Some(OwnEgress::Through(own)) => Some(self.egress(&path.key("egress"), own)),
            None => egress.cloned(),
        };
        let egress = way.filter(|way| !way.spares(base_url.as_ref())).map(|way| way.egress);
        Some(Provider {
            name: Arc::from(name),
            kind: kind.kind,
            base_url: base_url?,
            api_key: document.api_key.clone(),
            api_version: document.api_version.clone(),
            ca_file: document.ca_file.clone(),
            ca_digest,
            client_digest: document.client_cert.as_ref().and_then(files::digest_pair),
            client_cert: document.client_cert.clone(),
            egress,
            server_name,
            headers: document.headers.iter().filter_map(header).collect(),
            models: document.models.clone().unwrap_or_else(|| kinds::models(kind)),
            paths: document.paths.clone(),
            timeouts: overlaid(&general.timeouts, &document.timeouts),
            streams: Streams { ping: document.streams.ping.unwrap_or(general.streams.ping) },
            on_client_gone: document.on_client_gone.unwrap_or(general.on_client_gone),
            client_credentials: document.client_credentials,
            ask_for_usage: document.ask_for_usage,
            realtime: document.realtime,
            http2: document.http2,
            http2_streams: document.http2_streams,
            http2_ping: document.http2_ping,
        })
    }

    /// Checks a bundle of certificates; gives the digest of what is in it.
    pub(super) fn bundle(&mut self, path: &Path, file: &std::path::Path) -> Option<[u8; 32]> {
        self.reader.files.push(file.to_owned());
        match files::check_bundle(file) {
            Ok(digest) => Some(digest),
            Err(fault) => {
                self.problem(&path.key("ca_file"), fault.message, fault.suggestion);
                None
            }
        }
    }

    /// Whether the file has something at `path`; if it was wrong, that has been said already.
    pub(super) fn given(&self, path: &Path) -> bool {
        self.root.find(path).is_some()
    }

    fn provider_name(&mut self, path: &Path, name: &str, document: &ProviderDocument) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(plain) {
            let suggestion = "lower-case letters, digits, `-` and `_`, at most 64 characters";
            self.problem(path, "not a name for a provider: it becomes a path and a label", suggestion);
        } else if NAMES_RESERVED.contains(&name) {
            let message = format!("the name {name} is the beginning of a path of the gateway");
            self.problem(path, message, "choose another name");
        } else if let Some((_, family)) = NAMES_OF_FAMILIES.iter().find(|(known, _)| *known == name)
            && !kinds::speaks(document.kind, *family)
        {
            let message =
                format!("clients reach the {name} API under /{name}, which this provider does not speak");
            self.problem(path, message, "choose another name");
        }
    }

    /// The name to verify, and whether the keys about TLS fit the URL.
    fn server_name(&mut self, path: &Path, document: &ProviderDocument, url: &BaseUrl) -> Option<String> {
        if !url.is_tls() {
            for (key, given) in [
                ("server_name", document.server_name.is_some()),
                ("ca_file", document.ca_file.is_some()),
                ("client_cert", document.client_cert.is_some()),
            ] {
                if given {
                    let message = format!("{key} has no effect on a plain http URL");
                    self.problem(&path.key(key), message, "use https in `base_url`, or remove it");
                }
            }
            return None;
        }
        if document.server_name.is_none() && url.ip().is_some() && !self.given(&path.key("server_name")) {
            let message = "an https URL with an IP address names nobody to verify";
            self.problem(
                &path.key("base_url"),
                message,
                "add `server_name:` with the name in the certificate",
            );
        }
        document.server_name.clone().or_else(|| Some(url.host().to_owned()))
    }

    /// The proxy that a group describes.
    fn egress(&mut self, path: &Path, egress: &EgressDocument) -> Way {
        let ca_digest = match &egress.ca_file {
            Some(_) if !egress.proxy.url.is_tls() => {
                let message = "ca_file has no effect on a proxy that is spoken to in plain http";
                self.problem(&path.key("ca_file"), message, "use https in `proxy`, or remove it");
                None
            }
            file => file.as_ref().and_then(|file| self.bundle(path, file)),
        };
        Way {
            egress: Egress { proxy: egress.proxy.clone(), ca_file: egress.ca_file.clone(), ca_digest },
            no_proxy: egress.no_proxy.clone(),
        }
    }

    /// Whether the keys about HTTP/2 fit the URL and each other.
    fn http2(&mut self, path: &Path, document: &ProviderDocument, url: Option<&BaseUrl>) {
        if document.http2 == Http2::Auto && url.is_some_and(|url| !url.is_tls()) {
            let suggestion = "write `prior_knowledge` if it speaks HTTP/2 in clear text, or `never`";
            self.problem(
                &path.key("http2"),
                "a plain http URL has no handshake to choose HTTP/2 in",
                suggestion,
            );
        }
        if document.http2 == Http2::Never && document.http2_ping.is_some() {
            let suggestion = "add `http2: auto` or `http2: prior_knowledge`, or remove it";
            self.problem(&path.key("http2_ping"), "http2_ping has no effect without HTTP/2", suggestion);
        }
    }

    fn credential(&mut self, path: &Path, document: &ProviderDocument) {
        let public = document.base_url.is_none() && !document.kind.key_optional;
        let passes = document.client_credentials == super::settings::ClientCredentials::Pass;
        if public && !passes && document.api_key.is_none() && !self.given(&path.key("api_key")) {
            let suggestion = "add `api_key: ${VARIABLE}` or `file:/path`, or let clients bring their own with \
                              `client_credentials: pass`";
            self.problem(path, "no credential: neither its own nor the client's", suggestion);
        }
    }
}

/// A proxy, and who is reached without it.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) egress: Egress,
    no_proxy: Vec<NoProxy>,
}

impl Way {
    /// Whether a provider there is reached without the proxy.
    pub(super) fn spares(&self, url: Option<&BaseUrl>) -> bool {
        url.is_some_and(|url| self.no_proxy.iter().any(|entry| entry.covers(url.host())))
    }
}

/// Longest name of a provider, in bytes.
const NAME_BYTES_MAX: usize = 64;

/// First segments of the gateway's own paths.
const NAMES_RESERVED: &[&str] = &["v1", "v1beta", "genai", "upload", "deployments", "admin"];

/// Names that are also prefixes of an API's paths.
const NAMES_OF_FAMILIES: &[(&str, narrows_llm::Family)] = &[
    ("openai", narrows_llm::Family::Openai),
    ("anthropic", narrows_llm::Family::Anthropic),
    ("gemini", narrows_llm::Family::Gemini),
];

/// Whether two listeners cannot both be opened.
fn collide(one: &SocketAddr, other: &SocketAddr) -> bool {
    let overlap = one.ip() == other.ip()
        || (one.ip().is_unspecified() && (one.is_ipv4() == other.is_ipv4() || one.is_ipv6()))
        || (other.ip().is_unspecified() && (one.is_ipv4() == other.is_ipv4() || other.is_ipv6()));
    one.port() != 0 && one.port() == other.port() && overlap
}

fn header((name, value): &(String, http::HeaderValue)) -> Option<(HeaderName, http::HeaderValue)> {
    HeaderName::try_from(name.to_ascii_lowercase()).ok().map(|name| (name, value.clone()))
}

fn overlaid(general: &Timeouts, own: &ProviderTimeouts) -> Timeouts {
    Timeouts {
        connect: own.connect.unwrap_or(general.connect),
        first_byte: own.first_byte.unwrap_or(general.first_byte),
        idle: own.idle.unwrap_or(general.idle),
        total: own.total.unwrap_or(general.total),
        keepalive: own.keepalive.unwrap_or(general.keepalive),
        ..general.clone()
    }
}
