//! A PostgreSQL of its own for tests: in a folder that goes with it, at a socket in that folder, ended with the process.

use narrows_ledger::{Place, PostgresHost, PostgresServer};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Longest that a start may take.
const START_TIME_MAX: Duration = Duration::from_secs(120);
/// The password of its only user.
pub(crate) const PASSWORD: &str = "hunter2-and-more";

/// Removes a folder once this process is gone and the server in it has ended: a static server is never dropped.
const CLEAN_UP: &str = r#"
read -r _ended
pid=$(head -n 1 "$0/data/postmaster.pid" 2>/dev/null)
while [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
rm -rf "$0"
"#;

/// A running server.
pub(crate) struct Postgres {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    settings: Vec<String>,
    child: Mutex<Option<Child>>,
    /// Closed with this process, however it ends: see [`CLEAN_UP`].
    _process: ChildStdin,
}

/// The folder of PostgreSQL's programs. Without it tests are skipped, loudly, and fail with `CI=true`.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
pub(crate) fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<PathBuf> = debian.map(|version| version.path().join("bin")).collect();
    versions.sort();
    let found = std::env::split_paths(&path)
        .chain(versions.into_iter().rev())
        .find(|folder| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file()));
    if found.is_none() {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "PostgreSQL is not installed");
        eprintln!("SKIPPED: PostgreSQL is not installed (Debian: apt-get install postgresql)");
    }
    found
}

/// What is to be held as long as the folder is needed.
fn clean_up_after(folder: &Path) -> ChildStdin {
    // In a session of its own: who ends the test with its group leaves it alone.
    let mut command = Command::new("setsid");
    command.args(["sh", "-c", CLEAN_UP]).arg(folder).current_dir("/");
    let spawned = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    spawned.unwrap().stdin.take().unwrap()
}

impl Postgres {
    /// Starts one at a socket, if it is installed.
    pub(crate) fn start() -> Option<Postgres> {
        let server = Postgres::at(5432, Vec::new())?;
        server.run();
        Some(server)
    }

    /// One at a socket and at a port of this machine, which is not started yet: its files may be written.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn at_port() -> Option<Postgres> {
        let port = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        Postgres::at(port, vec!["listen_addresses=127.0.0.1".to_owned()])
    }

    /// One with settings, which is not started yet.
    fn at(port: u16, settings: Vec<String>) -> Option<Postgres> {
        let programs = programs()?;
        let folder = tempfile::Builder::new().prefix("npg").tempdir().unwrap();
        // It refuses to run as root: another user works in this folder then.
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
        std::fs::write(folder.path().join("password"), PASSWORD).unwrap();
        let process = clean_up_after(folder.path());
        let server =
            Postgres { folder, programs, port, settings, child: Mutex::new(None), _process: process };
        let made = server
            .program("initdb")
            .args([
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "--auth=scram-sha-256",
                "--username=narrows",
            ])
            .arg("--pwfile")
            .arg(server.path("password"))
            .arg(server.path("data"))
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        Some(server)
    }

    /// Where it listens, or what its socket is called by.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Writes a file beside its data, for nobody else's eyes.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path("data").join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        let owner = std::fs::metadata(self.path("data")).unwrap();
        std::os::unix::fs::chown(&path, Some(owner.uid()), Some(owner.gid())).unwrap();
    }

    /// From its next start on it speaks TLS with this certificate and key, both PEM.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn certify(&self, certificate: &str, key: &str) {
        self.write("server.crt", certificate);
        self.write("server.key", key);
        self.write("postgresql.auto.conf", "ssl = on\n");
    }

    /// The database as it is reached at the port, by this name of the machine.
    #[allow(dead_code, reason = "not every test needs it")]
    pub(crate) fn database_at(&self, host: &str, name: &str) -> PostgresServer {
        PostgresServer {
            host: PostgresHost::Tcp { host: host.to_owned(), port: self.port },
            ..self.database(name)
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A program of PostgreSQL's, as a user that it accepts.
    fn program(&self, name: &str) -> Command {
        let me = Command::new("id").arg("-u").output().unwrap().stdout;
        let mut command = Command::new("setpriv");
        if me.trim_ascii() == b"0" {
            command.args(["--reuid=nobody", "--regid=nogroup", "--clear-groups"]);
        }
        // It ends with the thread that starts it.
        command.args(["--pdeathsig", "QUIT"]).arg(self.programs.join(name));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts the server, and waits until it answers.
    pub(crate) fn run(&self) {
        let mut command = self.program("postgres");
        command.arg("-D").arg(self.path("data")).arg("-k").arg(self.folder.path());
        command.args(["-p", &self.port.to_string(), "-c", "fsync=off", "-c", "max_connections=100"]);
        if self.settings.is_empty() {
            command.args(["-c", "listen_addresses="]);
        }
        for setting in &self.settings {
            command.args(["-c", setting]);
        }
        let log = std::fs::File::create(self.path("log")).unwrap();
        command.stdout(Stdio::null()).stderr(log);
        let (started, child) = std::sync::mpsc::channel();
        // The thread lives as long as the process: see `--pdeathsig`.
        std::thread::spawn(move || {
            started.send(command.spawn().unwrap()).unwrap();
            loop {
                std::thread::park();
            }
        });
        *self.child.lock().unwrap() = Some(child.recv().unwrap());
        let start = Instant::now();
        while !self.answers() {
            let log = || std::fs::read_to_string(self.path("log")).unwrap_or_default();
            assert!(start.elapsed() < START_TIME_MAX, "PostgreSQL did not start: {}", log());
            std::thread::yield_now();
        }
    }

    /// Ends the server at once, as a crash would.
    pub(crate) fn kill(&self) {
        let Some(mut child) = self.child.lock().unwrap().take() else { return };
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
        child.wait().unwrap();
    }

    fn answers(&self) -> bool {
        self.psql("postgres").args(["-c", "SELECT 1"]).output().unwrap().status.success()
    }

    fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(self.programs.join("psql"));
        command.args([
            "-X",
            "-q",
            "-t",
            "-A",
            "-v",
            "ON_ERROR_STOP=1",
            "-U",
            "narrows",
            "-d",
            database,
            "-h",
        ]);
        command.arg(self.folder.path()).args(["-p", &self.port.to_string()]).env("PGPASSWORD", PASSWORD);
        command.env("PGOPTIONS", "-c search_path=narrows");
        command
    }

    /// Runs SQL by hand; what it answers.
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        let done = self.psql(database).args(["-c", sql]).output().unwrap();
        assert!(done.status.success(), "{sql}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap().trim().to_owned()
    }

    /// A database, which is made if it is not there.
    pub(crate) fn database(&self, name: &str) -> PostgresServer {
        if self.sql("postgres", &format!("SELECT 1 FROM pg_database WHERE datname = '{name}'")).is_empty() {
            self.sql("postgres", &format!("CREATE DATABASE \"{name}\""));
        }
        PostgresServer {
            host: PostgresHost::Unix { folder: self.folder.path().to_owned(), port: self.port },
            database: name.to_owned(),
            user: "narrows".to_owned(),
            password: Some(PASSWORD.into()),
            tls: None,
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The server of this process, if it is installed.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn shared() -> Option<&'static Postgres> {
    static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
    SERVER.get_or_init(Postgres::start).as_ref()
}

/// A place of its own for a folder.
#[allow(dead_code, reason = "not every test needs it")]
pub(crate) fn place(folder: &Path) -> Option<Place> {
    let name = folder.file_name().unwrap().to_str().unwrap().replace('.', "t");
    Some(shared()?.database(&name).into())
}
