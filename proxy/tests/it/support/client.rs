//! An HTTP/1.1 client that writes exactly the bytes it is given and tells exactly what came back.

use super::{Ask, patient};
use narrows_llm::Family;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// Anything to speak over.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Duplex for T {}

/// An answer's head.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// In order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    /// The first value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) head: Head,
    pub(crate) body: Vec<u8>,
    /// Whether the body came to its proper end.
    pub(crate) whole: bool,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.head.status
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in {:?}", self.text()))
    }

    /// The id under which the exchange is recorded.
    pub(crate) fn id(&self) -> u128 {
        let text = self.header("x-narrows-request-id").unwrap_or_else(|| panic!("no id in {:?}", self.head));
        uuid::Uuid::parse_str(text).unwrap().as_u128()
    }

    /// The machine code of a refusal, after checking that it has the family's shape and names its cause.
    pub(crate) fn code(&self, family: Family) -> String {
        let json = self.json();
        assert_eq!(self.header("content-type"), Some("application/json"), "{:?}", self.head);
        let error = &json["error"];
        assert!(error["message"].as_str().is_some_and(|message| message.len() > 10), "{json}");
        let id = self.header("x-narrows-request-id").unwrap();
        let code = match family {
            Family::Openai => {
                assert!(error["type"].is_string() && error.get("param").is_some(), "{json}");
                error["code"].clone()
            }
            Family::Anthropic => {
                assert!(json["type"] == "error" && error["type"].is_string(), "{json}");
                assert_eq!(json["request_id"], id, "{json}");
                error["code"].clone()
            }
            Family::Gemini => {
                assert_eq!(error["code"], self.status(), "{json}");
                assert!(error["status"].is_string(), "{json}");
                error["details"][0]["reason"].clone()
            }
        };
        code.as_str().unwrap_or_else(|| panic!("no code in {json}")).to_owned()
    }
}

/// A connection to the gateway.
pub(crate) struct Client {
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> Client {
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        Client::over(tcp)
    }

    pub(crate) fn over(stream: impl Duplex + 'static) -> Client {
        Client { stream: Box::new(stream), buffer: Vec::new() }
    }

    /// Writes bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        patient("the gateway to read", async {
            self.stream.write_all(bytes).await.unwrap();
            self.stream.flush().await.unwrap();
        })
        .await;
    }

    /// Writes bytes until the other side closes; a refusal may come before everything is written.
    pub(crate) async fn send_what_goes(&mut self, bytes: &[u8]) {
        // What could not be written was not wanted.
        let _refused = patient("the gateway to read", self.stream.write_all(bytes)).await;
    }

    /// Asks and reads the answer.
    pub(crate) async fn ask(&mut self, ask: &Ask) -> Answer {
        self.send(&ask.wire()).await;
        self.answer(ask.method == "HEAD").await
    }

    /// Reads a final answer.
    pub(crate) async fn answer(&mut self, to_head: bool) -> Answer {
        let head = self.head().await;
        self.rest(head, to_head).await
    }

    /// Reads one head, of whatever status.
    pub(crate) async fn head(&mut self) -> Head {
        loop {
            let mut fields = [httparse::EMPTY_HEADER; 128];
            let mut parsed = httparse::Response::new(&mut fields);
            if let httparse::Status::Complete(end) = parsed.parse(&self.buffer).unwrap() {
                let headers = parsed.headers.iter().map(|field| {
                    (field.name.to_ascii_lowercase(), String::from_utf8_lossy(field.value).into_owned())
                });
                let head = Head { status: parsed.code.unwrap(), headers: headers.collect() };
                self.buffer.drain(..end);
                return head;
            }
            assert!(
                self.fill().await > 0,
                "closed before a head; got {:?}",
                String::from_utf8_lossy(&self.buffer)
            );
        }
    }

    /// Reads what follows a head.
    pub(crate) async fn rest(&mut self, head: Head, to_head: bool) -> Answer {
        let (mut body, mut whole) = (Vec::new(), true);
        let length = head.header("content-length").map(|text| text.parse::<usize>().unwrap());
        if to_head || matches!(head.status, 204 | 304) {
        } else if head.header("transfer-encoding").is_some() {
            assert_eq!(length, None, "framed twice: {head:?}");
            loop {
                match self.chunk().await {
                    Some(chunk) if chunk.is_empty() => break,
                    Some(chunk) => body.extend_from_slice(&chunk),
                    None => {
                        whole = false;
                        break;
                    }
                }
            }
        } else if let Some(length) = length {
            while self.buffer.len() < length && self.fill().await > 0 {}
            whole = self.buffer.len() >= length;
            body = self.buffer.drain(..length.min(self.buffer.len())).collect();
        } else {
            while self.fill().await > 0 {}
            body = std::mem::take(&mut self.buffer);
        }
        Answer { head, body, whole }
    }

    /// Reads one chunk of a chunked body: empty at its end, `None` when it was cut.
    pub(crate) async fn chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let httparse::Status::Complete((line, size)) =
                httparse::parse_chunk_size(&self.buffer).unwrap()
            {
                let size = usize::try_from(size).unwrap();
                let end = line + size + 2;
                if self.buffer.len() >= end {
                    assert_eq!(&self.buffer[end - 2..end], b"\r\n");
                    let chunk = self.buffer[line..line + size].to_vec();
                    self.buffer.drain(..end);
                    return Some(chunk);
                }
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// Everything until the gateway closes the connection, as it came.
    pub(crate) async fn all(&mut self) -> Vec<u8> {
        while self.fill().await > 0 {}
        std::mem::take(&mut self.buffer)
    }

    /// Whether the gateway closes the connection, having sent nothing more.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().await == 0
    }

    /// Reads more; 0 at the end, a reset included.
    pub(crate) async fn fill(&mut self) -> usize {
        patient("the gateway to write", self.stream.read_buf(&mut self.buffer)).await.unwrap_or(0)
    }

    /// Says that nothing more will be sent.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }
}
