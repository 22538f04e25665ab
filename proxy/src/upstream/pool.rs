//! Connections to one provider.

use super::Fault;
use super::connect::{Connect, Offer, Wire};
use super::connection::Connection;
use super::h1::H1;
use super::h2::{Claim, Link, Options, Stream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Times that a request waits for a shared connection that others wait for too. Beyond it, it makes one of its own.
const FLIGHTS_MAX: usize = 3;

/// Most shared connections of one pool. Beyond them HTTP/1.1 is spoken where the provider may choose it, and requests are
/// refused where it may not.
const LINKS_MAX: usize = 128;

/// How long a provider is asked over HTTP/1.1 after it wanted that for a request.
const H1_TIME: Duration = Duration::from_secs(600);

/// Connections to one provider: idle ones of HTTP/1.1, used again last in, first out, so that a quiet period lets the
/// rest grow old together; and shared ones of HTTP/2, where the provider is configured for them.
pub(crate) struct Pool {
    connect: Arc<Connect>,
    idle: Mutex<Vec<Idle>>,
    idle_max: usize,
    keepalive: Duration,
    shared: Option<Arc<Shared>>,
    /// Whether another pool has taken its place: nothing is kept any more.
    retired: AtomicBool,
    /// Connections made, by this pool and those before it.
    pub(crate) opened: Arc<AtomicU64>,
    /// Times a connection was used again, likewise.
    pub(crate) reused: Arc<AtomicU64>,
}

struct Idle {
    connection: H1,
    since: Instant,
}

/// Connections that several exchanges use at a time.
struct Shared {
    options: Options,
    /// What is offered to the provider.
    offer: Offer,
    links: Mutex<Vec<Link>>,
    /// The connection being made, for all that wait for one.
    flight: Mutex<Option<watch::Receiver<Option<Landed>>>>,
    only_h1: OnlyH1,
}

/// Until when HTTP/1.1 is spoken with a provider, whatever was offered.
struct OnlyH1 {
    born: Instant,
    /// In milliseconds after `born`; 0 is never, the largest number for good.
    until_ms: AtomicU64,
}

impl OnlyH1 {
    fn new() -> OnlyH1 {
        OnlyH1 { born: Instant::now(), until_ms: AtomicU64::new(0) }
    }

    fn ms(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.born).as_millis()).unwrap_or(u64::MAX - 1)
    }

    /// The provider turned out not to speak HTTP/2.
    fn for_good(&self) {
        self.until_ms.store(u64::MAX, Ordering::Relaxed);
    }

    /// The provider wanted HTTP/1.1, for a request at least.
    fn from(&self, now: Instant) {
        self.until_ms.fetch_max(self.ms(now + H1_TIME), Ordering::Relaxed);
    }

    fn is(&self, now: impl FnOnce() -> Instant) -> bool {
        // The usual case costs one read of memory and no look at the clock.
        match self.until_ms.load(Ordering::Relaxed) {
            0 => false,
            until => until == u64::MAX || self.ms(now()) < until,
        }
    }
}

/// How making a connection for several requests went.
#[derive(Clone)]
enum Landed {
    /// There is a new link.
    Link,
    /// The provider chose HTTP/1.1; one of those that wait gets the connection.
    H1(Arc<Mutex<Option<H1>>>),
    /// It failed, for all of them.
    Failed(Arc<Fault>),
}

impl Pool {
    /// A pool that keeps at most `idle_max` connections, each for `keepalive`. With `shared` it offers HTTP/2.
    pub(crate) fn new(
        connect: Connect,
        idle_max: usize,
        keepalive: Duration,
        shared: Option<(Offer, Options)>,
    ) -> Pool {
        let shared = shared.map(|(offer, options)| {
            Arc::new(Shared {
                options,
                offer,
                links: Mutex::default(),
                flight: Mutex::default(),
                only_h1: OnlyH1::new(),
            })
        });
        Pool {
            connect: Arc::new(connect),
            idle: Mutex::new(Vec::new()),
            idle_max,
            keepalive,
            shared,
            retired: AtomicBool::new(false),
            opened: Arc::default(),
            reused: Arc::default(),
        }
    }

