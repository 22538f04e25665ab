//! A Redis of a test's own, in a temporary folder.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// A running `redis-server`, reached over a socket in its folder.
pub(crate) struct Redis {
    dir: TempDir,
    child: Option<Child>,
    /// More words on its command line.
    more: Vec<String>,
}

impl Redis {
    /// Starts one; `None`, loudly, on a machine without Redis. In CI that fails.
    pub(crate) fn start() -> Option<Redis> {
        Redis::start_with(|_| Vec::new())
    }

    /// Starts one with more words on its command line, which may name files that were written into its folder.
    #[allow(
        clippy::print_stderr,
        reason = "who runs tests has to see it; unit tests, which share this, may print"
    )]
    pub(crate) fn start_with(more: impl FnOnce(&Path) -> Vec<String>) -> Option<Redis> {
        let there = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
        if !there.is_ok_and(|status| status.success()) {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "redis-server is not installed");
            eprintln!("SKIPPED: redis-server is not installed; Debian: apt-get install redis-server");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let more = more(dir.path());
        let mut redis = Redis { dir, child: None, more };
        redis.again();
        Some(redis)
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    /// Its address, as a configuration has it.
    pub(crate) fn url(&self) -> String {
        format!("unix:{}", self.socket().display())
    }

    /// Starts it: as it was when it was last told to save, or empty.
    pub(crate) fn again(&mut self) {
        let mut child = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(self.socket())
            .arg("--dir")
            .arg(self.dir.path())
            .args(&self.more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready =
            lines.by_ref().map_while(Result::ok).any(|line| line.contains("eady to accept connections"));
        assert!(ready, "redis-server ended");
        // It must never wait for a reader of its log.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        self.child = Some(child);
    }

    /// Ends as it stands.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends it a signal, by its name less `SIG`.
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.as_ref().unwrap().id();
        let sent = Command::new("sh").arg("-c").arg(format!("kill -{name} {id}")).status().unwrap();
        assert!(sent.success());
    }

    /// Sends a command, and gives what it answers as it stands on the wire.
    pub(crate) fn ask(&self, words: &[&str]) -> String {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        let mut text = format!("*{}\r\n", words.len());
        for word in words {
            text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        text.push_str("*1\r\n$4\r\nQUIT\r\n");
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.strip_suffix("+OK\r\n").unwrap_or(&answer).to_owned()
    }

    /// How often scripts were called.
    pub(crate) fn calls(&self) -> u64 {
        let stats = self.ask(&["INFO", "commandstats"]);
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.kill();
    }
}
