//! Pingora's stock proxy service as a pass-through: no authentication, no parsing, no records.
//!
//! It is the yardstick for what the gateway's own work costs. Everything is as Pingora ships it (work stealing
//! on, stock downstream modules), except the size of the pool of upstream connections: the stock 128 would make
//! it reconnect under 200 streams, which would flatter whoever is compared with it.

use async_trait::async_trait;
use clap::Parser;
use pingora_core::server::Server;
use pingora_core::server::configuration::{Opt, ServerConf};
use pingora_core::upstreams::peer::HttpPeer;
use pingora_error::Result;
use pingora_proxy::{ProxyHttp, Session, http_proxy_service};
use std::net::SocketAddr;

/// Idle upstream connections kept, in connections.
const UPSTREAM_POOL: usize = 1024;

/// A bare Pingora pass-through proxy.
#[derive(Parser)]
#[command(name = "bare-pingora", version, about)]
struct Arguments {
    /// Address to listen on.
    #[arg(long)]
    listen: SocketAddr,
    /// Address every request goes to, as plain HTTP/1.1.
    #[arg(long)]
    upstream: SocketAddr,
    /// Worker threads.
    #[arg(long, default_value_t = 1)]
    threads: usize,
}

struct Bare {
    upstream: SocketAddr,
}

#[async_trait]
impl ProxyHttp for Bare {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(&self, _session: &mut Session, _ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.upstream, false, String::new())))
    }
}

fn main() {
    let arguments = Arguments::parse();
    let conf = ServerConf {
        threads: arguments.threads,
        upstream_keepalive_pool_size: UPSTREAM_POOL,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None::<Opt>, conf);
    server.bootstrap();
    let mut proxy = http_proxy_service(&server.configuration, Bare { upstream: arguments.upstream });
    proxy.add_tcp(&arguments.listen.to_string());
    server.add_service(proxy);
    server.run_forever();
}
