//! The task that tells webhooks of alerts, and removes old ones.
//!
//! It looks when an alert was raised, when something is due, and from time to time. Each webhook is told one alert after
//! the other, all webhooks at once; one that fails is left alone for a while that grows with every failure, so that a
//! dead one costs one connection now and then, however much waits for it.

use super::pace::{Pace, backoff};
use super::sign::{DELIVERY, SIGNATURE, TIMESTAMP, signature};
use super::{Plan, Sink, now_us, since_epoch};
use crate::fetch::Ask;
use crate::gateway::Gateway;
use crate::id::uuid_v7;
use bytes::Bytes;
use futures_util::future::join_all;
use http::Method;
use narrows_ledger::{AlertInfo, DueAlert, Ledger, LedgerError, Told};
use serde_json::{Value as Json, json};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Most alerts that one webhook is told of between two looks at the store.
const BATCH: usize = 32;
/// Time for alerts to reach the store before it is looked at.
const GATHER: Duration = Duration::from_millis(100);
/// Longest time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// Shortest time between two looks.
const LOOK_SOONEST: Duration = Duration::from_millis(50);
/// How often old alerts are removed.
const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// Microseconds of a day.
const DAY_US: i64 = 86_400_000_000;

/// What is known of a webhook between looks.
#[derive(Default)]
struct Standing {
    /// Tries that failed since the last one that did not.
    failures: u32,
    /// Not before this.
    rest_until: Option<Instant>,
    pace: Pace,
}

/// Tells, until it is dropped.
pub(crate) async fn deliver(gateway: Gateway) {
    let mut standings: HashMap<Arc<str>, Standing> = HashMap::new();
    let mut pruned: Option<Instant> = None;
    loop {
        let plan = Arc::clone(&gateway.snapshot().alerts);
        if pruned.is_none_or(|pruned| pruned.elapsed() >= PRUNE_EVERY) {
            pruned = Some(Instant::now());
            prune(&gateway, &plan).await;
        }
        look(&gateway, &plan, &mut standings).await;
        let wait = wait(&gateway, &plan, &standings).await;
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = gateway.alerts.wake.notified() => tokio::time::sleep(GATHER).await,
        }
    }
}

/// Removes what is too old or too much.
async fn prune(gateway: &Gateway, plan: &Plan) {
    let days = i64::try_from(plan.keep_days).unwrap_or(i64::MAX);
    let (keep, before) = (plan.keep, now_us().saturating_sub(days.saturating_mul(DAY_US)));
    // As long as there is more; each round is one short transaction.
    while store(gateway, move |ledger| ledger.prune_alerts(keep, before)).await.is_some_and(|gone| gone > 0) {
    }
}

/// Tells every webhook what is due.
async fn look(gateway: &Gateway, plan: &Plan, standings: &mut HashMap<Arc<str>, Standing>) {
    let known: Vec<Arc<str>> = plan.sinks.iter().map(|sink| Arc::clone(&sink.name)).collect();
    standings.retain(|name, _| known.contains(name));
    let names = known.clone();
    store(gateway, move |ledger| {
        let names: Vec<&str> = names.iter().map(|name| &**name).collect();
        ledger.abandon_alerts(&names, "the configuration has no such webhook any more")
    })
    .await;
    let mut turns = Vec::new();
    for sink in &plan.sinks {
        let standing = standings.remove(&sink.name).unwrap_or_default();
        turns.push(turn(gateway, sink, plan.per_minute, standing));
    }
    let after = join_all(turns).await;
    standings.extend(known.into_iter().zip(after));
}

/// Tells one webhook what is due, until it fails.
async fn turn(gateway: &Gateway, sink: &Arc<Sink>, per_minute: usize, mut standing: Standing) -> Standing {
    if standing.rest_until.is_some_and(|until| until > Instant::now()) {
        return standing;
    }
    let name = Arc::clone(&sink.name);
    let due = store(gateway, move |ledger| ledger.due_alerts(&name, now_us(), BATCH)).await;
    let mut deferred: u32 = 0;
    for due in due.unwrap_or_default() {
        let told = match standing.pace.take(&due.alert.organization, per_minute, Instant::now()) {
            Err(wait) => {
                // One after the other, not all at the moment when the first may.
                let each = Duration::from_secs(60) / u32::try_from(per_minute).unwrap_or(u32::MAX).max(1);
                let at = micros_from_now(wait.saturating_add(each.saturating_mul(deferred)));
                deferred = deferred.saturating_add(1);
                Told::Deferred(at)
            }
            Ok(()) => try_once(gateway, sink, &due).await,
        };
        let failed = matches!(told, Told::Later(..) | Told::Failed(_));
        let delivered = told == Told::Delivered;
        let (id, severity, name) = (due.alert.id, due.alert.severity, Arc::clone(&sink.name));
        store(gateway, move |ledger| ledger.alert_told(&id, &name, severity, &told)).await;
        if delivered {
            (standing.failures, standing.rest_until) = (0, None);
        }
        if failed {
            standing.failures = standing.failures.saturating_add(1);
            standing.rest_until = Some(Instant::now() + backoff(standing.failures, chance()));
            break;
        }
    }
    standing
}

