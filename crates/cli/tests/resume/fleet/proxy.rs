//! A cable between workers and their server, to be held and to be cut.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// How soon a change is noticed.
const TICK: Duration = Duration::from_millis(10);

/// Passes bytes on, both ways.
pub(crate) struct Proxy {
    port: u16,
    cable: Arc<Cable>,
}

#[derive(Default)]
struct Cable {
    /// Nothing goes through while this is so; nothing is lost.
    held: AtomicBool,
    /// Connections of an earlier number are cut.
    number: AtomicU64,
}

impl Proxy {
    pub(crate) fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let cable = Arc::<Cable>::default();
        let own = Arc::clone(&cable);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // A server that is away is the client's business.
                let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { continue };
                let number = own.number.load(Ordering::SeqCst);
                let ends = [(&client, &server), (&server, &client)];
                for (from, to) in ends.map(|(from, to)| (from.try_clone().unwrap(), to.try_clone().unwrap()))
                {
                    let cable = Arc::clone(&own);
                    std::thread::spawn(move || cable.pass(from, to, number));
                }
            }
        });
        Self { port, cable }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Keeps back all that is sent, for a while.
    pub(crate) fn hold(&self, time: Duration) {
        self.cable.held.store(true, Ordering::SeqCst);
        std::thread::sleep(time);
        self.cable.held.store(false, Ordering::SeqCst);
    }

    /// Ends all connections, with what is on its way.
    pub(crate) fn cut(&self) {
        self.cable.number.fetch_add(1, Ordering::SeqCst);
    }
}

impl Cable {
    fn pass(&self, mut from: TcpStream, mut to: TcpStream, number: u64) {
        from.set_read_timeout(Some(TICK)).unwrap();
        let mut buffer = [0; 16 * 1024];
        loop {
            let read = from.read(&mut buffer);
            while self.held.load(Ordering::SeqCst) && self.number.load(Ordering::SeqCst) == number {
                std::thread::sleep(TICK);
            }
            let is_over = match read {
                Ok(0) => true,
                Ok(read) => {
                    self.number.load(Ordering::SeqCst) != number || to.write_all(&buffer[..read]).is_err()
                }
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    self.number.load(Ordering::SeqCst) != number
                }
                Err(_) => true,
            };
            if is_over {
                let _ = (from.shutdown(std::net::Shutdown::Both), to.shutdown(std::net::Shutdown::Both));
                return;
            }
        }
    }
}
