//! `narrows health`: asks a running gateway how it is, for container engines and supervisors that have no HTTP client.

use super::args::HealthArguments;
use super::{Console, Outcome};
use crate::config::duration;
use anyhow::{Context, Result, bail};
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Most bytes of an answer that are read; those of `/readyz` are some hundred.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;
/// Most bytes of a page of metrics.
const METRICS_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Status and body of a page that is served without TLS, of at most 64 MiB.
///
/// # Errors
/// When nobody answers within `patience`, or does not speak HTTP.
pub(crate) fn fetch(url: &str, patience: Duration) -> Result<(u16, String)> {
    parse(&ask_within(url, patience, METRICS_BYTES_MAX)?)
}

/// Asks, prints the body of the answer, and succeeds if it is a 200.
pub(crate) fn health(arguments: &HealthArguments, console: &mut Console<'_>) -> Result<Outcome> {
    let patience = duration(&arguments.timeout).filter(|patience| !patience.is_zero());
    let patience = patience.context("--timeout is not a time above zero; write 500ms or 2s")?;
    let answer =
        ask(&arguments.url, patience).with_context(|| format!("no answer from {}", arguments.url))?;
    let (status, body) = parse(&answer).with_context(|| format!("{} does not speak HTTP", arguments.url))?;
    if status == 200 {
        writeln!(console.out, "{}", body.trim_end())?;
        return Ok(Outcome::Fine);
    }
    writeln!(console.err, "{} answered {status}: {}", arguments.url, body.trim_end())?;
    Ok(Outcome::Failed)
}

/// Sends one request over a connection of its own and reads until the end, all within `patience`.
fn ask(url: &str, patience: Duration) -> Result<Vec<u8>> {
    ask_within(url, patience, ANSWER_BYTES_MAX)
}

fn ask_within(url: &str, patience: Duration, bytes_max: u64) -> Result<Vec<u8>> {
    let (authority, path) = split(url)?;
    let until = Instant::now() + patience;
    let left = || match until.checked_duration_since(Instant::now()) {
        Some(left) if !left.is_zero() => Ok(left),
        _ => bail!("nothing within {} ms", patience.as_millis()),
    };
    let address = authority.to_socket_addrs()?.next().context("the name has no address")?;
    let mut connection = TcpStream::connect_timeout(&address, left()?)?;
    connection.set_write_timeout(Some(left()?))?;
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {authority}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    // A deadline for every read: a peer that trickles bytes must not hold a probe.
    loop {
        connection.set_read_timeout(Some(left()?))?;
        let read = connection.read(&mut piece)?;
        answer.extend_from_slice(piece.get(..read).unwrap_or_default());
        if read == 0 {
            return Ok(answer);
        }
        if answer.len() as u64 > bytes_max {
            bail!("the answer is longer than {bytes_max} bytes");
        }
    }
}

/// Authority (with a port) and path of a plain URL.
fn split(url: &str) -> Result<(String, &str)> {
    let Some(rest) = url.strip_prefix("http://") else {
        bail!("the URL must begin with http://: health is served without TLS");
    };
    let (authority, path) = rest.find('/').map_or((rest, "/"), |slash| rest.split_at(slash));
    let port = authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    if authority.is_empty() || url.contains(|c: char| c.is_whitespace() || c.is_control()) {
        bail!("not a URL; as http://127.0.0.1:9464/readyz");
    }
    let authority = if port { authority.to_owned() } else { format!("{authority}:80") };
    Ok((authority, path))
}

/// Status and body of an answer that ended with its connection.
fn parse(answer: &[u8]) -> Result<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n").context("the head has no end")?;
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    let protocol = words.next().unwrap_or_default();
    let status = words.next().and_then(|status| status.parse().ok()).context("there is no status")?;
    if !protocol.starts_with("HTTP/1.") {
        bail!("the answer begins with {protocol:?}");
    }
    Ok((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    /// A server that answers one connection with these bytes and leaves; gives its authority.
    fn peer(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let authority = listener.local_addr().unwrap().to_string();
        let thread = std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().unwrap();
            let mut head = Vec::new();
            let mut piece = [0; 64];
            while !head.ends_with(b"\r\n\r\n") {
                let read = connection.read(&mut piece).unwrap();
                assert_ne!(read, 0);
                head.extend_from_slice(&piece[..read]);
            }
            connection.write_all(answer.as_bytes()).unwrap();
            String::from_utf8(head).unwrap()
        });
        (authority, thread)
    }

    fn run(url: &str, timeout: &str) -> (Result<Outcome>, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let arguments = HealthArguments { url: url.to_owned(), timeout: timeout.to_owned() };
        let outcome = health(&arguments, &mut Console { out: &mut out, err: &mut err });
        (outcome, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn a_200_is_well_and_its_body_is_shown() {
        let (authority, peer) = peer("HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"status\":\"ready\"}");
        let (outcome, out, err) = run(&format!("http://{authority}/readyz"), "10s");
        assert_eq!((outcome.unwrap(), &*out, &*err), (Outcome::Fine, "{\"status\":\"ready\"}\n", ""));
        let head = peer.join().unwrap();
        assert!(head.starts_with("GET /readyz HTTP/1.1\r\n"), "{head}");
        assert!(head.contains(&format!("host: {authority}\r\n")), "{head}");
    }

    #[test]
    fn any_other_status_is_not_well_and_says_why() {
        let (authority, peer) = peer("HTTP/1.1 503 Service Unavailable\r\n\r\n{\"status\":\"stopping\"}");
        let (outcome, out, err) = run(&format!("http://{authority}/readyz"), "10s");
        assert_eq!((outcome.unwrap(), &*out), (Outcome::Failed, ""));
        assert!(err.contains("answered 503: {\"status\":\"stopping\"}"), "{err}");
        peer.join().unwrap();
    }

    #[test]
    fn what_is_not_http_is_named() {
        let (authority, peer) = peer("SSH-2.0-x\r\n\r\n");
        let (outcome, _, _) = run(&format!("http://{authority}"), "10s");
        assert!(format!("{:#}", outcome.unwrap_err()).contains("does not speak HTTP"));
        peer.join().unwrap();
    }

    #[test]
    fn nobody_there_and_nobody_answering_are_errors() {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let (outcome, _, _) = run(&format!("http://{free}/readyz"), "10s");
        assert!(format!("{:#}", outcome.unwrap_err()).contains("no answer from http://"));
        // Accepts in the kernel, never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let (outcome, _, _) = run(&format!("http://{}/readyz", silent.local_addr().unwrap()), "1s");
        assert!(format!("{:#}", outcome.unwrap_err()).contains("no answer from http://"));
    }

    #[test]
    fn urls_are_split_or_refused() {
        assert_eq!(split("http://a:1/b?c").unwrap(), ("a:1".to_owned(), "/b?c"));
        assert_eq!(split("http://a").unwrap(), ("a:80".to_owned(), "/"));
        assert_eq!(split("http://[::1]:9464/readyz").unwrap(), ("[::1]:9464".to_owned(), "/readyz"));
        assert_eq!(split("http://[::1]/").unwrap(), ("[::1]:80".to_owned(), "/"));
        for wrong in ["https://a/", "a:1", "http://", "http:///x", "http://a/b\r\nx: y", "http://a b/"] {
            assert!(split(wrong).is_err(), "{wrong:?}");
        }
    }
}
