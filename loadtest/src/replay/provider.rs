//! The provider that plays recordings, cut at places that a seed chooses: in a character, between CR and LF, in the
//! line that tells a chunk's size.

use super::places;
use super::recording::Recording;
use crate::mix::Mix;
use anyhow::{Context, Result};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Largest request that is read, in bytes.
const MAX_REQUEST_BYTES: usize = 4 << 20;
/// Longest chunk and longest write, in bytes.
const MAX_PIECE: usize = 200;
/// Every so many writes wait for the network, so that the gateway sees a piece alone.
const PAUSES: u64 = 12;

/// A provider that runs on the current thread.
pub(super) struct Player {
    pub(super) address: SocketAddr,
}

impl Player {
    pub(super) async fn start(
        address: SocketAddr,
        recordings: Rc<[Rc<Recording>]>,
        seed: u64,
    ) -> Result<Player> {
        let listener =
            TcpListener::bind(address).await.with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        tokio::task::spawn_local(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let recordings = Rc::clone(&recordings);
                tokio::task::spawn_local(async move {
                    // A gateway that closes its connection ends it; there is nothing to tell.
                    let _closed = serve(stream, &recordings, seed).await;
                });
            }
        });
        Ok(Player { address })
    }
}

async fn serve(mut stream: TcpStream, recordings: &[Rc<Recording>], seed: u64) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut inbox = Vec::new();
    while let Some(request) = read(&mut stream, &mut inbox).await? {
        let Some((index, cut)) = named(&request) else {
            let body = "{\"error\":{\"message\":\"no model replay-FAMILY-RECORDING-CUT in this request\"}}";
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 404 Not Found\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(answer.as_bytes()).await?;
            continue;
        };
        let Some(recording) = recordings.get(index) else { return Ok(()) };
        let mut mix = places(seed, index, cut);
        let (wire, closes) = framed(recording, &mut mix);
        play(&mut stream, &wire, &mut mix).await?;
        if closes {
            return Ok(());
        }
    }
    Ok(())
}

/// The answer on the wire, and whether it ends with the connection.
fn framed(recording: &Recording, mix: &mut Mix) -> (Vec<u8>, bool) {
    let content_type = match (recording.streamed, recording.dialect.as_str()) {
        (true, _) => "text/event-stream; charset=utf-8",
        (false, "gemini.generate") => "application/json; charset=UTF-8",
        (false, _) => "application/json",
    };
    let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\nx-request-id: replay\r\n");
    let body = &recording.bytes;
    // A stream that lacks its end is a cut one when only its connection tells that it is over.
    let kinds = if recording.ends { 4 } else { 3 };
    match mix.below(kinds) {
        0 => ([format!("{head}content-length: {}\r\n\r\n", body.len()).as_bytes(), body].concat(), false),
        3 => ([format!("{head}connection: close\r\n\r\n").as_bytes(), body].concat(), true),
        _ => {
            let mut wire = format!("{head}transfer-encoding: chunked\r\n\r\n").into_bytes();
            let mut rest: &[u8] = body;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(piece(mix).min(rest.len()));
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
                rest = after;
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            (wire, false)
        }
    }
}

/// A length: often a byte or two, sometimes many.
fn piece(mix: &mut Mix) -> usize {
    let most = if mix.percent(40) { 3 } else { MAX_PIECE };
    1 + mix.index(most)
}

async fn play(stream: &mut TcpStream, wire: &[u8], mix: &mut Mix) -> Result<()> {
    let mut rest = wire;
    while !rest.is_empty() {
        let (part, after) = rest.split_at(piece(mix).min(rest.len()));
        stream.write_all(part).await?;
        if mix.below(PAUSES) == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        } else {
            tokio::task::yield_now().await;
        }
        rest = after;
    }
    Ok(())
}

/// Reads one request with a `content-length`; `None` at the end of the connection.
async fn read(stream: &mut TcpStream, inbox: &mut Vec<u8>) -> Result<Option<Vec<u8>>> {
    loop {
        if let Some(end) = memchr::memmem::find(inbox, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(inbox.get(..end).unwrap_or_default()).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length:")?.trim().parse::<usize>().ok());
            let total = end + 4 + length.unwrap_or(0);
            if inbox.len() >= total {
                return Ok(Some(inbox.drain(..total).collect()));
            }
        }
        anyhow::ensure!(inbox.len() <= MAX_REQUEST_BYTES, "a request is too large");
        if stream.read_buf(inbox).await? == 0 {
            return Ok(None);
        }
    }
}

/// Recording and cut that a request names.
fn named(request: &[u8]) -> Option<(usize, u64)> {
    let at = memchr::memmem::find(request, b"replay-")?;
    let word = request.get(at..)?.split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-').next()?;
    let mut parts = std::str::from_utf8(word).ok()?.split('-').skip(2);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_names_its_recording_in_path_or_body() {
        let path = b"POST /v1beta/models/replay-gemini-7-3:generateContent HTTP/1.1\r\n\r\n{}";
        assert_eq!(named(path), Some((7, 3)));
        assert_eq!(
            named(b"POST /v1/messages HTTP/1.1\r\n\r\n{\"model\":\"replay-anthropic-12-0\"}"),
            Some((12, 0))
        );
        assert_eq!(named(b"POST / HTTP/1.1\r\n\r\n{\"model\":\"other\"}"), None);
    }
}
