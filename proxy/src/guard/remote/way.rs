//! One call to a guardrail, over connections that are kept.

use super::{Failure, Idle};
use crate::config::settings::External;
use crate::config::url::BaseUrl;
use crate::exchange::coding;
use crate::upstream::Fault;
use crate::upstream::connect::Connect;
use crate::upstream::connection::Connection;
use crate::upstream::dns::Dns;
use crate::upstream::head::{Coding, Head};
use crate::upstream::pool::Pool;
use bytes::{Bytes, BytesMut};
use narrows_guard::remote::{MAX_ANSWER_BYTES, RemoteError};
use std::time::{Duration, Instant};

/// The way to one address of a guardrail.
pub(super) struct Way {
    pub(super) pool: Pool,
    /// The value of the `host` header.
    pub(super) authority: String,
    /// What stands before every path.
    pub(super) prefix: String,
    /// Longest time to connect: the guardrail's own deadline.
    connect_within: Duration,
}

/// A whole answer.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl Way {
    pub(super) fn new(external: &External, url: &BaseUrl, dns: Dns, idle: Idle) -> anyhow::Result<Way> {
        let connect = Connect::to_guardrail(external, url, dns)?;
        Ok(Way {
            pool: Pool::new(connect, idle.most, idle.time, None),
            authority: url.authority(),
            prefix: url.path().to_owned(),
            connect_within: external.timeout,
        })
    }

    /// Sends a call and reads its whole answer. A connection that turns out to have been closed while it was idle is
    /// replaced once. Dropped in the middle, the connection is closed.
    pub(super) async fn send(&self, head: &Bytes, body: &Bytes) -> Result<Answer, Failure> {
        let mut connection = self.pool.get(self.connect_within).await?;
        let head = match exchange(&mut connection, head, body).await {
            Ok(head) => head,
            Err((fault, had)) if connection.may_repeat(&fault, had) => {
                connection = self.pool.again(connection, &fault, self.connect_within).await?;
                exchange(&mut connection, head, body).await.map_err(|(fault, _)| fault)?
            }
            Err((fault, _)) => return Err(fault.into()),
        };
        let body = whole(&mut connection).await?;
        self.pool.put(connection);
        Ok(Answer { status: head.status.as_u16(), body: decoded(head.coding, body)? })
    }
}

/// Sends a request and reads the head of its answer; else the fault, and how long the guardrail had all of the request.
async fn exchange(
    connection: &mut Connection,
    head: &Bytes,
    body: &Bytes,
) -> Result<Head, (Fault, Option<Duration>)> {
    connection.send(head, std::slice::from_ref(body)).await.map_err(|fault| (fault, None))?;
    let sent = Instant::now();
    connection.read_head().await.map_err(|fault| (fault, Some(sent.elapsed())))
}

/// The whole body, which is no longer than any verdict.
async fn whole(connection: &mut Connection) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(part) = connection.read_body().await? {
        let got = first.len() + joined.len() + part.len();
        if got > MAX_ANSWER_BYTES {
            return Err(RemoteError::TooLong { got, limit: MAX_ANSWER_BYTES }.into());
        }
        // Most answers come in one part.
        if first.is_empty() && joined.is_empty() {
            first = part;
        } else {
            joined.extend_from_slice(&std::mem::take(&mut first));
            joined.extend_from_slice(&part);
        }
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

fn decoded(of: Coding, body: Bytes) -> Result<Bytes, Failure> {
    match of {
        Coding::Identity => Ok(body),
        // It was not asked for, and some compress all the same.
        of => coding::decode_answer(of, &body, MAX_ANSWER_BYTES)
            .map(Bytes::from)
            .map_err(|_fault| Failure::Coding),
    }
}
