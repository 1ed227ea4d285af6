//! The server: a port, a task for every connection, and the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use promptopt_core::lm::LanguageModel;
use serde_json::Value;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

use super::answer::answer;
use super::connection::Connection;
use super::plan::FaultPlan;
use super::shared::{Seen, Shared};
use crate::openai;

/// How many bytes the system holds for a client that does not read, about.
const SEND_BUFFER: u32 = 64 * 1024;

/// Serves any model at `http://127.0.0.1:PORT/v1/chat/completions`, as badly as a [`FaultPlan`] says, until it
/// is dropped: whole or as a stream, as each request asks. Keeps a log of every request.
pub struct FaultServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl FaultServer {
    /// Starts serving `model`.
    ///
    /// # Errors
    ///
    /// When no port can be bound.
    pub async fn start(model: Arc<dyn LanguageModel>, plan: FaultPlan) -> std::io::Result<Self> {
        let shared = Shared::new(model, plan);
        let socket = TcpSocket::new_v4()?;
        // Of a body without end, little should be written that the client has not asked for.
        socket.set_send_buffer_size(SEND_BUFFER)?;
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        let listener = socket.listen(1024)?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(accept(listener, Arc::clone(&shared)));
        Ok(Self { address, shared, task })
    }

    /// The base URL to give to a client.
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Every request so far, in the order in which they came. Waits until none is under way, so that it holds
    /// all that was written to clients that hung up.
    pub async fn log(&self) -> Vec<Seen> {
        while self.shared.under_way() > 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        self.shared.log()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    // Ends every connection when it is dropped.
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    // Small replies should not wait for acknowledgements; it works either way.
    let _ = stream.set_nodelay(true);
    let mut connection = Connection::new(stream);
    while let Some(body) = connection.next_body().await {
        let json: Option<Value> = serde_json::from_slice(&body).ok();
        let request = json.as_ref().and_then(openai::read_request);
        let visit = shared.enter(&body, request.is_some());
        let goes_on = answer(&shared, &mut connection, &visit, (&json.unwrap_or_default(), request)).await;
        drop(visit);
        if !goes_on {
            return;
        }
    }
}
