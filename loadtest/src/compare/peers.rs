//! The proxies that are compared: starting, readiness, stopping.

use super::narrows;
use crate::tls::{Identity, SERVER_NAME};
use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for a proxy to listen.
const READY_LIMIT: Duration = Duration::from_secs(30);
/// Longest wait for a proxy to end before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// Who is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(super) enum Peer {
    /// No proxy at all.
    Direct,
    /// Pingora's stock proxy passing bytes through.
    Bare,
    /// nginx: credential replaced, connections reused, answers unbuffered, no log.
    Nginx,
    /// The gateway, everything on but detectors and limits.
    Narrows,
    /// The gateway with its default policies: every detector that is on by default looks at every request and answer.
    Guarded,
    /// The gateway with budgets in money and in tokens, and with rate limits, all of them wide.
    Limited,
    /// The gateway with both.
    Full,
}

impl Peer {
    /// Whether the gateway looks for what its default policies name.
    pub(super) fn detects(self) -> bool {
        matches!(self, Peer::Guarded | Peer::Full)
    }

    /// Whether the gateway has budgets and rate limits.
    pub(super) fn limits(self) -> bool {
        matches!(self, Peer::Limited | Peer::Full)
    }

    /// Its name in reports.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Peer::Direct => "direct",
            Peer::Bare => "bare",
            Peer::Nginx => "nginx",
            Peer::Narrows => "narrows",
            Peer::Guarded => "guarded",
            Peer::Limited => "limited",
            Peer::Full => "full",
        }
    }
}

/// Where the fake provider listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Provider {
    /// In clear text.
    pub plain: SocketAddr,
    /// Under TLS.
    pub tls: SocketAddr,
}

/// Programs to start.
#[derive(Debug, Clone)]
pub(super) struct Programs {
    /// The bare Pingora proxy.
    pub bare: PathBuf,
    /// nginx.
    pub nginx: PathBuf,
    /// The gateway.
    pub narrows: Option<PathBuf>,
    /// The gateway runs under callgrind, not counting yet, which writes to this file.
    pub counts: Option<PathBuf>,
    /// The core proxies run on.
    pub core: usize,
    /// The core of everybody else.
    pub own_core: usize,
}

/// A proxy that is up.
#[derive(Debug)]
pub(super) struct Running {
    /// Which one.
    pub peer: Peer,
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it listens under TLS, towards a provider under TLS; `None` if it is not measured so.
    pub secured: Option<SocketAddr>,
    /// The credential it wants.
    pub key: Option<String>,
    process: Option<Process>,
}

impl Running {
    /// Its process, if it has one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(|process| process.child.id())
    }
}

