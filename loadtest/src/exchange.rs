//! One exchange on a connection of its own, by a client that may leave or stop reading at any time.

use crate::response::ResponseReader;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Longest time one exchange may take before its client counts as stuck.
const LIMIT: Duration = Duration::from_secs(120);
/// Bytes read at once.
const READ_BYTES: usize = 32 << 10;
/// How long a client that reads nothing stays: longer than the time-out that has to end its exchange.
pub const STALLED: Duration = Duration::from_secs(15);
/// The receive buffer of a client that stops reading, in bytes: the kernel must not read for it.
const SMALL_BUFFER: u32 = 8 << 10;

/// When a client leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// When it has the whole answer.
    Never,
    /// After it has sent so many bytes of its request.
    AfterBytes(usize),
    /// After so many reads of the answer; 0 is right after its request.
    AfterReads(u64),
    /// It reads nothing after the head, and leaves after [`STALLED`].
    Stalled,
}

/// What the client got.
#[derive(Debug, Clone, Default)]
pub struct Got {
    /// The status; `None` if there was no head.
    pub status: Option<u16>,
    /// Value of `x-narrows-request-id`.
    pub id: Option<String>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Whether the answer came to its proper end.
    pub whole: bool,
    /// Why nothing more came, if that is not the answer's end.
    pub fault: Option<String>,
}

/// Sends `request` and reads the answer.
pub async fn exchange(address: SocketAddr, request: &[u8], leave: Leave) -> Got {
    match tokio::time::timeout(LIMIT, attempt(address, request, leave)).await {
        Ok(Ok(got)) => got,
        Ok(Err(error)) => Got { fault: Some(format!("connect: {}", error.kind())), ..Got::default() },
        Err(_elapsed) => Got { fault: Some("no end in time".to_owned()), ..Got::default() },
    }
}

async fn attempt(address: SocketAddr, request: &[u8], leave: Leave) -> std::io::Result<Got> {
    let mut stream = connect(address, leave).await?;
    let part = match leave {
        Leave::AfterBytes(bytes) => request.get(..bytes).unwrap_or(request),
        _ => request,
    };
    // A refusal may come before everything is written, and then it is what counts.
    let _refused = stream.write_all(part).await;
    if matches!(leave, Leave::AfterBytes(_)) {
        return Ok(Got::default());
    }
    let mut wire = Vec::new();
    let mut buffer = vec![0; READ_BYTES];
    let (mut reads, mut reader, mut fault) = (0, ResponseReader::default(), None);
    let mut body = Vec::new();
    while !reader.is_done() && leave != Leave::AfterReads(reads) {
        if leave == Leave::Stalled && reader.status().is_some() {
            tokio::time::sleep(STALLED).await;
            break;
        }
        match stream.read(&mut buffer).await {
            Ok(0) => {
                reader.finish();
                break;
            }
            Ok(read) => {
                let data = buffer.get(..read).unwrap_or_default();
                if reader.status().is_none() {
                    wire.extend_from_slice(data);
                }
                if let Err(error) = reader.push(data, &mut |part| body.extend_from_slice(part)) {
                    fault = Some(format!("not HTTP: {error}"));
                    break;
                }
                reads += 1;
            }
            Err(error) => {
                fault = Some(format!("read: {}", error.kind()));
                break;
            }
        }
    }
    Ok(Got { status: reader.status(), id: id(&wire), body, whole: reader.is_done(), fault })
}

async fn connect(address: SocketAddr, leave: Leave) -> std::io::Result<TcpStream> {
    let stream = if leave == Leave::Stalled {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
        socket.connect(address).await?
    } else {
        TcpStream::connect(address).await?
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// The exchange's id out of a head.
fn id(wire: &[u8]) -> Option<String> {
    let mut fields = [httparse::EMPTY_HEADER; crate::response::MAX_HEADERS];
    let mut response = httparse::Response::new(&mut fields);
    response.parse(wire).ok()?;
    let named = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case("x-narrows-request-id");
    let field = response.headers.iter().find(named)?;
    std::str::from_utf8(field.value).ok().map(str::to_owned)
}

/// A POST of JSON as it stands on the wire.
pub fn post(host: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut wire =
        format!("POST {target} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n").into_bytes();
    for (name, value) in headers {
        wire.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    wire.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    wire.extend_from_slice(body);
    wire
}
