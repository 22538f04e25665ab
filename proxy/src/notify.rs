//! Telling systemd how far the process is: the datagrams of `sd_notify(3)`, without its library.
//!
//! Source: `sd_notify(3)`, section "Description" and "Notes": assignments, one a line, in one datagram to the socket that
//! `NOTIFY_SOCKET` names; a name that begins with `@` is an abstract one, whose first byte is zero.

use std::ffi::{OsStr, OsString};
use std::io::{Error, ErrorKind};

/// The variable in which a supervisor leaves the name of its socket.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// How far the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Everything is bound and requests are served.
    Ready,
    /// Told to stop: what is open may finish.
    Stopping,
}

impl State {
    const fn message(self) -> &'static [u8] {
        match self {
            State::Ready => b"READY=1\nSTATUS=serving\n",
            State::Stopping => b"STOPPING=1\nSTATUS=stopping: open exchanges may finish\n",
        }
    }
}

/// Who started the process and waits for word; nobody unless it said so.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<OsString>,
}

impl Supervisor {
    /// The one that the environment names.
    pub(crate) fn from_environment() -> Supervisor {
        Supervisor { socket: std::env::var_os(VARIABLE).filter(|name| !name.is_empty()) }
    }

    /// Says so. A supervisor that cannot be reached is logged and hinders nothing: it has its own time-out.
    pub(crate) fn tell(&self, state: State) {
        let Some(socket) = &self.socket else { return };
        if let Err(error) = send(socket, state.message()) {
            tracing::warn!(%error, ?state, "the supervisor at {VARIABLE} could not be told");
        }
    }
}

#[cfg(target_os = "linux")]
fn send(socket: &OsStr, message: &[u8]) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let address = match socket.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
        [b'/', ..] => SocketAddr::from_pathname(socket)?,
        _ => return Err(Error::new(ErrorKind::InvalidInput, "neither a path nor an abstract name")),
    };
    let datagram = UnixDatagram::unbound()?;
    // Full is told at once: nobody waits for a supervisor that does not read.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(message, &address)?;
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn send(_: &OsStr, _: &[u8]) -> std::io::Result<()> {
    Err(Error::new(ErrorKind::Unsupported, "there is no systemd on this system"))
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    fn received(socket: &UnixDatagram) -> String {
        let mut room = [0; 256];
        let length = socket.recv(&mut room).unwrap();
        String::from_utf8(room[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_supervisor_hears_of_both_states_at_a_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let supervisor = Supervisor { socket: Some(path.into_os_string()) };
        supervisor.tell(State::Ready);
        assert!(received(&socket).starts_with("READY=1\n"));
        supervisor.tell(State::Stopping);
        assert!(received(&socket).starts_with("STOPPING=1\n"));
    }

    #[test]
    fn an_abstract_name_is_reached_too() {
        let name = format!("narrows-test-{}", getrandom::u64().unwrap());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        send(OsStr::new(&format!("@{name}")), State::Ready.message()).unwrap();
        assert!(received(&socket).starts_with("READY=1\n"));
    }

    #[test]
    fn nobody_and_somebody_gone_hinder_nothing() {
        Supervisor { socket: None }.tell(State::Ready);
        Supervisor { socket: Some("/no/such/socket".into()) }.tell(State::Ready);
        Supervisor { socket: Some("vsock:1".into()) }.tell(State::Ready);
        assert_eq!(send(OsStr::new("relative"), b"x").unwrap_err().kind(), ErrorKind::InvalidInput);
    }
}
