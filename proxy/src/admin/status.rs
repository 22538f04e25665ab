//! How the gateway is doing, on one page.

use super::api::Who;
use super::{Context, config, health};
use axum::extract::State;
use axum::{Extension, Json};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// All of it for a token of every organization; for one of a single organization what concerns that one.
pub(super) async fn status(State(context): State<Arc<Context>>, Extension(actor): Who) -> Json<Value> {
    Json(match actor.organization() {
        None => whole(&context),
        Some(organization) => part(&context, organization),
    })
}

fn part(context: &Context, organization: &str) -> Value {
    let gateway = &context.gateway;
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "snapshot": format!("{:016x}", gateway.snapshot().hash),
        "now": narrows_ledger::time(jiff::Timestamp::now().as_microsecond()),
        "uptime_seconds": context.started.elapsed().as_secs(),
        "stopping": gateway.is_leaving(),
        "degraded": health::degraded(gateway),
        "organization": organization,
        "virtual_keys": gateway.ledger.keys().count_of(organization),
    })
}

fn whole(context: &Context) -> Value {
    let gateway = &context.gateway;
    let snapshot = gateway.snapshot();
    let ledger = gateway.ledger.stats();
    let providers = snapshot.providers().iter().map(|provider| {
        let pool = &provider.pool;
        json!({
            "name": &*provider.name,
            "kind": provider.kind.kind,
            "credentials": {
                "count": provider.credentials.len(),
                "aside": provider.credentials.aside(),
                "refusals": provider.credentials.refusals(),
            },
            "connections": {
                "opened": pool.opened.load(Ordering::Relaxed),
                "reused": pool.reused.load(Ordering::Relaxed),
                "idle": pool.idle_len(),
            },
        })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "snapshot": format!("{:016x}", snapshot.hash),
        "configuration": config::view(context),
        "now": narrows_ledger::time(jiff::Timestamp::now().as_microsecond()),
        "uptime_seconds": context.started.elapsed().as_secs(),
        "stopping": gateway.is_leaving(),
        "degraded": health::degraded(gateway),
        "exchanges_in_flight": gateway.exchanges_open(),
        "exchanges_limit": snapshot.limits.exchanges,
        "overload": {
            "scheduling_delay_seconds": gateway.overload.delay().as_secs_f64(),
            "shed_ratio": f64::from(gateway.overload.shed()) / 1000.0,
        },
        "buffered_bytes": gateway.buffers.used(),
        "buffered_bytes_limit": snapshot.limits.buffered_bodies,
        "listeners": {
            "metrics": context.metrics.to_string(),
            "admin": context.admin.map(|address| address.to_string()),
        },
        "credentials_stale": gateway.credentials.stale(),
        "providers": providers.collect::<Vec<_>>(),
        "virtual_keys": gateway.ledger.keys().len(),
        "store": {
            "path": gateway.ledger.place().to_string(),
            "queue_depth": ledger.queue_depth,
            "queue_limit": ledger.queue_limit,
            "written": ledger.written,
            "overflowed": ledger.overflowed,
            "failed_batches": ledger.failed_batches,
            "json_errors": ledger.json_errors,
            "failing": ledger.failing,
            "last_error": ledger.last_error,
        },
    })
}
