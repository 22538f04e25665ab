//! The PROXY protocol: what a balancer says about the connection before the client's first byte
//! (haproxy.org/download/2.9/doc/proxy-protocol.txt, versions 1 and 2).
//!
//! Nothing after the header may be taken from the socket, because TLS comes next: the parser says how many bytes are
//! sure to belong to the header.

use crate::config::settings::ProxyProtocol;
use crate::gateway::Gateway;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;

/// Time that a balancer has for its header.
const HEADER_TIME_MAX: Duration = Duration::from_secs(5);

/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// What version 1 begins with.
const WORD: &[u8] = b"PROXY ";
/// The shortest header there is: `PROXY UNKNOWN\r\n`.
const SHORTEST: usize = 15;
/// Longest line of version 1, line end included (§2.1).
const LINE_BYTES_MAX: usize = 107;
/// Bytes of version 2 before addresses.
const FIXED_BYTES: usize = 16;
/// Most bytes of addresses and further values in a header of version 2. Balancers send some hundred.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 4096;

/// The balancers in front of a listener.
pub(crate) struct Balancers {
    settings: ProxyProtocol,
    /// Whether a refusal was logged where operators see it; the rest would be a flood.
    told: AtomicBool,
}

/// Why a connection is not from a client.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error("it is from none of proxy_protocol.from")]
    Stranger,
    #[error(transparent)]
    Header(#[from] Fault),
    #[error("the PROXY header broke off: {0}")]
    Cut(#[from] io::Error),
    #[error("no whole PROXY header came within {HEADER_TIME_MAX:?}")]
    Late(#[from] tokio::time::error::Elapsed),
}

impl Balancers {
    pub(crate) fn new(settings: ProxyProtocol) -> Balancers {
        Balancers { settings, told: AtomicBool::new(false) }
    }

    /// Reads the header of a connection from `peer`; gives the connection and whose it is. `None` for one that is
    /// refused: nothing is answered.
    pub(crate) async fn introduce(
        &self,
        mut tcp: TcpStream,
        peer: SocketAddr,
        gateway: &Gateway,
    ) -> Option<(TcpStream, SocketAddr)> {
        match self.client(&mut tcp, peer).await {
            Ok(client) => Some((tcp, client.unwrap_or(peer))),
            Err(refused) => {
                gateway.metrics.proxy_header_refused();
                if self.told.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%peer, "a connection was refused: {refused}");
                } else {
                    tracing::warn!(%peer, "a connection was refused: {refused}; further ones are counted only");
                }
                None
            }
        }
    }

    async fn client(&self, tcp: &mut TcpStream, peer: SocketAddr) -> Result<Option<SocketAddr>, Refused> {
        if !self.settings.from.iter().any(|network| network.contains(peer.ip())) {
            return Err(Refused::Stranger);
        }
        tokio::time::timeout(HEADER_TIME_MAX, read(tcp)).await?
    }
}

/// Reads a header, and nothing after it.
async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Refused> {
    let mut header = Vec::with_capacity(256);
    loop {
        match look(&header)? {
            Progress::Done(source) => return Ok(source),
            Progress::Needs(bytes) => {
                let read = (&mut *stream).take(bytes as u64).read_buf(&mut header).await?;
                if read == 0 {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
            }
        }
    }
}

/// How far a header is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// At least so many bytes follow that belong to it.
    Needs(usize),
    /// It is complete. `None` for a connection of the balancer itself, and for addresses that are none of IP.
    Done(Option<SocketAddr>),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the connection does not begin with a PROXY header")]
    Absent,
    #[error("the PROXY header is of a version or kind that is not known")]
    Unknown,
    #[error("the PROXY header is longer than {PAYLOAD_BYTES_MAX} bytes")]
    TooLong,
    #[error("the PROXY header is malformed")]
    Malformed,
}

/// Looks at what was read so far. Pure: the same bytes give the same answer, however they came.
pub(crate) fn look(bytes: &[u8]) -> Result<Progress, Fault> {
    if !begins(bytes, SIGNATURE) && !begins(bytes, WORD) {
        return Err(Fault::Absent);
    }
    if bytes.len() < SHORTEST {
        return Ok(Progress::Needs(SHORTEST - bytes.len()));
    }
    if bytes.starts_with(WORD) { version_1(bytes) } else { version_2(bytes) }
}

/// Whether one of the two begins with the other.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    bytes.starts_with(with) || with.starts_with(bytes)
}

