//! A provider whose errors repeat all that was sent to it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Passes some requests on to a server, and answers all others with an error that holds their headers.
pub(crate) struct Relay {
    address: SocketAddr,
}

impl Relay {
    /// Passes `good` requests on to the server at `upstream`; `refusal` is how others are answered, such as
    /// `401 Unauthorized`.
    pub(crate) fn start(upstream: &str, good: usize, refusal: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (upstream, seen) = (upstream.to_owned(), Arc::new(AtomicUsize::new(0)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (upstream, seen) = (upstream.clone(), Arc::clone(&seen));
                // A client that goes away in the middle is its own business.
                std::thread::spawn(move || answer(stream?, &upstream, &seen, good, refusal));
            }
        });
        Self { address }
    }

    /// The base URL to give to a client, with what stands before the host, and after the path.
    pub(crate) fn url(&self, login: &str, query: &str) -> String {
        format!("http://{login}{}/v1{query}", self.address)
    }
}

fn answer(
    mut client: TcpStream,
    upstream: &str,
    seen: &AtomicUsize,
    good: usize,
    refusal: &str,
) -> std::io::Result<()> {
    let (head, body) = message(&mut client)?;
    if seen.fetch_add(1, Ordering::SeqCst) < good {
        let mut server = TcpStream::connect(upstream)?;
        server.write_all(format!("{head}\r\n\r\n").as_bytes())?;
        server.write_all(&body)?;
        let (head, body) = message(&mut server)?;
        client.write_all(format!("{head}\r\nconnection: close\r\n\r\n").as_bytes())?;
        return client.write_all(&body);
    }
    let error =
        serde_json::json!({"error": {"message": format!("you sent {head}"), "code": head}}).to_string();
    let one_line = head.replace("\r\n", " ");
    write!(
        client,
        "HTTP/1.1 {refusal}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nx-sent: {one_line}\r\n\
         connection: close\r\n\r\n{error}",
        error.len()
    )
}

/// The head and the body of a message with a `content-length`.
fn message(stream: &mut TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let lower = head.to_lowercase();
            let length =
                lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
            if bytes.len() - end - 4 >= length.unwrap_or(0_usize) {
                return Ok((head, bytes.split_off(end + 4)));
            }
        }
        let read = stream.read(&mut buffer)?;
        if read == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        bytes.extend_from_slice(&buffer[..read]);
    }
}
