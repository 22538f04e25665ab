//! A provider that answers with the very bytes it was given, for what no well-behaved one would send.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What happens after one request was read.
#[derive(Debug, Clone)]
pub(crate) enum Act {
    /// These bytes are written.
    Say(Vec<u8>),
    /// These bytes are written and the connection is closed.
    SayAndClose(Vec<u8>),
    /// These bytes are written, and nothing more until the other side closes.
    SayAndHold(Vec<u8>),
    /// The connection is reset.
    Reset,
    /// Nothing is ever said; the connection stays open.
    Hold,
}

impl Act {
    /// An answer of JSON with this status and these further header lines.
    pub(crate) fn json(status: u16, lines: &str, body: &str) -> Act {
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n{lines}content-length: {length}\r\n\r\n{body}"
        );
        Act::Say(head.into_bytes())
    }
}

/// A scripted provider. Each request takes the next act; the last one is for all that follow.
pub(crate) struct Scripted {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    acts: Mutex<Vec<Act>>,
    requests: Mutex<Vec<Vec<u8>>>,
    connections: Mutex<usize>,
}

impl Scripted {
    /// Starts it on the current runtime.
    pub(crate) async fn start(acts: Vec<Act>) -> Scripted {
        Scripted::start_tls(acts, None).await
    }

    /// Starts it with TLS.
    pub(crate) async fn start_tls(acts: Vec<Act>, tls: Option<TlsAcceptor>) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acts = acts.into_iter().rev().collect();
        let shared = Arc::new(Shared {
            acts: Mutex::new(acts),
            requests: Mutex::default(),
            connections: Mutex::default(),
        });
        let task = tokio::spawn(accept(listener, tls, Arc::clone(&shared)));
        Scripted { address, shared, task }
    }

    /// The requests so far, head and body.
    pub(crate) fn requests(&self) -> Vec<String> {
        let requests = self.shared.requests.lock().unwrap();
        requests.iter().map(|request| String::from_utf8_lossy(request).into_owned()).collect()
    }

    /// From now on every request is answered so.
    pub(crate) fn answer_with(&self, act: Act) {
        *self.shared.acts.lock().unwrap() = vec![act];
    }

    /// Connections accepted so far.
    pub(crate) fn connections(&self) -> usize {
        *self.shared.connections.lock().unwrap()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, shared: Arc<Shared>) {
    loop {
        let Ok((tcp, _peer)) = listener.accept().await else { return };
        tcp.set_nodelay(true).unwrap();
        let (tls, shared) = (tls.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            *shared.connections.lock().unwrap() += 1;
            match tls {
                None => {
                    if let Some(tcp) = serve(tcp, &shared).await {
                        tcp.set_zero_linger().unwrap();
                    }
                }
                Some(tls) => {
                    // A client that does not trust us leaves; that is its right.
                    if let Ok(stream) = tls.accept(tcp).await {
                        drop(serve(stream, &shared).await);
                    }
                }
            }
        });
    }
}

/// Serves until the end. Gives the stream back to be reset.
async fn serve<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, shared: &Shared) -> Option<S> {
    let mut buffer = Vec::new();
    while read(&mut stream, &mut buffer, shared).await {
        let act = {
            let mut acts = shared.acts.lock().unwrap();
            if acts.len() > 1 { acts.pop() } else { acts.last().cloned() }
        };
        match act.unwrap() {
            Act::Say(bytes) => stream.write_all(&bytes).await.ok()?,
            Act::SayAndClose(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.shutdown().await.ok()?;
                return None;
            }
            Act::SayAndHold(bytes) => {
                stream.write_all(&bytes).await.ok()?;
                stream.flush().await.ok()?;
                // Nothing more is asked of it; this ends when the connection does.
                while !matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_)) {}
                return None;
            }
            Act::Reset => return Some(stream),
            Act::Hold => std::future::pending().await,
        }
        stream.flush().await.ok()?;
    }
    None
}

/// Reads one request with a `content-length`. False at the end.
async fn read<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>, shared: &Shared) -> bool {
    loop {
        if let Some(end) = memchr::memmem::find(buffer, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let total = end + 4 + length.map_or(0, |text| text.trim().parse::<usize>().unwrap());
            if buffer.len() >= total {
                shared.requests.lock().unwrap().push(buffer.drain(..total).collect());
                return true;
            }
        }
        match stream.read_buf(buffer).await {
            Ok(1..) => {}
            _ => return false,
        }
    }
}