fn version_1(bytes: &[u8]) -> Result<Progress, Fault> {
    let Some(end) = memchr::memchr(b'\n', bytes) else {
        let left = LINE_BYTES_MAX.saturating_sub(bytes.len());
        return match bytes.last() {
            _ if left == 0 => Err(Fault::TooLong),
            Some(b'\r') => Ok(Progress::Needs(1)),
            _ => Ok(Progress::Needs(left.min(2))),
        };
    };
    let line = bytes.strip_suffix(b"\r\n").filter(|line| line.len() + 1 == end).ok_or(Fault::Malformed)?;
    let line = std::str::from_utf8(line).map_err(|_utf8| Fault::Malformed)?;
    let mut words = line.split(' ').skip(1);
    let source = match words.next() {
        // What follows is to be ignored (§2.1).
        Some("UNKNOWN") => return Ok(Progress::Done(None)),
        Some("TCP4") => source::<Ipv4Addr>(&mut words),
        Some("TCP6") => source::<Ipv6Addr>(&mut words),
        _ => return Err(Fault::Unknown),
    };
    Ok(Progress::Done(Some(source.ok_or(Fault::Malformed)?)))
}

/// Source and destination, addresses before ports.
fn source<'a, A>(words: &mut impl Iterator<Item = &'a str>) -> Option<SocketAddr>
where
    A: std::str::FromStr + Into<IpAddr>,
{
    let mut address = || words.next()?.parse::<A>().ok();
    let (from, _to) = (address()?, address()?);
    let mut port = || {
        let word = words.next()?;
        word.bytes().all(|digit| digit.is_ascii_digit()).then(|| word.parse::<u16>().ok())?
    };
    let (from_port, _to_port) = (port()?, port()?);
    words.next().is_none().then(|| SocketAddr::new(from.into(), from_port))
}