/// A child process that ends with its owner.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a program on the proxies' core.
    pub(super) fn start(command: Command, programs: &Programs, log: &Path) -> Result<Process> {
        // A child inherits the core of the thread that starts it.
        crate::machine::pin(programs.core)?;
        let process = Process::of(command, log);
        crate::machine::pin(programs.own_core)?;
        process
    }

    /// Starts a program on whatever core; what it prints goes to `log`.
    pub(crate) fn of(mut command: Command, log: &Path) -> Result<Process> {
        let log = std::fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().with_context(|| format!("cannot start {:?}", command.get_program()))?;
        Ok(Process { child })
    }

    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(super) fn has_ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(pid) = i32::try_from(self.child.id()) {
            // It may have ended by itself.
            let _gone = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        let start = Instant::now();
        while !self.has_ended() && start.elapsed() < STOP_LIMIT {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// A port nobody listens on.
pub(crate) fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// Starts a proxy in front of `provider`, with its files in `folder`.
///
/// # Errors
/// It is not installed, ends at once or does not listen in time; its log's end is in the message.
pub(super) fn start(
    peer: Peer,
    provider: Provider,
    folder: &Path,
    programs: &Programs,
    identity: &Identity,
) -> Result<Running> {
    if peer == Peer::Direct {
        let key = Some("sk-fake-upstream".to_owned());
        return Ok(Running {
            peer,
            address: provider.plain,
            secured: Some(provider.tls),
            key,
            process: None,
        });
    }
    let folder = folder.join(peer.as_str());
    std::fs::create_dir_all(&folder)?;
    let (address, secured) = (free_address()?, free_address()?);
    let log = folder.join("log.txt");
    let command = match peer {
        Peer::Bare => {
            let mut command = Command::new(&programs.bare);
            command.args([
                "--listen",
                &address.to_string(),
                "--upstream",
                &provider.plain.to_string(),
                "--threads",
                "1",
            ]);
            command
        }
        Peer::Nginx => {
            let file = folder.join("nginx.conf");
            std::fs::write(&file, nginx_config([address, secured], provider, &folder, identity))?;
            let mut command = Command::new(&programs.nginx);
            command.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&file);
            command
        }
        Peer::Direct | Peer::Narrows | Peer::Guarded | Peer::Limited | Peer::Full => {
            return narrows::start(peer, provider, [address, secured], &folder, programs, identity);
        }
    };
    let mut process = Process::start(command, programs, &log)?;
    wait_ready(&mut process, &log, || TcpStream::connect(address).is_ok())?;
    let secured = (peer == Peer::Nginx).then_some(secured);
    Ok(Running { peer, address, secured, key: Some("sk-client".to_owned()), process: Some(process) })
}

pub(super) fn running(
    peer: Peer,
    [address, secured]: [SocketAddr; 2],
    key: String,
    process: Process,
) -> Running {
    let secured = Some(secured);
    Running { peer, address, secured, key: Some(key), process: Some(process) }
}

/// Waits until `ready` holds.
pub(crate) fn wait_ready(process: &mut Process, log: &Path, ready: impl Fn() -> bool) -> Result<()> {
    let start = Instant::now();
    while !ready() {
        if process.has_ended() || start.elapsed() > READY_LIMIT {
            let text = std::fs::read_to_string(log).unwrap_or_default();
            let skip = text.lines().count().saturating_sub(20);
            let tail: Vec<&str> = text.lines().skip(skip).collect();
            bail!("it did not start:\n{}", tail.join("\n"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// nginx as the floor: one worker, reused connections both sides, the credential replaced, nothing logged, nothing
/// written to disk, answers passed on as they come. A second server does the same with TLS on both sides.
fn nginx_config(
    [plain, secured]: [SocketAddr; 2],
    provider: Provider,
    folder: &Path,
    identity: &Identity,
) -> String {
    let folder = folder.display();
    let upstream = |name: &str, address: SocketAddr| {
        format!(
            "  upstream {name} {{\n    server {address};\n    keepalive 1024;\n    \
             keepalive_requests 1000000000;\n    keepalive_timeout 600s;\n  }}\n"
        )
    };
    let server = |listen: &str, tls: &str, url: &str| {
        format!(
            "  server {{\n    listen {listen} backlog=8192;\n{tls}    location / {{\n      \
             proxy_pass {url};\n      proxy_http_version 1.1;\n      proxy_set_header Connection \"\";\n      \
             proxy_set_header Authorization \"Bearer sk-fake-upstream\";\n      proxy_buffering off;\n      \
             proxy_read_timeout 600s;\n    }}\n  }}\n"
        )
    };
    // The provider's certificate is verified, as the gateway verifies it.
    let tls = format!(
        "    ssl_certificate {};\n    ssl_certificate_key {};\n    ssl_protocols TLSv1.2 TLSv1.3;\n    \
         ssl_session_cache shared:tls:8m;\n    proxy_ssl_verify on;\n    proxy_ssl_trusted_certificate {};\n    \
         proxy_ssl_name {SERVER_NAME};\n    proxy_ssl_server_name on;\n    proxy_ssl_protocols TLSv1.2 TLSv1.3;\n",
        identity.certificate.display(),
        identity.key.display(),
        identity.authority.display(),
    );
    [
        format!(
            "daemon off;\nworker_processes 1;\npid {folder}/nginx.pid;\nerror_log {folder}/error.log crit;\n\
             worker_rlimit_nofile 65536;\nevents {{ worker_connections 32768; }}\nhttp {{\n  access_log off;\n  \
             client_body_buffer_size 4m;\n  client_max_body_size 64m;\n  keepalive_requests 1000000000;\n  \
             keepalive_timeout 600s;\n  client_body_temp_path {folder}/t1;\n  proxy_temp_path {folder}/t2;\n  \
             fastcgi_temp_path {folder}/t3;\n  uwsgi_temp_path {folder}/t4;\n  scgi_temp_path {folder}/t5;\n"
        ),
        upstream("fake", provider.plain),
        upstream("secured", provider.tls),
        server(&plain.to_string(), "", "http://fake"),
        server(&format!("{secured} ssl"), &tls, "https://secured"),
        "}\n".to_owned(),
    ]
    .concat()
}