/// Tries to tell one alert.
async fn try_once(gateway: &Gateway, sink: &Sink, due: &DueAlert) -> Told {
    let cause = match post(sink, &due.alert).await {
        Ok(()) => {
            gateway.metrics.alert_delivery(&sink.name, "delivered");
            return Told::Delivered;
        }
        Err(cause) => cause,
    };
    let (id, attempt) = (due.alert.id.as_str(), due.attempts.saturating_add(1));
    let age_us = now_us().saturating_sub(due.alert.at_us.unwrap_or_default());
    if u128::from(age_us.unsigned_abs()) >= sink.give_up.as_micros() {
        gateway.metrics.alert_delivery(&sink.name, "failed");
        tracing::error!(
            webhook = &*sink.name,
            alert = id,
            attempt,
            "a webhook was not told of an alert: {cause}"
        );
        return Told::Failed(cause);
    }
    gateway.metrics.alert_delivery(&sink.name, "retried");
    tracing::warn!(
        webhook = &*sink.name,
        alert = id,
        attempt,
        "a webhook could not be told of an alert: {cause}"
    );
    Told::Later(cause, micros_from_now(backoff(attempt, chance())))
}

/// One signed `POST`. The error says why it was not taken, and holds no secret.
async fn post(sink: &Sink, alert: &AlertInfo) -> Result<(), String> {
    let body = Bytes::from(payload(alert).to_string());
    let timestamp = since_epoch().as_secs().to_string();
    let signature = signature(sink.secret.reveal(), &timestamp, &body);
    let bearer = sink.token.as_ref().map(|token| format!("Bearer {}", token.reveal()));
    let mut headers: Vec<(&'static str, &str)> =
        vec![(TIMESTAMP, &timestamp), (SIGNATURE, &signature), (DELIVERY, &alert.id)];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    let ask =
        Ask { method: Method::POST, path: "", headers: &headers, body: Some(body), limit: sink.timeout };
    match sink.origin.send(ask).await {
        Ok(answer) if answer.status.is_success() => Ok(()),
        // Not even a redirect is followed: it would be a second address that nobody has written down.
        Ok(answer) => Err(format!("it answered with status {}", answer.status.as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

/// What a webhook is told: the alert as the administration API shows it, less who else is told.
pub(super) fn payload(alert: &AlertInfo) -> Json {
    let mut alert = json!(alert);
    if let Some(object) = alert.as_object_mut() {
        object.remove("delivery");
        object.remove("deliveries");
    }
    json!({"type": "alert", "version": 1, "alert": alert})
}

/// How long to sleep, and what waits, for the metrics.
async fn wait(gateway: &Gateway, plan: &Plan, standings: &HashMap<Arc<str>, Standing>) -> Duration {
    let Some(backlog) = store(gateway, Ledger::alert_backlog).await else { return LOOK_EVERY };
    gateway.alerts.note(backlog);
    if gateway.ledger.alert_stats().waiting > 0 {
        return GATHER;
    }
    let due_us = backlog.next_try_us.map_or(i64::MAX, |at| at.saturating_sub(now_us()).max(0));
    let due = Duration::from_micros(due_us.unsigned_abs());
    // What is due for a webhook that rests waits for it; another may have something due all the same.
    let resting = |sink: &Arc<Sink>| standings.get(&sink.name).and_then(|standing| standing.rest_until);
    let now = Instant::now();
    let rests = plan
        .sinks
        .iter()
        .map(|sink| resting(sink).map_or(Duration::ZERO, |until| until.saturating_duration_since(now)));
    due.max(rests.min().unwrap_or_default()).clamp(LOOK_SOONEST, LOOK_EVERY)
}

fn micros_from_now(wait: Duration) -> i64 {
    now_us().saturating_add(i64::try_from(wait.as_micros()).unwrap_or(i64::MAX))
}

/// A number by chance; it need not be a secret.
fn chance() -> u32 {
    u32::try_from(uuid_v7(Duration::ZERO) & u128::from(u32::MAX)).unwrap_or(0)
}

/// Asks the store on a thread that may wait for the disk. A failure is written to the log, and looked at again later.
async fn store<T: Send + 'static>(
    gateway: &Gateway,
    work: impl FnOnce(&Ledger) -> Result<T, LedgerError> + Send + 'static,
) -> Option<T> {
    let gateway = gateway.clone();
    match tokio::task::spawn_blocking(move || work(&gateway.ledger)).await {
        Ok(Ok(done)) => Some(done),
        Ok(Err(error)) => {
            tracing::error!("alerts could not be read from or written to the store: {error}");
            None
        }
        Err(error) => {
            tracing::error!("the delivery of alerts failed: {error}");
            None
        }
    }
}