fn version_2(bytes: &[u8]) -> Result<Progress, Fault> {
    let Some((fixed, payload)) = bytes.split_first_chunk::<FIXED_BYTES>() else {
        return Ok(Progress::Needs(FIXED_BYTES - bytes.len()));
    };
    let [.., command, family, high, low] = *fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Fault::Unknown),
    };
    if length > PAYLOAD_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    match length.checked_sub(payload.len()) {
        Some(0) => {}
        Some(missing) => return Ok(Progress::Needs(missing)),
        None => return Err(Fault::Malformed),
    }
    if local {
        return Ok(Progress::Done(None));
    }
    let source = match family {
        0x11 => payload.first_chunk::<12>().map(|[a, b, c, d, _, _, _, _, high, low, _, _]| {
            SocketAddr::new(IpAddr::from([*a, *b, *c, *d]), u16::from_be_bytes([*high, *low]))
        }),
        0x21 => payload.first_chunk::<36>().and_then(|addresses| {
            let from: [u8; 16] = *addresses.first_chunk()?;
            let [high, low, _, _] = *addresses.last_chunk()?;
            Some(SocketAddr::new(IpAddr::from(from), u16::from_be_bytes([high, low])))
        }),
        // Unspecified, datagrams, Unix sockets: valid, and no address of a client of ours.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => return Ok(Progress::Done(None)),
        _ => return Err(Fault::Unknown),
    };
    source.map(|source| Progress::Done(Some(source))).ok_or(Fault::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn v2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
        [SIGNATURE.as_slice(), &[command, family], &length, payload].concat()
    }

    const V4: &[u8] = &[203, 0, 113, 9, 10, 0, 0, 1, 0xc3, 0x50, 0x01, 0xbb];

    fn v6() -> Vec<u8> {
        let from: Ipv6Addr = "2001:db8::9".parse().unwrap();
        [from.octets().as_slice(), &[0; 16], &[0xc3, 0x50, 0x01, 0xbb]].concat()
    }

    fn done(source: &str) -> Result<Progress, Fault> {
        Ok(Progress::Done(Some(source.parse().unwrap())))
    }

    #[test]
    fn headers_of_both_versions_name_the_client() {
        assert_eq!(look(&v2(0x21, 0x11, V4)), done("203.0.113.9:50000"));
        assert_eq!(look(&v2(0x21, 0x21, &v6())), done("[2001:db8::9]:50000"));
        // Further values are passed over: here a unique id.
        let with_id = [V4, &[0x05, 0, 2, 1, 2]].concat();
        assert_eq!(look(&v2(0x21, 0x11, &with_id)), done("203.0.113.9:50000"));
        assert_eq!(look(b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 443\r\n"), done("203.0.113.9:50000"));
        assert_eq!(look(b"PROXY TCP6 2001:db8::9 ::1 50000 443\r\n"), done("[2001:db8::9]:50000"));
    }

    #[test]
    fn a_check_of_the_balancer_itself_has_no_client() {
        for header in [
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, V4),
            v2(0x21, 0x00, &[1, 2, 3]),
            v2(0x21, 0x31, &[0; 216]),
            v2(0x21, 0x12, V4),
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN whatever there is\r\n".to_vec(),
        ] {
            assert_eq!(look(&header), Ok(Progress::Done(None)), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_that_is_sure() {
        for (bytes, fault) in [
            (b"G".to_vec(), Fault::Absent),
            (b"PROXZ".to_vec(), Fault::Absent),
            (b"\r\n\r\nGET".to_vec(), Fault::Absent),
            (b"\x16\x03\x01".to_vec(), Fault::Absent),
            (v2(0x11, 0x11, V4), Fault::Unknown),
            (v2(0x22, 0x11, V4), Fault::Unknown),
            (v2(0x21, 0x51, V4), Fault::Unknown),
            (v2(0x21, 0x11, &V4[..11]), Fault::Malformed),
            (v2(0x21, 0x21, V4), Fault::Malformed),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 50000 443 1\r\n".to_vec(), Fault::Malformed),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 +5000 443\r\n".to_vec(), Fault::Malformed),
            (b"PROXY TCP4 203.0.113.9  10.0.0.1 5000 443\r\n".to_vec(), Fault::Malformed),
            (b"PROXY TCP4 2001:db8::9 10.0.0.1 5000 443\r\n".to_vec(), Fault::Malformed),
            (b"PROXY TCP4 203.0.113.9 10.0.0.1 5000 443\n".to_vec(), Fault::Malformed),
            (b"PROXY UDP4 203.0.113.9 10.0.0.1 5000 443\r\n".to_vec(), Fault::Unknown),
            (b"PROXY \r\nGET / H".to_vec(), Fault::Malformed),
        ] {
            assert_eq!(look(&bytes), Err(fault), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn headers_have_a_limit() {
        let mut payload = V4.to_vec();
        payload.resize(PAYLOAD_BYTES_MAX, 0);
        assert_eq!(look(&v2(0x21, 0x11, &payload)), done("203.0.113.9:50000"));
        payload.push(0);
        assert_eq!(look(&v2(0x21, 0x11, &payload)), Err(Fault::TooLong));
        let line = |length: usize| format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - 16)).into_bytes();
        assert_eq!(look(&line(LINE_BYTES_MAX)), Ok(Progress::Done(None)));
        assert_eq!(look(&line(LINE_BYTES_MAX + 2)[..LINE_BYTES_MAX]), Err(Fault::TooLong));
    }

    /// Reads as a socket would be read; gives what came of it and how many bytes were taken.
    fn read(stream: &[u8], mut pieces: impl Iterator<Item = usize>) -> (Result<Progress, Fault>, usize) {
        let mut taken = 0;
        loop {
            match look(&stream[..taken]) {
                Ok(Progress::Needs(needs)) => {
                    let more = pieces.next().unwrap_or(usize::MAX).clamp(1, needs).min(stream.len() - taken);
                    if more == 0 {
                        return (Ok(Progress::Needs(needs)), taken);
                    }
                    taken += more;
                }
                outcome => return (outcome, taken),
            }
        }
    }

    fn header() -> impl Strategy<Value = Vec<u8>> {
        let tail = prop::collection::vec(any::<u8>(), 0..64);
        let second = (0x20_u8..0x22, prop::sample::select(vec![0x00, 0x11, 0x21, 0x31]), tail).prop_map(
            |(command, family, tail)| {
                let addresses = match family {
                    0x11 => V4.to_vec(),
                    0x21 => v6(),
                    _ => Vec::new(),
                };
                v2(command, family, &[addresses, tail].concat())
            },
        );
        let first = (any::<[u8; 4]>(), any::<u16>()).prop_map(|(from, port)| {
            format!("PROXY TCP4 {} 10.0.0.1 {port} 443\r\n", Ipv4Addr::from(from)).into_bytes()
        });
        prop_oneof![second, first]
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_header_is_read_and_nothing_after_it(
            header in header(),
            after in prop::collection::vec(any::<u8>(), 0..64),
            pieces in prop::collection::vec(1_usize..20, 0..64),
        ) {
            let stream = [header.clone(), after].concat();
            let whole = look(&header);
            prop_assert!(matches!(whole, Ok(Progress::Done(_))), "{whole:?}");
            prop_assert_eq!(read(&stream, pieces.into_iter()), (whole, header.len()));
        }

        #[test]
        fn whatever_comes_is_bounded_and_never_panics(
            start in 0_usize..3,
            bytes in prop::collection::vec(any::<u8>(), 0..8000),
        ) {
            let second = v2(0x21, 0x11, &[]);
            let start: &[u8] = [&b""[..], WORD, &second[..14]][start];
            let (outcome, taken) = read(&[start, &bytes].concat(), std::iter::empty());
            prop_assert!(taken <= FIXED_BYTES + PAYLOAD_BYTES_MAX, "{outcome:?} after {taken}");
        }
    }
}
