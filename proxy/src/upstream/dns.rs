//! Names of providers to addresses, asynchronously and with the answer's own time to live.

use super::Fault;
use crate::config::settings::Dns as DnsSettings;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use std::net::IpAddr;
use std::sync::Arc;

/// Names kept resolved at once. Providers are configured, so there are few.
const NAMES_MAX: u64 = 1024;

/// The process's resolver.
#[derive(Clone)]
pub(crate) struct Dns {
    resolver: Arc<TokioResolver>,
}

impl Dns {
    /// A resolver with these settings: the system's name servers and hosts file unless servers are named.
    pub(crate) fn new(settings: &DnsSettings) -> anyhow::Result<Dns> {
        let mut builder = if settings.servers.is_empty() {
            // A machine without resolver configuration can still reach providers by address.
            TokioResolver::builder_tokio().unwrap_or_else(|_| {
                TokioResolver::builder_with_config(ResolverConfig::default(), TokioRuntimeProvider::default())
            })
        } else {
            let servers = settings.servers.iter().map(|server| {
                let mut config = NameServerConfig::udp_and_tcp(server.0.ip());
                for connection in &mut config.connections {
                    connection.port = server.0.port();
                }
                config
            });
            let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        };
        let options = builder.options_mut();
        options.positive_min_ttl = Some(settings.ttl_min);
        options.positive_max_ttl = Some(settings.ttl_max);
        options.cache_size = NAMES_MAX;
        Ok(Dns { resolver: Arc::new(builder.build()?) })
    }

    /// The addresses of `host`, at least one, in the order to try them.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, Fault> {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return Ok(vec![address]);
        }
        let fault = |cause: String| Fault::Dns { host: host.to_owned(), cause };
        let answer = self.resolver.lookup_ip(host).await.map_err(|error| fault(error.to_string()))?;
        let addresses: Vec<IpAddr> = answer.iter().collect();
        if addresses.is_empty() { Err(fault("it has no address".to_owned())) } else { Ok(addresses) }
    }
}
