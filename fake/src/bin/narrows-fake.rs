//! The fake provider as a program, for load tests and for trying a gateway without a provider.

use anyhow::{Context, Result};
use clap::Parser;
use narrows_fake::{FakeConfig, FakeProvider, Knobs};
use std::io::Write;
use std::net::SocketAddr;

/// A fake model provider: OpenAI, Anthropic and Gemini on the wire.
#[derive(Parser)]
#[command(name = "narrows-fake", version, about)]
struct Arguments {
    /// Address to listen on; port 0 picks a free one. The address is printed when it listens.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Behaviour of every answer, as `name=value` pairs: `chunks=100;gap_ms=20`. A request's `x-fake` header
    /// is laid over it.
    #[arg(long, default_value = "")]
    knobs: String,
    /// The only credential to accept.
    #[arg(long)]
    require_key: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let config = FakeConfig {
        knobs: Knobs::parse(&arguments.knobs).context("--knobs")?,
        require_key: arguments.require_key,
        billed_capacity: 0,
        seen_capacity: 0,
        tls: None,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let provider = FakeProvider::start_with(arguments.listen, config)?;
        writeln!(std::io::stdout().lock(), "http://{}", provider.addr())?;
        tokio::signal::ctrl_c().await?;
        provider.shutdown().await;
        Ok(())
    })
}
