//! Reading one request from a connection: head, then a body of known length or in chunks.

use crate::wire::Served;
use anyhow::{Result, bail, ensure};
use std::ops::Range;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest head, in bytes.
pub const MAX_HEAD_BYTES: usize = 256 << 10;
/// Most header lines of one request, in lines.
pub const MAX_HEADERS: usize = 128;
/// Longest request body, in bytes.
pub const MAX_REQUEST_BYTES: usize = 64 << 20;
/// Free space before a read, in bytes.
const READ_BYTES: usize = 8 << 10;

/// The head of a request, as places in the connection's buffer.
#[derive(Debug, Default, Clone)]
pub(crate) struct Head {
    /// Length of the head.
    pub(crate) end: usize,
    pub(crate) method: Range<usize>,
    pub(crate) target: Range<usize>,
    pub(crate) knobs: Range<usize>,
    pub(crate) credential: Range<usize>,
    pub(crate) anthropic: bool,
    pub(crate) close: bool,
    length: usize,
    chunked: bool,
    expects: bool,
}

/// A request in the connection's buffers.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) head: Head,
    /// Where the body is in the input buffer; `None` if it came in chunks and is in the body buffer.
    pub(crate) body: Option<Range<usize>>,
    /// Bytes of the input buffer it took.
    pub(crate) consumed: usize,
}

/// Reads a request. `None` when the client closed its connection between two requests.
pub(crate) async fn read(
    stream: &mut Served,
    input: &mut Vec<u8>,
    body: &mut Vec<u8>,
) -> Result<Option<Request>> {
    let head = loop {
        if let Some(head) = parse_head(input)? {
            break head;
        }
        ensure!(input.len() < MAX_HEAD_BYTES, "head too long");
        if fill(stream, input, READ_BYTES).await? == 0 {
            ensure!(input.is_empty(), "closed inside a head");
            return Ok(None);
        }
    };
    if head.expects {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        stream.flush().await?;
    }
    if head.chunked {
        body.clear();
        let mut at = head.end;
        while !next_chunk(input, &mut at, body)? {
            ensure!(body.len() <= MAX_REQUEST_BYTES, "body too long");
            ensure!(fill(stream, input, READ_BYTES).await? > 0, "closed inside a body");
        }
        return Ok(Some(Request { head, body: None, consumed: at }));
    }
    ensure!(head.length <= MAX_REQUEST_BYTES, "body too long");
    let end = head.end + head.length;
    while input.len() < end {
        ensure!(fill(stream, input, end - input.len()).await? > 0, "closed inside a body");
    }
    Ok(Some(Request { body: Some(head.end..end), consumed: end, head }))
}

async fn fill(stream: &mut Served, input: &mut Vec<u8>, room: usize) -> Result<usize> {
    input.reserve(room.max(READ_BYTES));
    Ok(stream.read_buf(input).await?)
}

/// The head in `input`, once it is there whole.
fn parse_head(input: &[u8]) -> Result<Option<Head>> {
    if input.is_empty() {
        return Ok(None);
    }
    let mut lines = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut lines);
    let httparse::Status::Complete(end) = request.parse(input)? else { return Ok(None) };
    let place = |part: &[u8]| {
        let from = part.as_ptr() as usize - input.as_ptr() as usize;
        from..from + part.len()
    };
    let mut head = Head {
        end,
        method: place(request.method.unwrap_or_default().as_bytes()),
        target: place(request.path.unwrap_or_default().as_bytes()),
        close: request.version == Some(0),
        ..Head::default()
    };
    for line in request.headers.iter() {
        let is = |name: &str| line.name.eq_ignore_ascii_case(name);
        match line.name.len() {
            6 if is("x-fake") => head.knobs = place(line.value),
            6 if is("expect") => head.expects = line.value.eq_ignore_ascii_case(b"100-continue"),
            7 if is("api-key") => head.credential = place(line.value),
            9 if is("x-api-key") => head.credential = place(line.value),
            10 if is("connection") => head.close = line.value.eq_ignore_ascii_case(b"close"),
            11 if is("x-pan-token") => head.credential = place(line.value),
            25 if is("ocp-apim-subscription-key") => head.credential = place(line.value),
            13 if is("authorization") => {
                let scheme = if line.value.starts_with(b"Bearer ") { 7 } else { 0 };
                head.credential = place(line.value.get(scheme..).unwrap_or_default());
            }
            14 if is("content-length") => head.length = std::str::from_utf8(line.value)?.trim().parse()?,
            14 if is("x-goog-api-key") => head.credential = place(line.value),
            17 if is("anthropic-version") => head.anthropic = true,
            17 if is("transfer-encoding") => {
                ensure!(line.value.eq_ignore_ascii_case(b"chunked"), "unknown transfer-encoding");
                head.chunked = true;
            }
            _ => {}
        }
    }
    Ok(Some(head))
}