    /// This pool in the place of `previous`, whose counters go on.
    pub(crate) fn after(self, previous: &Pool) -> Pool {
        Pool { opened: Arc::clone(&previous.opened), reused: Arc::clone(&previous.reused), ..self }
    }

    /// Another pool has taken its place: closes what is idle and keeps nothing more. Connections in use end with
    /// their exchanges.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
        let idle = std::mem::take(&mut *self.lock());
        drop(idle);
        if let Some(shared) = &self.shared {
            let links = std::mem::take(&mut *shared.links());
            drop(links);
        }
    }

    /// A connection: an idle one that is still alive, room on a shared one, or a new one, made
    /// `within` this time.
    pub(crate) async fn get(&self, within: Duration) -> Result<Connection, Fault> {
        let shared = self.shared.as_ref().filter(|shared| !shared.only_h1.is(Instant::now));
        if let Some(claim) = shared.and_then(|shared| shared.claim()) {
            self.reused.fetch_add(u64::from(claim.is_reuse()), Ordering::Relaxed);
            return Ok(Connection::H2(Box::new(Stream::new(claim))));
        }
        if let Some(connection) = self.idle_h1() {
            return Ok(Connection::H1(connection));
        }
        // Connecting is rare and its future is large: every request would carry it.
        match shared {
            Some(shared) => Box::pin(self.wait_for_shared(shared, within)).await,
            None => Box::pin(self.connect(within)).await,
        }
    }

    /// A connection for a request that was sent over `used` and not begun, as `fault` says.
    pub(crate) async fn again(
        &self,
        used: Connection,
        fault: &Fault,
        within: Duration,
    ) -> Result<Connection, Fault> {
        let (Some(shared), Connection::H2(stream)) = (&self.shared, &used) else {
            return self.connect(within).await;
        };
        match fault {
            Fault::WantsH1 => {
                shared.only_h1.from(Instant::now());
                match self.idle_h1() {
                    Some(connection) => Ok(Connection::H1(connection)),
                    None => Ok(Connection::H1(self.connect_h1(within).await?)),
                }
            }
            // One connection may refuse what another takes. A provider that refuses everything must not be opened a
            // connection for every request.
            Fault::NotBegun(_) => match shared.claim_beside(stream.claim()) {
                Some(claim) => Ok(Connection::H2(Box::new(Stream::new(claim)))),
                None => self.connect(within).await,
            },
            _ => self.connect(within).await,
        }
    }

    /// A new connection, made `within` this time.
    async fn connect(&self, within: Duration) -> Result<Connection, Fault> {
        let Some(shared) = &self.shared else { return Ok(Connection::H1(self.connect_h1(within).await?)) };
        match shared.make(&self.connect).await? {
            Made::Link(link) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(Connection::H2(Box::new(Stream::new(shared.admit(link, true)?.ok_or(Fault::Cut)?))))
            }
            Made::H1(wire) => {
                self.opened.fetch_add(1, Ordering::Relaxed);
                Ok(Connection::H1(H1::new(wire)))
            }
        }
    }

    /// An idle connection of HTTP/1.1 that is still alive.
    fn idle_h1(&self) -> Option<H1> {
        while let Some(mut connection) = self.take_idle() {
            if connection.is_quiet() {
                self.reused.fetch_add(1, Ordering::Relaxed);
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// A new connection that speaks HTTP/1.1, whatever else the provider speaks.
    pub(crate) async fn connect_h1(&self, within: Duration) -> Result<H1, Fault> {
        let (wire, _) = self.connect.connect(Offer::H1, within).await?;
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(H1::new(wire))
    }

    /// Waits for a connection that is being made, or has one made. Many requests at once make one connection and not
    /// one each; when it fails it has failed for all of them, so that nobody waits longer than the connect time-out.
    async fn wait_for_shared(&self, shared: &Arc<Shared>, within: Duration) -> Result<Connection, Fault> {
        for _ in 0..FLIGHTS_MAX {
            let mut flight = self.board(shared);
            let landing = tokio::time::timeout(within, flight.wait_for(Option::is_some));
            let landed = match landing.await {
                Err(_elapsed) => return Err(Fault::ConnectTimeout(within)),
                Ok(Ok(landed)) => landed.clone(),
                Ok(Err(_gone)) => None,
            };
            match landed {
                Some(Landed::Failed(fault)) => return Err(Fault::Shared(fault)),
                Some(Landed::H1(first)) => {
                    let first = first.lock().unwrap_or_else(PoisonError::into_inner).take();
                    return match first {
                        Some(h1) => Ok(Connection::H1(h1)),
                        None => self.connect(within).await,
                    };
                }
                Some(Landed::Link) | None => {}
            }
            if let Some(claim) = shared.claim() {
                return Ok(Connection::H2(Box::new(Stream::new(claim))));
            }
        }
        self.connect(within).await
    }

    /// The connection being made; begins one if there is none. It is made by a task of its own: whoever asked for it
    /// may leave, and the others still get it.
    fn board(&self, shared: &Arc<Shared>) -> watch::Receiver<Option<Landed>> {
        let mut flight = shared.flight.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flight.as_ref() {
            return flight.clone();
        }
        let (land, receiver) = watch::channel(None);
        *flight = Some(receiver.clone());
        let (shared, connect, opened) =
            (Arc::clone(shared), Arc::clone(&self.connect), Arc::clone(&self.opened));
        tokio::spawn(async move {
            let landing = Landing { shared, land };
            let made = landing.shared.make(&connect).await;
            opened.fetch_add(u64::from(made.is_ok()), Ordering::Relaxed);
            let landed = match made {
                Ok(Made::Link(link)) => match landing.shared.admit(link, false) {
                    Ok(_) => Landed::Link,
                    Err(fault) => Landed::Failed(Arc::new(fault)),
                },
                Ok(Made::H1(wire)) => Landed::H1(Arc::new(Mutex::new(Some(H1::new(wire))))),
                Err(fault) => Landed::Failed(Arc::new(fault)),
            };
            landing.land.send_replace(Some(landed));
        });
        receiver
    }

    /// Keeps `connection` for later, if it can serve again and there is room.
    pub(crate) fn put(&self, connection: Connection) {
        // A stream of a shared connection gives its room back when it is dropped.
        let Connection::H1(connection) = connection else { return };
        if !connection.stays() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < self.idle_max && !self.retired.load(Ordering::Relaxed) {
            idle.push(Idle { connection, since: Instant::now() });
        }
    }

    fn take_idle(&self) -> Option<H1> {
        let newest = self.lock().pop()?;
        (newest.since.elapsed() < self.keepalive).then_some(newest.connection)
    }

    /// Drops connections that have been idle for too long or were closed by the other side. Called now and then.
    pub(crate) fn sweep(&self) {
        // Closing happens after the lock is gone: a close is a system call.
        let stale: Vec<Idle> = {
            let mut idle = self.lock();
            let keepalive = self.keepalive;
            idle.extract_if(.., |entry| entry.since.elapsed() >= keepalive || !entry.connection.is_quiet())
                .collect()
        };
        drop(stale);
        if let Some(shared) = &self.shared {
            let stale: Vec<Link> = {
                let mut links = shared.links();
                links.extract_if(.., |link| link.is_closed() || link.is_idle_for(self.keepalive)).collect()
            };
            drop(stale);
        }
    }

    /// How many connections are idle.
    pub(crate) fn idle_len(&self) -> usize {
        let shared = self.shared.as_ref();
        let links = shared.map_or(0, |shared| shared.links().iter().filter(|link| link.is_idle()).count());
        self.lock().len() + links
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Idle>> {
        // Nothing panics while it is held; a poisoned list of connections is still a list of connections.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clears the flight when its task ends, however it ends: the next request begins another.
struct Landing {
    shared: Arc<Shared>,
    land: watch::Sender<Option<Landed>>,
}

impl Drop for Landing {
    fn drop(&mut self) {
        *self.shared.flight.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// A connection that was made.
enum Made {
    Link(Link),
    H1(Wire),
}

/// Whether there may be no more of them. Those at their end do not count, and go.
fn is_full(links: &mut Vec<Link>) -> bool {
    if links.len() >= LINKS_MAX {
        links.retain(|link| !link.is_closed());
    }
    links.len() >= LINKS_MAX
}

impl Shared {
    fn links(&self) -> MutexGuard<'_, Vec<Link>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Room on a connection, the oldest that has any: so that in a quiet period the others grow old.
    fn claim(&self) -> Option<Claim> {
        self.links().iter().find_map(Link::claim)
    }

    /// Room on another connection than `used` is on, if there is.
    fn claim_beside(&self, used: &Claim) -> Option<Claim> {
        self.links().iter().filter(|link| !used.is_on(link)).find_map(Link::claim)
    }

    /// Takes a new connection in, within [`LINKS_MAX`]; with `claim` room on it is taken at once, before others come.
    fn admit(&self, link: Link, claim: bool) -> Result<Option<Claim>, Fault> {
        let mut links = self.links();
        if is_full(&mut links) {
            return Err(Fault::Full(LINKS_MAX));
        }
        let claim = if claim { link.claim() } else { None };
        links.push(link);
        Ok(claim)
    }

    /// What is offered for one more connection.
    fn offer(&self) -> Result<Offer, Fault> {
        if self.only_h1.is(Instant::now) {
            return Ok(Offer::H1);
        }
        match self.offer {
            offer if !is_full(&mut self.links()) => Ok(offer),
            // Connections that nobody shares have no such limit.
            Offer::Either | Offer::H1 => Ok(Offer::H1),
            Offer::H2 => Err(Fault::Full(LINKS_MAX)),
        }
    }

    /// Makes a connection, within the connect time-out, the proof that it speaks HTTP/2 included.
    async fn make(&self, connect: &Connect) -> Result<Made, Fault> {
        let offer = self.offer()?;
        let limit = self.options.answer_within;
        let made = async {
            let (wire, speaks_h2) = connect.connect(offer, limit).await?;
            if !speaks_h2 {
                if offer == Offer::Either {
                    self.only_h1.for_good();
                }
                return Ok(Made::H1(wire));
            }
            match Link::open(wire, &self.options).await {
                Err(Fault::WantsH1) => {
                    self.only_h1.from(Instant::now());
                    Ok(Made::H1(connect.connect(Offer::H1, limit).await?.0))
                }
                opened => opened.map(Made::Link),
            }
        };
        match tokio::time::timeout(limit, made).await {
            Ok(made) => made,
            Err(_elapsed) => Err(Fault::ConnectTimeout(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_that_wants_http_1_gets_it_for_a_time() {
        let only = OnlyH1::new();
        let now = only.born + Duration::from_secs(5);
        assert!(!only.is(|| now));
        only.from(now);
        let just = Duration::from_millis(1);
        assert!(only.is(|| now) && only.is(|| now + H1_TIME - just));
        assert!(!only.is(|| now + H1_TIME));
        only.from(now + H1_TIME);
        assert!(only.is(|| now + H1_TIME));
        only.for_good();
        only.from(now);
        assert!(only.is(|| now + 100 * H1_TIME), "one that speaks nothing else is not asked again");
    }
}
