//! Driving connections: closed loop (send when the last answer is in) or open loop (send on time).

use crate::client::{Client, Work};
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};
use tokio::task::{JoinSet, LocalSet};

/// Most connections of one run, in connections.
pub const MAX_CONNECTIONS: usize = 100_000;
/// The timer is late by up to this much; the rest of a wait is spent polling, so that low rates measure the gateway
/// and not the timer.
const TIMER_GRAIN: Duration = Duration::from_micros(2_200);

/// How a load is driven, and when it ends.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Connections; in an open loop, the most that are used at once.
    pub connections: usize,
    /// Requests per second of an open loop; `None` for a closed one.
    pub rate: Option<f64>,
    /// No request is sent after this.
    pub duration: Duration,
    /// No more than this many requests are sent.
    pub requests: Option<u64>,
}

/// A load that runs on the current thread until its plan ends or it is dropped.
pub struct Load {
    tasks: JoinSet<()>,
}

/// Requests not sent yet, and when sending ends.
struct Tickets {
    left: Cell<u64>,
    next: Cell<u64>,
    start: Instant,
    end: Instant,
}

impl Tickets {
    fn take(&self) -> Option<u64> {
        let left = self.left.get();
        if left == 0 {
            return None;
        }
        self.left.set(left - 1);
        let number = self.next.get();
        self.next.set(number + 1);
        Some(number)
    }
}

impl Load {
    /// Starts the load on `local`.
    pub fn start(local: &LocalSet, work: &Rc<Work>, plan: Plan) -> Load {
        let start = Instant::now();
        let tickets = Rc::new(Tickets {
            left: Cell::new(plan.requests.unwrap_or(u64::MAX)),
            next: Cell::new(0),
            start,
            end: start + plan.duration,
        });
        let mut tasks = JoinSet::new();
        let connections = plan.connections.clamp(1, MAX_CONNECTIONS);
        let spread = Duration::from_millis(work.scenario.paced_ms);
        for index in 0..connections {
            let client = Client::new(Rc::clone(work), connections);
            let tickets = Rc::clone(&tickets);
            match plan.rate {
                Some(rate) => tasks.spawn_local_on(open_loop(client, tickets, rate), local),
                None => {
                    // Paced answers would otherwise all begin, and all end, at the same moment.
                    let parts = u32::try_from(connections).unwrap_or(u32::MAX);
                    let delay = spread * u32::try_from(index).unwrap_or(u32::MAX) / parts;
                    tasks.spawn_local_on(closed_loop(client, tickets, delay), local)
                }
            };
        }
        Load { tasks }
    }

    /// Waits for every connection to finish its last request.
    pub async fn finish(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }
}

async fn closed_loop(mut client: Client, tickets: Rc<Tickets>, delay: Duration) {
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    while Instant::now() < tickets.end && tickets.take().is_some() {
        client.exchange(Instant::now()).await;
    }
}

async fn open_loop(mut client: Client, tickets: Rc<Tickets>, rate: f64) {
    while let Some(number) = tickets.take() {
        let due = tickets.start + Duration::from_secs_f64(crate::stats::real(number) / rate);
        if due >= tickets.end {
            break;
        }
        let early = due.saturating_duration_since(Instant::now());
        if early > TIMER_GRAIN {
            tokio::time::sleep(early - TIMER_GRAIN).await;
        }
        while Instant::now() < due {
            tokio::task::yield_now().await;
        }
        client.exchange(due).await;
    }
}
