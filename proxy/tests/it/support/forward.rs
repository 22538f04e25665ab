//! A corporate proxy: it answers `CONNECT`, and notes what it was asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// The proxy.
pub(crate) struct Forward {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Forward {
    /// Starts it; `answer` is what it says to `CONNECT`. After a 2xx it is a tunnel to `target`, whatever was asked.
    pub(crate) async fn start(tls: Option<TlsAcceptor>, answer: &'static str, target: SocketAddr) -> Forward {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let noted = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, noted) = (tls.clone(), Arc::clone(&noted));
                tokio::spawn(async move {
                    match tls {
                        None => serve(tcp, answer, target, &noted).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(tcp).await {
                                serve(stream, answer, target, &noted).await;
                            }
                        }
                    }
                });
            }
        });
        Forward { address, asked, task }
    }

    /// The heads it got.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    answer: &'static str,
    target: SocketAddr,
    noted: &Mutex<Vec<String>>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let Ok(byte) = stream.read_u8().await else { return };
        head.push(byte);
    }
    noted.lock().unwrap().push(String::from_utf8(head).unwrap());
    if answer.contains(" 200") {
        let mut beyond = TcpStream::connect(target).await.unwrap();
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // Either side may end the tunnel.
        let _ended = copy_bidirectional(&mut stream, &mut beyond).await;
    } else {
        stream.write_all(answer.as_bytes()).await.unwrap();
        let _closed = stream.shutdown().await;
    }
}
