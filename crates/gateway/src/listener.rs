//! The connections of the gateway, within bounds.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::gateway::Sessions;
use crate::handler::handle;

/// The most connections at once. Others wait, so that files and sockets are left for the run itself.
const MOST_CONNECTIONS: usize = 512;
/// The longest time from one request's end to the next one's head. So a connection that says nothing gives up its place.
const HEAD_TIME: Duration = Duration::from_secs(30);
/// The pause after a connection that could not be taken, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Answers whoever connects, until it is dropped; then all connections end.
pub(crate) async fn serve(listener: TcpListener, sessions: Arc<Sessions>) {
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        while connections.try_join_next().is_some() {}
        // An answer is written at once. Without it, it is written later.
        let _ = stream.set_nodelay(true);
        let sessions = Arc::clone(&sessions);
        connections.spawn(async move {
            let answer = |request: hyper::Request<hyper::body::Incoming>| {
                let sessions = Arc::clone(&sessions);
                async move { Ok::<_, Infallible>(handle(&sessions, request.map(Body::new)).await) }
            };
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME);
            // A connection that breaks is the client's affair.
            let _ = server.serve_connection(TokioIo::new(stream), service_fn(answer)).await;
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_that_say_nothing_give_up_their_place() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let _server = tokio::spawn(serve(listener, Arc::default()));
        let mut silent = Vec::new();
        for _ in 0..MOST_CONNECTIONS {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"POST /v1/chat/completions HTTP/1.1\r\n").await.unwrap();
            silent.push(stream);
        }
        // There is no place left, and one comes free when a silent one is over. Time runs here where nobody else does.
        let mut next = TcpStream::connect(address).await.unwrap();
        next.write_all(b"GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut heard = String::new();
        next.read_to_string(&mut heard).await.unwrap();
        assert!(heard.starts_with("HTTP/1.1 401"), "{heard}");
        for mut stream in silent {
            let mut heard = Vec::new();
            stream.read_to_end(&mut heard).await.unwrap();
        }
    }
}