/// Takes chunks from `input` at `at` into `body`. True once the last chunk and its trailers are taken.
fn next_chunk(input: &[u8], at: &mut usize, body: &mut Vec<u8>) -> Result<bool> {
    loop {
        let rest = input.get(*at..).unwrap_or_default();
        let (line, size) = match httparse::parse_chunk_size(rest) {
            Ok(httparse::Status::Complete(found)) => found,
            Ok(httparse::Status::Partial) => return Ok(false),
            Err(_invalid) => bail!("chunk size is not a number"),
        };
        let size = usize::try_from(size)?;
        if size == 0 {
            // Trailers are read over; they end with an empty line.
            let trailers = rest.get(line..).unwrap_or_default();
            let end = match trailers.starts_with(b"\r\n") {
                true => Some(2),
                false => memchr::memmem::find(trailers, b"\r\n\r\n").map(|found| found + 4),
            };
            let Some(end) = end else { return Ok(false) };
            *at += line + end;
            return Ok(true);
        }
        ensure!(size <= MAX_REQUEST_BYTES, "body too long");
        let Some(data) = rest.get(line..line + size + 2) else { return Ok(false) };
        ensure!(data.ends_with(b"\r\n"), "chunk without its end");
        body.extend_from_slice(&data[..size]);
        *at += line + size + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunked_bodies_read_the_same_at_every_split() {
        let wire = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nx: y\r\n\r\nnext";
        for split in 0..wire.len() {
            let (mut at, mut body) = (0, Vec::new());
            let early = next_chunk(&wire[..split], &mut at, &mut body).unwrap();
            if !early {
                // The position must not move past a last chunk whose trailers are incomplete.
                assert!(next_chunk(wire, &mut at, &mut body).unwrap(), "split {split}");
            }
            assert_eq!((body.as_slice(), &wire[at..]), (&b"hello world"[..], &b"next"[..]), "split {split}");
        }
        assert!(next_chunk(b"zz\r\n", &mut 0, &mut Vec::new()).is_err());
        assert!(next_chunk(b"2\r\nabXX", &mut 0, &mut Vec::new()).is_err());
    }

    #[test]
    fn heads_are_understood() {
        let head = parse_head(
            b"POST /v1/messages HTTP/1.1\r\nHost: a\r\nX-Api-Key: k\r\nX-Fake: chunks=2\r\nAnthropic-Version: x\r\n\
              Content-Length: 12\r\nExpect: 100-continue\r\n\r\n",
        )
        .unwrap()
        .unwrap();
        assert!(head.anthropic && head.expects && !head.close && !head.chunked);
        assert_eq!((head.length, head.knobs.len(), head.credential.len()), (12, 8, 1));
        assert!(parse_head(b"POST / HTTP/1.1\r\nHost").unwrap().is_none());
        assert!(parse_head(b"\0\0\0\0").is_err());
    }
}
