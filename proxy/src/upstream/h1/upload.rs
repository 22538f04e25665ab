//! A request whose body is written while it arrives: the provider may answer before it has all of it.

use super::{H1, READ_BYTES, end_of_head};
use crate::upstream::Fault;
use crate::upstream::head::HEAD_BYTES_MAX;
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use tokio::io::{AsyncReadExt, AsyncWrite};

impl H1 {
    /// Writes `part`. False when the provider has answered: what is left of `part` is then not written.
    pub(crate) async fn write_part(&mut self, mut part: Bytes) -> Result<bool, Fault> {
        poll_fn(|cx| {
            while !part.is_empty() {
                match Pin::new(&mut self.wire).poll_write(cx, &part) {
                    Poll::Ready(Ok(0)) => return self.failed(cx, io::ErrorKind::WriteZero.into()),
                    Poll::Ready(Ok(written)) => part.advance(written),
                    Poll::Ready(Err(error)) => return self.failed(cx, error),
                    Poll::Pending => return self.poll_answer(cx).map_ok(|()| false),
                }
            }
            match Pin::new(&mut self.wire).poll_flush(cx) {
                Poll::Ready(Ok(())) => Poll::Ready(Ok(true)),
                Poll::Ready(Err(error)) => self.failed(cx, error),
                Poll::Pending => self.poll_answer(cx).map_ok(|()| false),
            }
        })
        .await
    }

    /// Resolves when the provider's final head is here, or its connection ends. Cancel safe.
    pub(crate) async fn answer_begins(&mut self) -> Result<(), Fault> {
        poll_fn(|cx| self.poll_answer(cx)).await
    }

    /// A provider that refuses a body often answers and closes: its answer counts for more than the broken pipe.
    fn failed(&mut self, cx: &mut Context<'_>, error: io::Error) -> Poll<Result<bool, Fault>> {
        match self.poll_answer(cx) {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(false)),
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(Err(Fault::Write(error))),
        }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if self.has_final_head() {
                return Poll::Ready(Ok(()));
            }
            if self.buf.len() >= HEAD_BYTES_MAX {
                let message = format!("its head is longer than {HEAD_BYTES_MAX} bytes");
                return Poll::Ready(Err(Fault::Protocol(message)));
            }
            self.buf.reserve(READ_BYTES);
            let read = pin!(self.wire.read_buf(&mut self.buf)).poll(cx);
            match read {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Err(Fault::Cut)),
                Poll::Ready(Ok(_)) => self.answered = true,
            }
        }
    }

    /// Whether a whole head is buffered that is not an interim one. Interim ones are passed over.
    fn has_final_head(&mut self) -> bool {
        while let Some(length) = end_of_head(&self.buf, &mut 0) {
            // `HTTP/1.1 1xx`
            if self.buf.get(9) != Some(&b'1') {
                return true;
            }
            self.buf.advance(length);
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Io;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (H1, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (theirs, _) = listener.accept().await.unwrap();
        (H1::new(Io::Plain(ours)), theirs)
    }

    #[tokio::test]
    async fn writing_ends_when_the_provider_answers_and_interim_heads_are_no_answer() {
        let (mut h1, mut provider) = pair().await;
        let provider = tokio::spawn(async move {
            provider.write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Proc").await.unwrap();
            let mut some = [0; 100_000];
            provider.read_exact(&mut some).await.unwrap();
            provider
                .write_all(b"essing\r\n\r\nHTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n")
                .await
                .unwrap();
            provider
        });
        let part = Bytes::from(vec![0; 64 * 1024]);
        let mut written = 0;
        // Nobody reads it all: only the answer ends this.
        while h1.write_part(part.clone()).await.unwrap() {
            written += part.len();
        }
        assert!(written >= 64 * 1024);
        assert_eq!(h1.read_head().await.unwrap().status.as_u16(), 413);
        drop(provider.await.unwrap());
    }

    #[tokio::test]
    async fn an_answer_to_a_body_that_the_provider_stopped_reading_is_not_lost() {
        let (mut h1, mut provider) = pair().await;
        let provider = tokio::spawn(async move {
            let mut some = [0; 1_000];
            provider.read_exact(&mut some).await.unwrap();
            provider.write_all(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n").await.unwrap();
            // What it has not read makes the close a reset.
        });
        // More than the buffers of both sides hold.
        let body = Bytes::from(vec![0; 32 << 20]);
        h1.send(&Bytes::from_static(b"POST / HTTP/1.1\r\n\r\n"), &[body]).await.unwrap();
        assert_eq!(h1.read_head().await.unwrap().status.as_u16(), 413);
        assert!(h1.is_done() && !h1.stays(), "a connection with half a request on it is not used again");
        provider.await.unwrap();
    }

    #[tokio::test]
    async fn a_request_that_cannot_be_written_and_has_no_answer_was_not_written() {
        let (mut h1, provider) = pair().await;
        drop(provider);
        let body = Bytes::from(vec![0; 32 << 20]);
        let sent = h1.send(&Bytes::from_static(b"POST / HTTP/1.1\r\n\r\n"), &[body]).await;
        assert!(matches!(sent, Err(Fault::Write(_))), "{sent:?}");
    }

    #[tokio::test]
    async fn a_provider_that_closes_without_an_answer_cut_the_request() {
        let (mut h1, provider) = pair().await;
        drop(provider);
        assert!(matches!(h1.answer_begins().await, Err(Fault::Cut)));
    }
}
