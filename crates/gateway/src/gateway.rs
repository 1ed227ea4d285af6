//! The server, and who may ask it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use promptopt_core::program::CallContext;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::Component;
use crate::listener;
use crate::models::Models;
use crate::session::{Session, Shared};
use crate::template::Replacement;

/// An HTTP server on the loopback interface, through which programs call language models. It lives until it is dropped.
pub struct Gateway {
    /// Host and port, as programs are told them.
    address: String,
    sessions: Arc<Sessions>,
    task: JoinHandle<()>,
}

/// Those who may ask, by their keys.
#[derive(Default)]
pub(crate) struct Sessions(Mutex<HashMap<String, Arc<Shared>>>);

impl Sessions {
    pub(crate) fn find(&self, token: &str) -> Option<Arc<Shared>> {
        self.with(|sessions| sessions.get(token).cloned())
    }

    pub(crate) fn close(&self, token: &str) {
        self.with(|sessions| sessions.remove(token));
    }

    fn with<T>(&self, work: impl FnOnce(&mut HashMap<String, Arc<Shared>>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Gateway {
    /// Starts to listen at a free port of the loopback interface.
    ///
    /// # Errors
    ///
    /// Where no port can be bound.
    pub async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?.to_string();
        Ok(Self::serve(listener, address))
    }

    /// Starts to listen at an address of this machine, host and port, by which programs on other machines or in containers
    /// reach it. They are told the host as it is given. What they send goes over the network as it is, in clear.
    ///
    /// # Errors
    ///
    /// Where the address is none, or stands for all (`0.0.0.0`), or cannot be bound.
    pub async fn start_at(address: &str) -> std::io::Result<Self> {
        let wrong = |reason: &str| std::io::Error::new(std::io::ErrorKind::InvalidInput, reason.to_owned());
        let (host, port) =
            address.rsplit_once(':').ok_or_else(|| wrong("it needs a port: write HOST:PORT"))?;
        let port: u16 = port.parse().map_err(|_| wrong("it needs a port: write HOST:PORT"))?;
        let bare = host.trim_matches(['[', ']']);
        if bare.parse().is_ok_and(|address: IpAddr| address.is_unspecified()) {
            return Err(wrong(
                "it stands for all addresses: give the one by which the program reaches this machine",
            ));
        }
        let listener = TcpListener::bind((bare, port)).await?;
        let port = listener.local_addr()?.port();
        let host = if bare.contains(':') { format!("[{bare}]") } else { host.to_owned() };
        Ok(Self::serve(listener, format!("{host}:{port}")))
    }

    fn serve(listener: TcpListener, address: String) -> Self {
        let sessions = Arc::new(Sessions::default());
        let task = tokio::spawn(listener::serve(listener, Arc::clone(&sessions)));
        Self { address, sessions, task }
    }

    /// Lets one rollout ask. `components` are the texts of the program, each with the text that takes its place, if another
    /// does.
    pub fn open(
        &self,
        context: CallContext,
        components: impl IntoIterator<Item = (Component, Option<String>)>,
    ) -> Session {
        let replaced = |(component, text): (Component, Option<String>)| {
            (component, text.as_deref().map(Replacement::new))
        };
        let components = components.into_iter().map(replaced).collect();
        self.open_with(Shared::new(context, components, Models::default(), None))
    }

    pub(crate) fn open_with(&self, shared: Shared) -> Session {
        let token = token();
        let shared = Arc::new(shared);
        self.sessions.with(|sessions| sessions.insert(token.clone(), Arc::clone(&shared)));
        Session::new(self.address.clone(), token, shared, Arc::clone(&self.sessions))
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What nobody can guess: 32 bytes of the system's randomness.
fn token() -> String {
    let mut bytes = [0_u8; 32];
    // Without randomness there is no key that opens anything.
    let is_random = getrandom::fill(&mut bytes).is_ok();
    if !is_random {
        return String::new();
    }
    let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
    format!("sk-promptopt-{}", digits.collect::<String>())
}
